# Manual pages and completions, generated from the command tables by a program that runs during the build. A cross build
# has none unless its emulator is known.
if(CMAKE_CROSSCOMPILING AND NOT CMAKE_CROSSCOMPILING_EMULATOR)
  message(STATUS "Cross-compiling: no manual pages and completions")
  return()
endif()
set(GH_DOCUMENTS ${PROJECT_BINARY_DIR}/documents)
file(GLOB TOOL CONFIGURE_DEPENDS tools/documents/*.c)
add_executable(make_documents ${TOOL})
target_link_libraries(make_documents PRIVATE genhance_core)
add_custom_command(
  OUTPUT ${GH_DOCUMENTS}/made
  COMMAND ${CMAKE_COMMAND} -E rm -rf ${GH_DOCUMENTS}
  COMMAND ${CMAKE_COMMAND} -E make_directory ${GH_DOCUMENTS}/man
  COMMAND make_documents ${GH_DOCUMENTS}
  COMMAND ${CMAKE_COMMAND} -E touch ${GH_DOCUMENTS}/made
  DEPENDS make_documents
  VERBATIM)
if(GH_INSTALL)
  add_custom_target(genhance_documents ALL DEPENDS ${GH_DOCUMENTS}/made)
endif()
