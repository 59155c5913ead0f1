# Sourced by what starts ranks of Open MPI on one machine.
# shellcheck shell=bash
# Containers run as root, have fewer processors than there are ranks here, and often forbid one process to read another.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_rmaps_base_oversubscribe=1
export OMPI_MCA_mpi_yield_when_idle=1 OMPI_MCA_btl_vader_single_copy_mechanism=none OMPI_MCA_plm_rsh_agent=/bin/false
export OMPI_MCA_orte_base_help_aggregate=0
