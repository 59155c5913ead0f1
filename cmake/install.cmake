# What `cmake --install` copies: the program, the library in both kinds with its headers, pkg-config file and CMake
# package, the configurations, manual pages, completions, licence. An installed tree can be moved: its files refer to
# each other by relative paths.
include(CMakePackageConfigHelpers)
set(GH_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/genhance)

install(TARGETS genhance)
install(TARGETS genhance_shared genhance_static EXPORT genhanceTargets)
if(TARGET genhance_mpi)
  install(TARGETS genhance_mpi DESTINATION ${CMAKE_INSTALL_LIBDIR}/genhance) # src/dist/mpi.c looks there
endif()
install(DIRECTORY include/genhance DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")

install(EXPORT genhanceTargets NAMESPACE genhance:: DESTINATION ${GH_CMAKE_DIR})
configure_package_config_file(cmake/genhanceConfig.cmake.in ${PROJECT_BINARY_DIR}/genhanceConfig.cmake
                              INSTALL_DESTINATION ${GH_CMAKE_DIR})
# A minor version may change the interface before 1.0: a request for 0.2 does not accept 0.3.
set(compatibility SameMajorVersion)
if(PROJECT_VERSION_MAJOR EQUAL 0)
  set(compatibility SameMinorVersion)
endif()
write_basic_package_version_file(${PROJECT_BINARY_DIR}/genhanceConfigVersion.cmake COMPATIBILITY ${compatibility})
install(FILES ${PROJECT_BINARY_DIR}/genhanceConfig.cmake ${PROJECT_BINARY_DIR}/genhanceConfigVersion.cmake
        DESTINATION ${GH_CMAKE_DIR})

# For --static, the pkg-config file names the libraries directly: Requires.private would require their static libraries.
list(TRANSFORM GH_PRIVATE_LIBRARIES PREPEND -l OUTPUT_VARIABLE GH_PC_LIBRARIES)
list(JOIN GH_PC_LIBRARIES " " GH_PC_LIBRARIES)
file(RELATIVE_PATH GH_PC_TO_PREFIX /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(cmake/genhance.pc.in genhance.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/genhance.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

install(DIRECTORY configs DESTINATION ${CMAKE_INSTALL_DATADIR}/genhance)
install(FILES LICENSE README.md CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
file(GLOB GUIDES CONFIGURE_DEPENDS docs/*.md docs/*.png)
install(FILES ${GUIDES} DESTINATION ${CMAKE_INSTALL_DOCDIR}/docs)
if(TARGET genhance_documents)
  install(DIRECTORY ${GH_DOCUMENTS}/man/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${GH_DOCUMENTS}/genhance.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions
          RENAME genhance)
  install(FILES ${GH_DOCUMENTS}/_genhance DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()

if(PROJECT_IS_TOP_LEVEL)
  add_custom_target(
    uninstall
    COMMAND ${CMAKE_COMMAND} -DMANIFEST=${PROJECT_BINARY_DIR}/install_manifest.txt -P
            ${PROJECT_SOURCE_DIR}/cmake/uninstall.cmake
    VERBATIM)
endif()
