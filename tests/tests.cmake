# tests/test_*.c are cmocka programs; tests/*.sh drive the binary.
find_library(CMOCKA_LIBRARY cmocka)
if(NOT CMOCKA_LIBRARY)
  message(STATUS "Without cmocka: the tests in C are not built")
endif()
file(GLOB TESTS CONFIGURE_DEPENDS tests/test_*.c)
file(GLOB TEST_SUPPORT CONFIGURE_DEPENDS tests/support/*.c)
if(CMOCKA_LIBRARY)
  find_library(ARCHIVE_LIBRARY archive REQUIRED) # writes the archives that our reader is tested with
  if(TEST_SUPPORT)
    add_library(test_support STATIC ${TEST_SUPPORT})
    target_link_libraries(test_support PUBLIC genhance_core ${CMOCKA_LIBRARY})
    target_include_directories(test_support PUBLIC tests)
    target_compile_definitions(test_support PRIVATE GH_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures")
  endif()
  foreach(file ${TESTS})
    get_filename_component(name ${file} NAME_WE)
    add_executable(${name} ${file})
    target_compile_definitions(${name} PRIVATE GH_FIXTURES="${PROJECT_SOURCE_DIR}/tests/fixtures")
    target_include_directories(${name} PRIVATE tests)
    target_link_libraries(${name} PRIVATE genhance_core ${CMOCKA_LIBRARY})
    if(TEST_SUPPORT)
      target_link_libraries(${name} PRIVATE test_support)
    endif()
    if(name STREQUAL test_tar)
      target_link_libraries(${name} PRIVATE ${ARCHIVE_LIBRARY})
    endif()
    add_test(NAME ${name} COMMAND ${name})
  endforeach()
endif()
file(GLOB TEST_SCRIPTS CONFIGURE_DEPENDS tests/test_*.sh)
if(GH_SANITIZE)
  # AddressSanitizer has its own malloc, and must be in a program from the start: Python is none; MPI has leaks of its
  # own; the browser does not run our code, nor do those that read sources, pages and assembly; an installation has the
  # programs that others run
  list(FILTER TEST_SCRIPTS EXCLUDE
       REGEX "test_(completion_zsh|faults|install|leftovers|link|links|loops|pages|python|ranks|ranks_cuda|rooms|torture)")
endif()
foreach(file ${TEST_SCRIPTS})
  get_filename_component(name ${file} NAME_WE)
  add_test(NAME ${name} COMMAND bash ${file} $<TARGET_FILE:genhance>)
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77)
endforeach()

# A driver that fails, for test_drivers.sh.
add_library(bad_driver MODULE tests/drivers/bad_driver.c)
# Notes the tests that a limit of buffers concerns, for run-tests.
add_library(large_buffers MODULE tests/drivers/large_buffers.c)
set_target_properties(large_buffers PROPERTIES PREFIX "")
target_compile_definitions(large_buffers PRIVATE CL_TARGET_OPENCL_VERSION=120 _GNU_SOURCE)
target_link_libraries(large_buffers PRIVATE gh_flags ${CMAKE_DL_LIBS})
# Spares PoCL the compilation of kernels that nothing runs, for run-tests. Older headers do not declare layers.
find_path(OPENCL_LAYER_HEADER CL/cl_layer.h)
if(OPENCL_LAYER_HEADER)
  add_library(source_binaries MODULE tests/drivers/source_binaries.c)
  set_target_properties(source_binaries PROPERTIES PREFIX "")
  target_compile_definitions(source_binaries PRIVATE CL_TARGET_OPENCL_VERSION=300)
  target_link_libraries(source_binaries PRIVATE gh_flags)
endif()
# A device that is slower, for test_ranks.sh.
add_library(slow_opencl MODULE tests/drivers/slow_opencl.c)
set_target_properties(slow_opencl PROPERTIES PREFIX "")
target_compile_definitions(slow_opencl PRIVATE CL_TARGET_OPENCL_VERSION=120 _GNU_SOURCE)
target_link_libraries(slow_opencl PRIVATE gh_flags ${CMAKE_DL_LIBS})
# An MPI that is too old, or has no threads, for test_ranks.sh.
if(TARGET genhance_mpi)
  add_library(old_mpi MODULE tests/drivers/old_mpi.c)
  target_link_libraries(old_mpi PRIVATE MPI::MPI_C)
  # An MPI that says that it takes the memory of devices, for test_ranks_cuda.sh.
  add_library(aware_mpi MODULE tests/drivers/aware_mpi.c)
endif()

# Our declarations of NVIDIA's libraries are compared with its headers where those are: one compilation. NCCL's comes apart.
find_path(CUDA_HEADERS cuda.h PATHS $ENV{CUDA_HOME}/include $ENV{CUDA_PATH}/include /usr/local/cuda/include)
if(CUDA_HEADERS AND EXISTS ${CUDA_HEADERS}/cublasLt.h AND EXISTS ${CUDA_HEADERS}/cufft.h
   AND EXISTS ${CUDA_HEADERS}/nvrtc.h)
  find_path(NCCL_HEADERS nccl.h PATHS $ENV{NCCL_HOME}/include ${CUDA_HEADERS})
  if(NCCL_HEADERS)
    set(with_nccl -isystem ${NCCL_HEADERS})
  endif()
  add_test(NAME test_cuda_declarations
           COMMAND ${CMAKE_C_COMPILER} -std=gnu11 -fsyntax-only -Wall -Wextra -Werror -isystem ${CUDA_HEADERS}
                   ${with_nccl} -I${PROJECT_SOURCE_DIR} -I${PROJECT_SOURCE_DIR}/src ${PROJECT_SOURCE_DIR}/tests/cuda_declarations.c)
endif()

# bench/NAME.c is a program bench_NAME, built with the rest so that it cannot rot, and not installed.
file(GLOB BENCHES CONFIGURE_DEPENDS bench/*.c)
foreach(file ${BENCHES})
  get_filename_component(name ${file} NAME_WE)
  add_executable(bench_${name} ${file})
  target_link_libraries(bench_${name} PRIVATE genhance_core)
endforeach()
if(CMOCKA_LIBRARY)
  include(tests/cuda_double/cuda_double.cmake)
endif()
include(tests/fuzz/fuzz.cmake)
if(NOT GH_SANITIZE)
  include(tests/faults/faults.cmake)
endif()

# tests/static/programs.c writes every device program for compilers that need no device (scripts/static.sh).
add_executable(static_programs tests/static/programs.c)
target_link_libraries(static_programs PRIVATE genhance_core)
# tests/static/step.c lists the launches of a training step, for the prediction of docs/gpu-performance.md.
add_executable(static_step tests/static/step.c)
target_link_libraries(static_step PRIVATE genhance_core)
include(tests/api.cmake)

# ---- what run-tests need not repeat, and what starts first ----

# These set the kernels' shape themselves: they run both, or the one that has the kernels. Another default shape, and a
# limit of buffers that are all small, change nothing.
set(OWN_SHAPE attention attention_amx attention_columns attention_matrix attention_tile narrow compare conv2d cross_entropy functions
              gemm_matrix loss_scale matrix_lanes mixed nearest ops probe random_device rows suite tune update update_memory)
# These check what the host does around a step: files, options, signals, errors, the library's interface. Where they
# compute, they do so on tiny models; other tests check the numbers of the kernels in both shapes.
set(HOST api api_score api_train base bench cache captions card cli comm config dataset drivers examples experiment
         export formats identity image incomplete inputs interrupt layout loader mapping masked messages names
         objective options origin power preprocess resumed_options results retry robust rot scenes statistics
         target_cache terminal tfevents tune_command usage)
if(NOT GH_SANITIZE)
  list(APPEND HOST faults leftovers link links loops pages python ranks ranks_cuda ranks_encode rooms torture)
endif()
# The longest: they start first, so that none of them runs alone at the end. Two at a time that need the same program of
# PoCL would both compile it. test_ops compiles those of most others: only tests of the double, whose compiler is another
# one, run beside it.
set(LONG test_ops cuda_gemm_bf16 cuda_golden cuda_attention_matrix cuda_step_trace cuda_gemm_conv cuda_conv2d cuda_probe
         test_cuda_host cuda_reconstruct cuda_ops test_attention_matrix test_compare test_attention_columns test_memory
         test_conv2d test_golden test_gemm_matrix test_cuda test_resume test_mixed test_masked test_gemm_bf16
         test_fft test_robust test_options test_bench test_attention_tile test_api test_attention
         test_probe test_suite ptx_gemm_bf16 ptx_conv2d ptx_sm_100_ops ptx_ops ptx_planted ptx_attention_matrix
         ptx_attention ptx_sm_100_attention_matrix)
if(NOT GH_SANITIZE)
  list(INSERT LONG 19 test_ranks test_leftovers test_faults test_install test_ranks_cuda)
endif()

function(set_test_property name property value)
  if(TEST ${name})
    set_property(TEST ${name} PROPERTY ${property} ${value})
  elseif(CMOCKA_LIBRARY)
    message(FATAL_ERROR "tests/tests.cmake names ${name}, which is not a test")
  endif()
endfunction()
foreach(name ${OWN_SHAPE})
  set_test_property(test_${name} LABELS own-shape)
endforeach()
foreach(name ${HOST})
  set_test_property(test_${name} LABELS host)
endforeach()
# These test kernels, which no sanitizer watches: OpenCL's runtime compiles them, or the double's compiler, which does not
# instrument them either. Others cover the host's code around them.
foreach(name attention_amx attention_columns attention_matrix conv2d fft gemm_matrix matrix_lanes mixed random_device)
  foreach(test test_${name} cuda_${name})
    if(TEST ${test})
      set_property(TEST ${test} APPEND PROPERTY LABELS kernels)
    endif()
  endforeach()
endforeach()
# These compare the numbers of whole steps and of products on the double; test_cuda, cuda_step_trace and cuda_gemm run the
# same code of the host.
foreach(name gemm_bf16 gemm_conv golden probe reconstruct)
  if(TEST cuda_${name})
    set_property(TEST cuda_${name} APPEND PROPERTY LABELS kernels)
  endif()
endforeach()
# So does this one on OpenCL; test_options, test_resume and test_masked train through the same code.
if(TEST test_golden)
  set_property(TEST test_golden APPEND PROPERTY LABELS kernels)
endif()
# These start threads, of their own or inside: the loader, encoding, scores. ThreadSanitizer watches them (preset threads).
set(THREADS api api_train comm encode guard loader score)
foreach(name ${THREADS})
  if(TEST test_${name})
    set_property(TEST test_${name} APPEND PROPERTY LABELS threads)
    list(APPEND THREAD_PROGRAMS test_${name})
  endif()
endforeach()
add_custom_target(thread_tests DEPENDS ${THREAD_PROGRAMS})
set(cost 100)
foreach(name ${LONG})
  math(EXPR cost "${cost} - 1")
  set_test_property(${name} COST ${cost})
endforeach()
