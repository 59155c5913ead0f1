# The library for other programs, in both kinds: genhance::genhance (shared) and genhance::genhance_static, with the same
# names in the build tree and in the installed package. The shared one exports only what include/genhance marks.
set(GH_PUBLIC_INCLUDE "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>"
                      "$<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>")

# The soname changes with the minor version before 1.0, and with the major version after (include/genhance/version.h).
set(GH_SOVERSION ${PROJECT_VERSION_MAJOR})
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(GH_SOVERSION 0.${PROJECT_VERSION_MINOR})
endif()

file(GLOB API CONFIGURE_DEPENDS src/api/*.c)
add_library(genhance_shared SHARED ${API})
target_link_libraries(genhance_shared PRIVATE genhance_core)
target_include_directories(genhance_shared INTERFACE ${GH_PUBLIC_INCLUDE})
set_target_properties(
  genhance_shared PROPERTIES OUTPUT_NAME genhance EXPORT_NAME genhance VERSION ${PROJECT_VERSION}
                             SOVERSION ${GH_SOVERSION})

add_library(genhance_static STATIC $<TARGET_OBJECTS:genhance_core>)
target_include_directories(genhance_static INTERFACE ${GH_PUBLIC_INCLUDE})
target_link_libraries(
  genhance_static INTERFACE "$<BUILD_INTERFACE:gh_libraries>" "$<INSTALL_INTERFACE:${GH_PRIVATE_LIBRARIES}>"
                            "$<INSTALL_INTERFACE:Threads::Threads;${CMAKE_DL_LIBS};m>")
set_target_properties(genhance_static PROPERTIES OUTPUT_NAME genhance LINKER_LANGUAGE C)

add_library(genhance::genhance ALIAS genhance_shared)
add_library(genhance::genhance_static ALIAS genhance_static)
