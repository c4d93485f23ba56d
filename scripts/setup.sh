#!/bin/sh
# Installs what the build, the tests and the demo need from Debian's or Ubuntu's packages, if anything is missing.
# Usage: setup.sh [PACKAGE...] (further packages to install)
set -eu

packages="gcc libc6-dev make cmake pkg-config ocl-icd-opencl-dev pocl-opencl-icd libclblast-dev libopenblas-dev check libjansson-dev libxxhash-dev libzip-dev $*"

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "setup: no apt here; make sure that you have the equivalents of: $packages" >&2
    exit 0
fi

missing=
for package in $packages; do
    case $(dpkg-query -W -f '${db:Status-Status} ' "$package" 2>/dev/null) in
    *installed*) ;;
    *) missing="$missing $package" ;;
    esac
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -eq 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "setup: neither root nor sudo; ask an administrator to run: apt-get install$missing" >&2
    exit 1
fi

log=$(mktemp)
trap 'rm -f "$log"' EXIT
apt() {
    # shellcheck disable=SC2086 # as_root may be empty
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get -qy -o DPkg::Lock::Timeout=300 "$@" </dev/null >"$log" 2>&1
}

echo "setup: installing$missing" >&2
# The package lists may be there already; fetch them only if they do not do.
# shellcheck disable=SC2086 # a list of names
apt install --no-install-recommends $missing || { apt update && apt install --no-install-recommends $missing; } || {
    tail -n 20 "$log" >&2
    echo "setup: apt-get could not install$missing (its last lines are above)" >&2
    exit 1
}
