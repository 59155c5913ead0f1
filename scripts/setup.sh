#!/usr/bin/env bash
# Installs the Debian packages that building, testing or the quickstart needs, where they are missing.
# usage: scripts/setup.sh build|pictures|tests|static|intel|rusticl ...   (sets; nothing is done when all packages are there)
# As root or through sudo; without either it names the packages and ends with 1. Not on Debian or Ubuntu: it says what
# it would have installed and leaves the rest to CMake.
set -euo pipefail
cd "$(dirname "$0")/.."

packages_build="gcc libc6-dev cmake ninja-build pkg-config ocl-icd-opencl-dev opencl-headers pocl-opencl-icd
  libclblast-dev libclfft-dev libpng-dev libturbojpeg0-dev libcjson-dev libxxhash-dev libutf8proc-dev"
packages_pictures="tuxpaint-stamps-default"
packages_tests="g++ libcmocka-dev libarchive-dev librandom123-dev oclgrind clang-format-14"
packages_intel="python3-venv"
packages_rusticl="mesa-opencl-icd"
packages_static="clang-19 rocm-device-libs libigc1 libigdfcl1 libigdgmm12 python3-venv"

wanted=""
for set in "$@"; do
  name=packages_${set//[!a-z]/_}
  [ -n "${!name:-}" ] || { echo "setup.sh: no set of packages is called $set" >&2; exit 2; }
  wanted="$wanted ${!name}"
done

if ! command -v dpkg-query >/dev/null; then
  echo "no Debian: if the build stops, install the equivalents of" $wanted >&2
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
    echo "these packages are missing; as root: apt-get install ${missing[*]}" >&2
    exit 1
  }
  as_root=(sudo)
fi

export DEBIAN_FRONTEND=noninteractive
mkdir -p build
log=build/setup.log
: >"$log"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive LC_ALL=C apt-get -q -y -o Dpkg::Use-Pty=0)

# Runs a command with its output in the log; on a terminal the seconds tick, so that a slow mirror looks alive.
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
[ ${#as_root[@]} = 0 ] || sudo -v # asks for the password here, not behind the log

# Package lists that are a day old often name files that the mirror has dropped.
fresh=$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mtime -1 2>/dev/null | head -n 1)
if [ -z "$fresh" ]; then quietly "updating package lists" update || true; fi
if ! quietly "installing ${#missing[@]} packages" install; then
  quietly "updating package lists" update || true
  quietly "installing ${#missing[@]} packages" install || {
    tail -n 20 "$log" >&2
    echo "apt-get failed; all it said is in $log" >&2
    exit 1
  }
fi
