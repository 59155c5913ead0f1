# Prints "FILE:LINE<tab>TEXT" for every text that a call of the program formats for its user. A text is a run of adjacent
# literals; the branches of a condition are texts of their own. A macro between them becomes "@".
BEGIN {
  place["gh_fail"] = 3
  place["gh_cl_fail"] = 3
  place["gh_cuda_fail"] = 4
  place["gh_api_refuse"] = 1
  place["gh_warn"] = 1
  place["gh_info"] = 1
  place["gh_debug"] = 1
  place["gh_fail_in"] = 2
  names = "gh_(fail|fail_in|warn|info|debug|api_refuse|cl_fail|cuda_fail)\\("
}
FNR == 1 { scan(); source = ""; file = FILENAME }
{ source = source $0 "\n" }
END { scan() }

function scan(   rest, at, call, head, line) {
  rest = source
  line = 1
  while (match(rest, names)) {
    head = substr(rest, 1, RSTART - 1)
    line += gsub(/\n/, "\n", head)
    call = substr(rest, RSTART, RLENGTH - 1)
    at = RSTART + RLENGTH
    if (RSTART == 1 || substr(rest, RSTART - 1, 1) !~ /[A-Za-z0-9_]/) collect(substr(rest, at, 4000), place[call], line)
    rest = substr(rest, at)
  }
}

# The arguments from `text` on: literals of the wanted one.
function collect(text, wanted, line,   i, c, depth, argument, inside, literal, any, macro) {
  depth = 0
  argument = 1
  for (i = 1; i <= length(text); i++) {
    c = substr(text, i, 1)
    if (inside) {
      if (c == "\\") { literal = literal c substr(text, ++i, 1); continue }
      if (c == "\"") inside = 0
      else literal = literal c
      continue
    }
    if (c == "\"") { inside = 1; any = 1; macro = 0; continue }
    if (any && !macro && c ~ /[A-Za-z_]/) { literal = literal "@"; macro = 1 }
    if (c == "'") { i += substr(text, i + 1, 1) == "\\" ? 3 : 2; continue }
    if (c == "(" || c == "[" || c == "{") depth++
    if (c == ")" || c == "]" || c == "}") depth--
    if (depth < 0 || (depth == 0 && (c == "," || c == "?" || c == ":" || c == ";"))) {
      if (any && argument == wanted) print file ":" line "\t" literal
      literal = ""
      any = macro = 0
      if (c == ",") argument++
      if (depth < 0 || argument > wanted) return
    }
  }
}
