#!/usr/bin/env bash
# Installs missing Debian packages for building, testing or the quickstart.
# usage: scripts/setup.sh SET ...      SET: build, formats, tests, browser, static, intel or rusticl
# formats: the library for AVIF; browser: the one that opens the pages in a test.
# Does nothing if all packages are installed. Needs root or sudo; without either, it lists the missing packages and exits
# with 1. On other systems than Debian and Ubuntu it lists the packages, exits with 0 and leaves the rest to CMake.
set -euo pipefail
cd "$(dirname "$0")/.."

packages_build="gcc libc6-dev cmake ninja-build pkg-config ocl-icd-opencl-dev opencl-headers pocl-opencl-icd
  libclblast-dev libclfft-dev libpng-dev libturbojpeg0-dev libwebp-dev libcairo2-dev libcjson-dev libxxhash-dev libutf8proc-dev"
packages_formats="libavif-dev"
packages_tests="g++ clang libclang-rt-14-dev libcmocka-dev libarchive-dev librandom123-dev oclgrind clang-format-14 man-db zsh
  libopenmpi-dev openmpi-bin python3-venv python3-numpy"
packages_browser="chromium"
packages_intel="python3-venv"
packages_rusticl="mesa-opencl-icd"
packages_static="clang-19 llvm-19 rocm-device-libs libigc1 libigdfcl1 libigdgmm12 python3-venv"

wanted=""
for set in "$@"; do
  name=packages_${set//[!a-z]/_}
  [ -n "${!name:-}" ] || { echo "setup.sh: unknown package set $set" >&2; exit 2; }
  wanted="$wanted ${!name}"
done

if ! command -v dpkg-query >/dev/null; then
  echo "not Debian: if the build fails, install the equivalents of" $wanted >&2
  exit 0
fi

missing=()
for package in $wanted; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0

as_root=()
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || {
    echo "packages are missing; run as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi

export DEBIAN_FRONTEND=noninteractive
mkdir -p build
log=build/setup.log
: >"$log"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y -o Dpkg::Use-Pty=0)

# Runs a command with its output in the log. On a terminal it counts seconds, to show progress on a slow mirror.
quietly() {
  local what=$1 began=$SECONDS status=0 pid
  shift
  "$@" >>"$log" 2>&1 </dev/null &
  pid=$!
  while [ -t 1 ] && kill -0 "$pid" 2>/dev/null; do
    printf '\r    %s %3d s' "$what" $((SECONDS - began))
    sleep 1
  done
  wait "$pid" || status=$?
  [ ! -t 1 ] || printf '\r\033[K'
  [ $status != 0 ] || echo "    $what: $((SECONDS - began)) s"
  return $status
}

install() { "${apt[@]}" install --no-install-recommends "${missing[@]}"; }
update() { "${apt[@]}" update; }

echo "    missing: ${missing[*]}"
[ ${#as_root[@]} = 0 ] || sudo -v # asks for the password here, where it is visible

# Package lists older than a day often name files that the mirror has removed.
fresh=$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 2>/dev/null | head -n 1)
if [ -z "$fresh" ]; then quietly "updating package lists" update || true; fi
if ! quietly "installing ${#missing[@]} packages" install; then
  quietly "updating package lists" update || true
  quietly "installing ${#missing[@]} packages" install || {
    tail -n 20 "$log" >&2
    echo "apt-get failed; see $log" >&2
    exit 1
  }
fi
