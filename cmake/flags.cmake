# Flags of this project's own targets, in addition to the caller's. They are interface targets, so that none of them
# reaches a project that includes this one.
add_library(gh_flags INTERFACE)
# Contraction is off everywhere: the host's random generator is the reference for the device's bits.
target_compile_options(gh_flags INTERFACE -ffp-contract=off)
if(PROJECT_IS_TOP_LEVEL OR GH_WERROR)
  target_compile_options(
    gh_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Wno-sign-conversion -Wstrict-prototypes
                       -Wmissing-prototypes -Wpointer-arith -Wvla)
endif()
if(GH_WERROR)
  target_compile_options(gh_flags INTERFACE -Werror)
endif()

# Separate from the other flags, since the double of NVIDIA's driver is not instrumented (tests/cuda_double).
add_library(gh_instrumented INTERFACE)
if(GH_SANITIZE)
  target_compile_options(gh_instrumented INTERFACE -fsanitize=address,undefined -fno-sanitize-recover=undefined
                                                   -fno-omit-frame-pointer)
  target_link_options(gh_instrumented INTERFACE -fsanitize=address,undefined)
endif()
if(GH_SANITIZE_THREADS)
  target_compile_options(gh_instrumented INTERFACE -fsanitize=thread -fno-omit-frame-pointer)
  target_link_options(gh_instrumented INTERFACE -fsanitize=thread)
endif()
if(GH_FUZZ)
  target_compile_options(gh_instrumented INTERFACE -fsanitize=fuzzer-no-link)
endif()
