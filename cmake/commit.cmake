# Writes OUTPUT, a C file with the commit of SOURCE, if that has changed. Sources without their own repository may be
# inside that of another project, whose commit does not identify them. --show-prefix is empty only at a repository's root.
execute_process(COMMAND git -C ${SOURCE} rev-parse --short=12 HEAD OUTPUT_VARIABLE commit
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
execute_process(COMMAND git -C ${SOURCE} rev-parse --show-prefix OUTPUT_VARIABLE inside OUTPUT_STRIP_TRAILING_WHITESPACE
                ERROR_QUIET)
if(failed OR inside)
  set(commit "unknown")
else()
  execute_process(COMMAND git -C ${SOURCE} diff --quiet HEAD RESULT_VARIABLE modified ERROR_QUIET)
  if(modified)
    string(APPEND commit "-modified")
  endif()
endif()
set(text "/* made by cmake/commit.cmake */\n#include \"base/build.h\"\n\nconst char gh_build_commit[] = \"${commit}\";\n")
set(before "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT before STREQUAL text)
  file(WRITE ${OUTPUT} "${text}")
endif()
