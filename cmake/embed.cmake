# Two uses, both writing OUTPUT, a C file:
#   FILES=...               the text of every file and a table of (name, text), as backend/embedded.h declares them
#   BINARY=... SYMBOL=...   the bytes of one file as SYMBOL and SYMBOL_size, as HEADER declares them
if(DEFINED BINARY)
  file(READ ${BINARY} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  file(WRITE ${OUTPUT} "/* made by cmake/embed.cmake */\n#include \"${HEADER}\"\n\n\
const unsigned char ${SYMBOL}[] = {${bytes}};\nconst size_t ${SYMBOL}_size = sizeof ${SYMBOL};\n")
  return()
endif()

set(text "/* made by cmake/embed.cmake */\n#include \"backend/embedded.h\"\n\n")
set(rows "")
foreach(file ${FILES})
  get_filename_component(name ${file} NAME)
  string(MAKE_C_IDENTIFIER ${name} symbol)
  file(READ ${file} bytes HEX)
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," bytes "${bytes}")
  string(APPEND text "static const char ${symbol}[] = {${bytes}0};\n")
  string(APPEND rows "  {\"${name}\", ${symbol}},\n")
endforeach()
string(APPEND text "\nconst gh_embedded_file gh_embedded_kernels[] = {\n${rows}  {0, 0}};\n")
file(WRITE ${OUTPUT} "${text}")
