# Users of the shared library, which see nothing but include/genhance: the examples, example_NAME, which
# tests/test_examples.sh runs, and a C++ program where there is a compiler for it.
file(GLOB EXAMPLES CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/examples/*.c)
foreach(file ${EXAMPLES})
  get_filename_component(name ${file} NAME_WE)
  add_executable(example_${name} ${file})
  target_include_directories(example_${name} PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(example_${name} PRIVATE genhance_shared gh_flags gh_instrumented m)
endforeach()

include(CheckLanguage)
check_language(CXX)
if(CMAKE_CXX_COMPILER)
  enable_language(CXX)
  add_executable(test_api_cxx ${PROJECT_SOURCE_DIR}/tests/api_cxx/test_api_cxx.cc)
  set_target_properties(test_api_cxx PROPERTIES COMPILE_OPTIONS "-Wall;-Wextra;-Werror" CXX_STANDARD 11)
  target_include_directories(test_api_cxx PRIVATE ${PROJECT_SOURCE_DIR}/include)
  target_link_libraries(test_api_cxx PRIVATE genhance_shared gh_instrumented)
  set(scratch ${PROJECT_BINARY_DIR}/test_api_cxx_scratch)
  add_test(NAME test_api_cxx
           COMMAND sh -c "rm -rf \"$2\" && mkdir \"$2\" && \"$0\" \"$1\" \"$2\"" $<TARGET_FILE:test_api_cxx>
                   ${PROJECT_SOURCE_DIR}/tests/fixtures ${scratch})
endif()
