/* Preloaded: an MPI that says that it takes the memory of CUDA devices. Any MPI can take that of the tests' double
 * (tests/cuda_double), which is the host's. */
__attribute__((visibility("default"))) int MPIX_Query_cuda_support(void);
int MPIX_Query_cuda_support(void) { return 1; }
