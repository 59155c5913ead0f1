# The library that others link against, and what `cmake --install` copies: the program, the library in both kinds, its
# header and its pkg-config file. Only what include/genhance marks is visible in the shared one.
include(GNUInstallDirs)

file(GLOB API CONFIGURE_DEPENDS src/api/*.c)
add_library(genhance_shared SHARED ${API})
target_link_libraries(genhance_shared PRIVATE genhance_core)
set_target_properties(genhance_shared PROPERTIES OUTPUT_NAME genhance VERSION ${PROJECT_VERSION} SOVERSION 0)

add_library(genhance_static STATIC $<TARGET_OBJECTS:genhance_core>)
set_target_properties(genhance_static PROPERTIES OUTPUT_NAME genhance LINKER_LANGUAGE C)

# The pkg-config file finds the prefix from its own place, so that an installed tree can be moved. It names the libraries
# themselves for --static: as `Requires.private` they would ask for their own static ones in turn.
list(TRANSFORM LIBS_LIBRARIES PREPEND -l OUTPUT_VARIABLE GH_PC_LIBRARIES)
list(JOIN GH_PC_LIBRARIES " " GH_PC_LIBRARIES)
file(RELATIVE_PATH GH_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/genhance.pc.in genhance.pc @ONLY)

install(TARGETS genhance genhance_shared genhance_static)
install(FILES include/genhance/genhance.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/genhance)
install(FILES ${CMAKE_BINARY_DIR}/genhance.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
