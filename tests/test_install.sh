#!/usr/bin/env bash
# What other projects get: an installed tree, moved to another place, through pkg-config and through CMake's find_package,
# and the source tree through add_subdirectory. The examples are built against the shared library, embed.c also against the
# static one, and a C++ program; embed.c computes what the installed program computes (tests/test_examples.sh runs the
# other examples).
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
  "$compiler" -std=c11 -Wall -Wextra -Werror "$source" -o "$out" $options -lm \
    >"$work/log" 2>&1 || die "$source does not build: $(cat "$work/log")"
}

sed -n '/^```c$/,/^```$/p' "$here/../docs/library.md" | sed '/^```/d' >"$work/documented.c"
for source in "$here"/../examples/*.c "$work/documented.c"; do
  build_example "$work/moved" "$source" "$work/$(basename "$source" .c)"
done
build_example "$work/static" "$here/../examples/embed.c" "$work/embed_static" --static
libs=$(dirname "$(find "$work/moved" -name libgenhance.so)")
before=${LD_LIBRARY_PATH:-} # a driver's may be there
version=$("$work/moved/bin/genhance" --version | sed -n 's/^genhance //p')
soname=libgenhance.so.${version%.*}
export LD_LIBRARY_PATH=$libs${before:+:$before}
ldd "$work/embed" | grep -q "$soname => $libs" || die "the example does not load the installed library"
ldd "$work/embed_static" | grep -q libgenhance && die "the static example loads the shared library"
[ "$(PKG_CONFIG_PATH=$libs/pkgconfig pkg-config --modversion genhance)" = "$version" ] ||
  die "pkg-config and the program differ in version"
grep -rIlF -e "$work/first" -e "$build" "$work/moved" >"$work/log" && die "these files name where they were built: $(cat "$work/log")"
for file in share/genhance/configs/tiny.json share/man/man1/genhance.1 share/man/man1/genhance-train.1 \
  share/bash-completion/completions/genhance share/zsh/site-functions/_genhance share/doc/genhance/LICENSE; do
  [ -s "$work/moved/$file" ] || die "$file is not installed"
done

# consume FOLDER [cmake options...]: the programs of tests/install, in FOLDER.
consume() {
  local folder=$1
  shift
  cmake -G "$(cached CMAKE_GENERATOR)" -S "$here/install" -B "$folder" -DCMAKE_C_COMPILER="$compiler" -DEXAMPLE="$here/../examples/embed.c" \
    -DCMAKE_BUILD_TYPE=None "$@" >"$work/log" 2>&1 || die "a project with genhance does not configure: $(cat "$work/log")"
  cmake --build "$folder" -j "$(nproc)" >"$work/log" 2>&1 || die "a project with genhance does not build: $(tail -n 30 "$work/log")"
  [ "$(LD_LIBRARY_PATH=$before "$folder/caller")" = "$version" ] || die "the C++ program in $folder failed"
}

consume "$work/package" -DCMAKE_PREFIX_PATH="$work/moved"
consume "$work/part" -DGENHANCE_SOURCE="$here/.." -DCMAKE_C_COMPILER_LAUNCHER="$(cached CMAKE_C_COMPILER_LAUNCHER)"

# Only the public names are visible.
nm -D --defined-only "$libs/libgenhance.so" | awk '{print $3}' | grep -v '^genhance_' >"$work/log"
[ ! -s "$work/log" ] || die "visible in the library: $(cat "$work/log")"
for name in $(grep -ho 'genhance_[a-z_]*(' "$work/moved/include/genhance/"*.h | tr -d '(' | sort -u); do
  nm -D --defined-only "$libs/libgenhance.so" | grep -q " T $name$" || die "$name is not in the library"
done

picture=$(find "$here/fixtures/encode/images" -name '*.png' | sort | head -n 1)
"$work/moved/bin/genhance" encode --model "$model" --images "$picture" --out "$work/e.safetensors" >"$work/log" 2>&1 ||
  die "encode: $(cat "$work/log")"
for example in embed embed_static package/embed package/embed_static part/embed part/embed_static; do
  # Programs that CMake linked know where their library is.
  case $example in */*) export LD_LIBRARY_PATH=$before ;; esac
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

# What was installed can be removed again, and nothing else is.
cmake --install "$build" --prefix "$work/again" >"$work/log" 2>&1 || die "cmake --install: $(cat "$work/log")"
touch "$work/again/bin/other" "$work/again/share/genhance/own.json"
cmake -DMANIFEST="$build/install_manifest.txt" -P "$here/../cmake/uninstall.cmake" >"$work/log" 2>&1 ||
  die "uninstall: $(cat "$work/log")"
left=$(cd "$work/again" && find . -type f -o -type l | sort | tr '\n' ' ')
[ "$left" = "./bin/other ./share/genhance/own.json " ] || die "uninstall left $left"
[ ! -e "$work/again/include/genhance" ] || die "uninstall left the folder of the headers"
