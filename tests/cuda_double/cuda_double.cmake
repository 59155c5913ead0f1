# The double of NVIDIA's libraries that the tests run on where there is no GPU (tests/cuda_double/README.md). Not
# instrumented: its fibers switch stacks.
set(DOUBLE ${PROJECT_SOURCE_DIR}/tests/cuda_double)
add_custom_target(cuda_double ALL)
# Programs made with another prelude, which a cache may hold, are told by this.
file(SHA256 ${DOUBLE}/prelude.hpp PRELUDE)
file(SHA256 ${DOUBLE}/module.h MODULE)
string(SHA256 PRELUDE ${PRELUDE}${MODULE})
string(SUBSTRING ${PRELUDE} 0 8 PRELUDE)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${DOUBLE}/prelude.hpp ${DOUBLE}/module.h)
function(add_double name soversion)
  add_library(double_${name} SHARED ${ARGN} ${DOUBLE}/faults.c)
  target_include_directories(double_${name} PRIVATE ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/src)
  target_compile_definitions(double_${name} PRIVATE _GNU_SOURCE GH_DOUBLE_FOLDER="${DOUBLE}"
                                                    GH_DOUBLE_VERSION=0x${PRELUDE}u)
  target_compile_options(double_${name} PRIVATE -O2 -fno-sanitize=address,undefined)
  target_link_libraries(double_${name} PRIVATE gh_flags Threads::Threads ${CMAKE_DL_LIBS} m)
  target_link_options(double_${name} PRIVATE -Wl,-Bsymbolic) # a test takes exported names away, one by one
  set_target_properties(
    double_${name} PROPERTIES OUTPUT_NAME ${name} SOVERSION ${soversion} LIBRARY_OUTPUT_DIRECTORY
                                                                         ${PROJECT_BINARY_DIR}/cuda_double)
  add_dependencies(cuda_double double_${name})
endfunction()

add_double(cuda 1 ${DOUBLE}/driver_device.c ${DOUBLE}/driver_memory.c ${DOUBLE}/driver_stream.c
           ${DOUBLE}/driver_module.c ${DOUBLE}/fibers.c ${DOUBLE}/ptx_memory.c ${DOUBLE}/ptx_module.c
           ${DOUBLE}/ptx_ops.c ${DOUBLE}/ptx_parse.c ${DOUBLE}/ptx_run.c ${DOUBLE}/ptx_warp.c
           ${PROJECT_SOURCE_DIR}/src/base/half.c)
# Registers are rows of bytes: floats to some instructions, integers to others.
set_source_files_properties(
  ${DOUBLE}/ptx_memory.c ${DOUBLE}/ptx_ops.c ${DOUBLE}/ptx_run.c ${DOUBLE}/ptx_warp.c
  PROPERTIES COMPILE_OPTIONS "-O3;-march=native;-fno-strict-aliasing;-ffp-contract=off")
add_double(nvrtc 13 ${DOUBLE}/nvrtc.c ${DOUBLE}/nvrtc_real.c)
add_double(cublasLt 13 ${DOUBLE}/cublaslt.c ${PROJECT_SOURCE_DIR}/src/base/half.c)
target_compile_options(double_cublasLt PRIVATE -O3 -march=native)
add_double(cufft 12 ${DOUBLE}/cufft.c)
add_double(nvidia-ml 1 ${DOUBLE}/nvml.c)
add_double(nccl 2 ${DOUBLE}/nccl.c)
target_link_libraries(double_nccl PRIVATE double_cuda rt)
target_link_libraries(double_cublasLt PRIVATE double_cuda)
target_link_libraries(double_cufft PRIVATE double_cuda)

foreach(test test_cuda_double test_cuda_host test_cuda_libraries test_ptx)
  target_compile_definitions(${test} PRIVATE GH_CUDA_DOUBLE="${PROJECT_BINARY_DIR}/cuda_double")
  add_dependencies(${test} cuda_double)
endforeach()

# What runs on cuda:0 as on any device, on a machine that has no other. Choosing among GEMMs costs more than all the rest
# here: only its own tests do it.
set(ON_CUDA "GH_CUDA_LIBRARIES=${PROJECT_BINARY_DIR}/cuda_double;OCL_ICD_VENDORS=${PROJECT_BINARY_DIR}/none;\
GH_TEST_DEVICE=cuda:0")
foreach(name gemm gemm_bf16 gemm_matrix gemm_conv)
  add_test(NAME cuda_${name} COMMAND test_${name})
  set_tests_properties(cuda_${name} PROPERTIES ENVIRONMENT "${ON_CUDA}")
endforeach()
foreach(name backend graph ops narrow functions attention attention_matrix conv2d update rows random_device fft golden probe
             encode reconstruct step_trace)
  add_test(NAME cuda_${name} COMMAND test_${name})
  set_tests_properties(cuda_${name} PROPERTIES ENVIRONMENT "${ON_CUDA};GH_GEMM=cublaslt,columns")
endforeach()

# The same on NVIDIA's own PTX, interpreted: `GH_DOUBLE_PTX=$(scripts/nvrtc.sh) ctest -C ptx -R ^ptx_`. Programs are kept
# apart from those of the double's own compiler, as they have the same names.
add_executable(test_planted ${DOUBLE}/planted.c)
target_link_libraries(test_planted PRIVATE test_support)
add_dependencies(test_planted cuda_double)
foreach(name ops rows narrow functions update random_device conv2d attention attention_matrix gemm_bf16 planted)
  add_test(
    NAME ptx_${name}
    COMMAND sh -c ": \${GH_DOUBLE_PTX:?does not name NVRTC}; exec $<TARGET_FILE:test_${name}>"
    CONFIGURATIONS ptx)
  set_tests_properties(ptx_${name} PROPERTIES ENVIRONMENT "${ON_CUDA};GH_CACHE_DIR=${PROJECT_BINARY_DIR}/ptx-cache")
endforeach()
foreach(name ops attention_matrix attention narrow conv2d)
  set_property(TEST ptx_${name} APPEND PROPERTY ENVIRONMENT "GH_GEMM=cublaslt,columns")
endforeach()

# From sm_100 on NVRTC's code comes from another generation of its compiler.
foreach(name ops attention_matrix)
  add_test(
    NAME ptx_sm_100_${name}
    COMMAND sh -c ": \${GH_DOUBLE_PTX:?does not name NVRTC}; exec $<TARGET_FILE:test_${name}>"
    CONFIGURATIONS ptx)
  set_tests_properties(
    ptx_sm_100_${name}
    PROPERTIES ENVIRONMENT
               "${ON_CUDA};GH_CACHE_DIR=${PROJECT_BINARY_DIR}/ptx-cache;GH_GEMM=cublaslt,columns;GH_DOUBLE_CAPABILITY=10.0")
endforeach()
