#!/bin/sh
# Makes the Debian package in build-package/ and checks it with what it installs alone: a first result, a program that is
# compiled against it by pkg-config, and the self-test.
# Usage: package.sh [--quick] [--chroot]
#   --quick   no self-test
#   --chroot  installs it by apt in a minimal system that debootstrap makes (as root; minutes), so that nothing else is
#             there; without it the package is unpacked into a folder
set -eu

quick=''
chroot=''
for option; do
    case $option in
    --quick) quick=1 ;;
    --chroot) chroot=1 ;;
    *)
        sed -n 's/^# Usage/usage/p' "$0" >&2
        exit 2
        ;;
    esac
done

root=$(cd "$(dirname "$0")/.." && pwd)
sh "$root/scripts/setup.sh" dpkg-dev ${chroot:+debootstrap}
build=$root/build-package
work=$(mktemp -d)
trap 'rm -rf --one-file-system "$work"' EXIT
chmod 755 "$work"

logged() {
    "$@" >"$work/log" 2>&1 || {
        tail -n 30 "$work/log" >&2
        echo "package: '$*' failed (its last lines are above)" >&2
        exit 1
    }
}
logged cmake -S "$root" -B "$build" -DCMAKE_BUILD_TYPE=Release -DCMAKE_INSTALL_PREFIX=/usr -DCLFAVOR_BUILD_TESTS=OFF
logged cmake --build "$build" --parallel "$(getconf _NPROCESSORS_ONLN)"
rm -f "$build"/*.deb
(cd "$build" && logged cpack -G DEB)
package=$(echo "$build"/*.deb)

# The clean system, and how to run something in it: nothing of the environment goes along.
system=$work/system
if [ "$chroot" ]; then
    inside=
    # PoCL asks /proc and /sys how much memory and how many processors there are. The mounts end with the command.
    # shellcheck disable=SC2016 # expanded in there
    into() {
        unshare --mount sh -euc '
            mount -t proc proc "$0/proc"
            mount --rbind /sys "$0/sys"
            exec chroot "$0" env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root DEBIAN_FRONTEND=noninteractive "$@"
        ' "$system" "$@"
    }
    # shellcheck disable=SC1091 # says which Debian this is
    logged debootstrap --variant=minbase "$(. /etc/os-release && echo "$VERSION_CODENAME")" "$system"
    logged into apt-get -qy install --no-install-recommends pocl-opencl-icd gcc libc6-dev pkg-config ocl-icd-opencl-dev
else
    inside=$system
    mkdir -p "$system/root"
    libdir=$system/usr/lib/$(dpkg-architecture -q DEB_HOST_MULTIARCH)
    into() {
        env -i PATH="$system/usr/bin:/usr/bin:/bin" HOME="$system/root" LD_LIBRARY_PATH="$libdir" \
            PKG_CONFIG_PATH="$libdir/pkgconfig" "$@"
    }
fi
mkdir "$system/check"
cp "$root"/data/minilm-layer5-[qkv].npy "$package" "$system/check"
awk '/^```$/ {inside = 0} inside; /^```c$/ {inside = 1}' "$root/README.md" >"$system/check/example.c"

started=$(date +%s.%N)
if [ "$chroot" ]; then
    logged into apt-get -qy install --no-install-recommends "/check/${package##*/}"
else
    dpkg-deb -x "$package" "$system"
fi
installed=$(date +%s.%N)
into clfavor run --q "$inside/check/minilm-layer5-q.npy" --k "$inside/check/minilm-layer5-k.npy" \
    --v "$inside/check/minilm-layer5-v.npy" --out "$inside/check/o.npy" >"$work/run"
finished=$(date +%s.%N)

[ -s "$system/usr/share/man/man1/clfavor.1" ]
[ -s "$system/usr/share/bash-completion/completions/clfavor" ]
# shellcheck disable=SC2016 # expanded in there
into sh -euc 'cc -std=c11 -Wall -Wextra -Werror "$1.c" -o "$1" $(pkg-config --cflags --libs clfavor) && "$1"' - \
    "$inside/check/example"
[ "$quick" ] || logged into clfavor selftest --out "$inside/check/selftest.txt"

library=$(readlink -f "$(find "$system/usr/lib" -name libclfavor.so)")
awk -v package="$(stat -c %s "$package")" -v library="$(stat -c %s "$library")" \
    -v program="$(stat -c %s "$system/usr/bin/clfavor")" -v s="$started" -v i="$installed" -v f="$finished" -v name="${package##*/}" '
    BEGIN {
        printf "%s: %.0f KB; libclfavor.so, stripped: %.0f KB; program: %.0f KB; ", name, package / 1e3, library / 1e3, program / 1e3
        printf "installed in %.1f s, first result after %.1f s\n", i - s, f - s
    }'
