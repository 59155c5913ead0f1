#!/usr/bin/env bash
# Reads the includes of src/ and fails if one runs upwards. A room may include itself and the rooms below it. No file may
# include itself, directly or through others. docs/architecture.md describes the rooms and their order.
# Outside its own file, the code names no family of encoders.
set -euo pipefail
cd "$(dirname "$0")/../src"

# Top first. A folder below a room is part of it unless it is listed here.
rooms="main api cli report experiment bench compare train dist method scenes eval encode export config data models ops/check ops graph
  backend/registry backend/chooser backend/opencl backend/cuda backend io base"
# Rooms on the same floor, which must not include one another.
apart="backend/opencl:backend/cuda api:cli"

# Headers shared with the kernels, and the public header, are outside src/ and include nothing from it.
find . -name '*.[ch]' | sed 's,^\./,,' | sort | xargs awk -v rooms="$rooms" -v apart="$apart" '
  function room_of(file,   at, name) { # the longest room that is a prefix of the path
    name = file
    sub(/\.[ch]$/, "", name)
    for (at = name; at != ""; ) {
      if (at in floor) return at
      if (!sub(/\/[^\/]*$/, "", at)) break
    }
    return ""
  }
  BEGIN {
    count = split(rooms, list, /[ \n]+/)
    for (i = 1; i <= count; i++) floor[list[i]] = count - i
    for (i = split(apart, pairs, / /); i > 0; i--) {
      split(pairs[i], two, ":")
      beside[two[1], two[2]] = beside[two[2], two[1]] = 1
    }
  }
  FNR == 1 {
    files++
    here = room_of(FILENAME)
    if (here == "") { print "src/" FILENAME ": belongs to no room"; bad++ }
  }
  /^ *# *include *"/ {
    split($0, quoted, "\"")
    target = quoted[2]
    if (target ~ /^(cl|genhance)\//) next
    there = room_of(target)
    if (there == "") { print "src/" FILENAME ":" FNR ": includes " target ", which belongs to no room"; bad++; next }
    includes++
    if (target ~ /^method\/flow/ && FILENAME !~ /^method\//) {
      print "src/" FILENAME ":" FNR ": includes " target ": only the table of objectives knows one"; bad++
    }
    if (floor[there] > floor[here] || (here, there) in beside) {
      print "src/" FILENAME ":" FNR ": " here " includes " target " of " there; bad++
    }
    edge[FILENAME] = edge[FILENAME] " " target
  }
  # Depth-first search for a header that includes itself.
  function visit(file, path,   n, next_files, i) {
    if (state[file] == 2) return
    if (state[file] == 1) { print "src/" file ": includes itself:" path " " file; bad++; return }
    state[file] = 1
    n = split(edge[file], next_files, " ")
    for (i = 1; i <= n; i++) visit(next_files[i], path " " file)
    state[file] = 2
  }
  END {
    for (file in edge) visit(file, "")
    if (files < 100 || includes < 300) { print "only " files + 0 " files and " includes + 0 " includes were read"; bad++ }
    exit bad > 0
  }'

# The code without comments and prose: a string with a space in it speaks to the user, one without is a name. The class of
# a tokenizer, which any family may have, is no family.
find . -name '*.[ch]' | sed 's,^\./,,' | grep -vE '^models/(clip|siglip|metaclip2|eva|family)[^/]*$' | sort | xargs awk '
  FNR == 1 { files++; inside = 0 }
  {
    line = ""
    for (rest = $0; rest != "";) {
      if (inside) {
        if (!match(rest, /\*\//)) break
        rest = substr(rest, RSTART + 2)
        inside = 0
      } else if (match(rest, /^"([^"\\]|\\.)*"/)) {
        text = substr(rest, 1, RLENGTH)
        rest = substr(rest, RLENGTH + 1)
        line = line (text ~ / / ? "\"\"" : text)
      } else if (rest ~ /^\/\*/) {
        rest = substr(rest, 3)
        inside = 1
      } else {
        line = line substr(rest, 1, 1)
        rest = substr(rest, 2)
      }
    }
    gsub(/"(Siglip2|CLIP)Tokenizer"/, "", line)
    $0 = " " line " "
  }
  /gh_metaclip|METACLIP|[^A-Za-z_]gh_eva[^a-z]|[Ss]ig[Ll]ip|SIGLIP|[^A-Za-z_]gh_clip[^a-z_]|GH_CLIP|[Ii]s_clip|[^n]clip_(vision|text)|CLIP[A-Z][a-z]/ ||
    /strcmp *\([^)]*"clip"/ {
    print "src/" FILENAME ":" FNR ": names a family:" $0; bad++
  }
  END {
    if (files < 100) { print "only " files + 0 " files were searched for families"; bad++ }
    exit bad > 0
  }'

# Only the backend speaks OpenCL or CUDA: no other file includes their headers or the backend's own, or calls them.
found=$(find . -name '*.[ch]' ! -path './backend/*' -exec grep -nE \
  '(^| )(CL_[A-Z_]+|cl[A-Z][a-z]+[A-Za-z]*\(|cu[A-Z][A-Za-z]+\()|#include [<"](CL/|clblast|clFFT|cuda|nvrtc|cufft|cublas|backend/(opencl|cuda)/)' \
  {} + || true)
if [ -n "$found" ]; then
  printf '%s\nonly src/backend may name OpenCL or CUDA\n' "$found"
  exit 1
fi
