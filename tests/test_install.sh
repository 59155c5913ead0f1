#!/usr/bin/env bash
# The installed copy, and nothing else: the examples are built through pkg-config, against the shared library and against
# the static one, and embed.c gives what the installed program gives (tests/test_examples.sh runs the others).
# usage: test_install.sh path/to/genhance
set -u
build=$(cd "$(dirname "$1")" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
model=$here/fixtures/probe/tiny/clip
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

die() {
  echo "FAILED: $*"
  exit 1
}
cached() { sed -n "s/^$1:[A-Z]*=//p" "$build/CMakeCache.txt"; }
compiler=$(cached CMAKE_C_COMPILER)
flags=()
[ "$(cached GH_SANITIZE)" != ON ] || flags=(-fsanitize=address,undefined)

cmake --install "$build" --prefix "$work/first" >"$work/log" 2>&1 || die "cmake --install: $(cat "$work/log")"
mv "$work/first" "$work/moved" # an installed tree may be moved
cp -r "$work/moved" "$work/static"
find "$work/static" -name '*.so*' -delete

# build_example PREFIX SOURCE OUT [--static]
build_example() {
  local prefix=$1 source=$2 out=$3 options
  shift 3
  PKG_CONFIG_PATH=$(dirname "$(find "$prefix" -name genhance.pc)")
  export PKG_CONFIG_PATH
  options=$(pkg-config "$@" --cflags --libs genhance) || die "pkg-config: $options"
  # shellcheck disable=SC2086
  "$compiler" -std=c11 -Wall -Wextra -Werror "${flags[@]}" "$source" -o "$out" $options -lm \
    >"$work/log" 2>&1 || die "$source does not build: $(cat "$work/log")"
}

sed -n '/^```c$/,/^```$/p' "$here/../docs/library.md" | sed '/^```/d' >"$work/documented.c"
for source in "$here"/../examples/*.c "$work/documented.c"; do
  build_example "$work/moved" "$source" "$work/$(basename "$source" .c)"
done
build_example "$work/static" "$here/../examples/embed.c" "$work/embed_static" --static
libs=$(dirname "$(find "$work/moved" -name libgenhance.so)")
export LD_LIBRARY_PATH=$libs${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} # a driver's may be there
ldd "$work/embed" | grep -q "libgenhance.so.0 => $libs" || die "the example does not load the installed library"
ldd "$work/embed_static" | grep -q libgenhance && die "the static example loads the shared library"
[ "$(PKG_CONFIG_PATH=$libs/pkgconfig pkg-config --modversion genhance)" = \
  "$("$work/moved/bin/genhance" --version | sed 's/genhance //')" ] || die "pkg-config and the program differ in version"

# Only the public names are visible.
nm -D --defined-only "$libs/libgenhance.so" | awk '{print $3}' | grep -v '^genhance_' >"$work/log"
if [ ${#flags[@]} = 0 ] && [ -s "$work/log" ]; then die "visible in the library: $(cat "$work/log")"; fi
for name in $(grep -o 'genhance_[a-z_]*(' "$work/moved/include/genhance/genhance.h" | tr -d '(' | sort -u); do
  nm -D --defined-only "$libs/libgenhance.so" | grep -q " T $name$" || die "$name is not in the library"
done

# The header serves C++ too, where there is a compiler for it.
if command -v c++ >/dev/null; then
  printf '#include <genhance/genhance.h>\nint main() { return genhance_version()[0] == 0; }\n' >"$work/cpp.cc"
  c++ -Wall -Wextra -Werror -fsyntax-only -I"$work/moved/include" "$work/cpp.cc" || die "the header is no C++"
fi

picture=$(find "$here/fixtures/encode/images" -name '*.png' | sort | head -n 1)
"$work/moved/bin/genhance" encode --model "$model" --images "$picture" --out "$work/e.safetensors" >"$work/log" 2>&1 ||
  die "encode: $(cat "$work/log")"
for example in embed embed_static; do
  "$work/$example" >"$work/devices" || die "$example lists no devices"
  grep -q '^opencl:0: ' "$work/devices" || die "$example: $(cat "$work/devices")"
  "$work/$example" "$model" "$picture" >"$work/got" 2>"$work/err" || die "$example: $(cat "$work/err")"
  [ ! -s "$work/err" ] || die "$example printed on stderr: $(cat "$work/err")"
  count=$(wc -l <"$work/got")
  tail -c $((4 * count)) "$work/e.safetensors" | od -An -v -t f4 -w4 | paste "$work/got" - |
    awk -v example=$example '
      { d = $1 - $2; error += d * d; norm += $2 * $2 }
      END { if (!(NR > 0 && norm > 0 && error <= 1e-12 * norm)) { print example ": " NR " rows, " error / norm; exit 1 } }' ||
    die "$example and the program give different embeddings"
  [ "$("$work/$example" "$model" "$picture" "$picture")" = 1.0000 ] || die "$example: a picture is not like itself"
  "$work/$example" "$model" "$work/absent.png" >"$work/got" 2>"$work/err" && die "$example embeds what is not there"
  grep -q '^embed: .*absent.png' "$work/err" || die "$example: no reason in: $(cat "$work/err")"
done
