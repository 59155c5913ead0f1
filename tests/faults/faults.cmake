# tests/faults/inject.c, the library that scripts preload to make calls of a program fail: fault_inject.so beside the
# program.
add_library(fault_inject MODULE tests/faults/inject.c)
set_target_properties(fault_inject PROPERTIES PREFIX "" C_VISIBILITY_PRESET default)
target_compile_definitions(fault_inject PRIVATE _GNU_SOURCE)
target_compile_options(fault_inject PRIVATE -U_FORTIFY_SOURCE) # it defines what fortified headers define
find_package(Threads REQUIRED)
target_link_libraries(fault_inject PRIVATE gh_flags Threads::Threads ${CMAKE_DL_LIBS})
