# tests/fuzz/fuzz_*.c are one program each (fuzz.h says how to use them). As tests they run for two seconds where sanitizers
# watch: GH_SANITIZE, which also counts the edges that an input reaches, and GH_FUZZ, which builds them for libFuzzer. Without
# a sanitizer they replay their corpus, and little more.
if(GH_SANITIZE AND NOT GH_FUZZ)
  file(GLOB PARSERS CONFIGURE_DEPENDS src/backend/chooser/tuned.c src/base/*.c src/bench/result*.c src/config/*.c
       src/data/braces.c src/data/captions.c src/data/index.c src/data/target_cache.c src/eval/dataset.c
       src/experiment/plan.c src/io/*.c src/models/adapter.c src/models/autoencoder_config.c src/models/clip.c
       src/models/model_config.c src/models/openclip.c src/models/siglip.c src/models/weights.c src/report/*.c
       src/train/evaluate_config.c src/train/frozen_choices.c src/train/metrics.c src/train/state*.c)
  list(REMOVE_ITEM PARSERS ${PROJECT_SOURCE_DIR}/src/base/half.c) # parses nothing; the double of cuBLASLt has it too
  set_source_files_properties(${PARSERS} PROPERTIES COMPILE_OPTIONS -fsanitize-coverage=trace-pc)
  target_sources(genhance_core PRIVATE tests/fuzz/coverage.c)
endif()
if(GH_SANITIZE) # these run more often than what they watch
  set_source_files_properties(tests/fuzz/driver.c tests/fuzz/mutate.c tests/fuzz/coverage.c tests/fuzz/memory_files.c
                              PROPERTIES COMPILE_OPTIONS "-fno-sanitize=all")
endif()

# The calls that tests/fuzz/memory_files.c replaces.
set(FUZZ_WRAPPED open openat close read pread write fsync flock stat lstat fstat fstatat access unlink unlinkat rmdir
                 rename mkdir nftw mmap munmap madvise opendir fdopendir readdir dirfd closedir)
list(TRANSFORM FUZZ_WRAPPED PREPEND "-Wl,--wrap=")

add_library(fuzz_shared OBJECT tests/fuzz/memory_files.c tests/fuzz/decode.c)
target_include_directories(fuzz_shared PRIVATE tests/fuzz)
target_link_libraries(fuzz_shared PRIVATE genhance_core)
if(NOT GH_FUZZ)
  target_sources(fuzz_shared PRIVATE tests/fuzz/driver.c tests/fuzz/mutate.c)
  if(NOT GH_SANITIZE)
    target_sources(fuzz_shared PRIVATE tests/fuzz/coverage.c)
  endif()
endif()

file(GLOB FUZZ_TARGETS CONFIGURE_DEPENDS tests/fuzz/fuzz_*.c)
foreach(file ${FUZZ_TARGETS})
  get_filename_component(name ${file} NAME_WE)
  string(REPLACE fuzz_ "" format ${name})
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${format})
  add_executable(${name} ${file})
  target_include_directories(${name} PRIVATE tests/fuzz)
  target_link_options(${name} PRIVATE ${FUZZ_WRAPPED})
  target_link_libraries(${name} PRIVATE fuzz_shared genhance_core)
  list(APPEND FUZZ_NAMES ${name})
  if(GH_FUZZ)
    set(found ${PROJECT_BINARY_DIR}/corpus/${format}) # libFuzzer writes what it keeps to the first folder
    file(MAKE_DIRECTORY ${found})
    target_link_options(${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME ${name} COMMAND ${name} -max_total_time=2 -seed=1 ${found} ${corpus})
  else()
    add_test(NAME ${name} COMMAND ${name} --seconds $<IF:$<BOOL:${GH_SANITIZE}>,2,0.2> ${corpus})
  endif()
endforeach()
target_link_options(fuzz_cache PRIVATE -Wl,--wrap=gh_store_create)
target_link_options(fuzz_state PRIVATE -Wl,--wrap=gh_tensor_write)
add_custom_target(fuzz_targets DEPENDS ${FUZZ_NAMES})
