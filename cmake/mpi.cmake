# genhance_mpi.so (src/dist/mpi_shim.c): through it, the processes that mpirun starts speak to each other. It is compiled
# against the MPI of this machine and opened at run time, so that the program itself needs no MPI.
if(GH_WITH_MPI) # AUTO or ON
  find_package(MPI QUIET COMPONENTS C)
endif()
if(GH_WITH_MPI AND MPI_C_FOUND)
  add_library(genhance_mpi MODULE src/dist/mpi_shim.c)
  set_target_properties(genhance_mpi PROPERTIES PREFIX "")
  target_include_directories(genhance_mpi PRIVATE src)
  target_link_libraries(genhance_mpi PRIVATE gh_flags MPI::MPI_C)
elseif(GH_WITH_MPI STREQUAL "ON")
  message(FATAL_ERROR "GH_WITH_MPI is ON, but no MPI is installed")
else()
  message(STATUS "Without MPI: a run trains in one process")
endif()
