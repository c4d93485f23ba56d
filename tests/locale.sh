#!/bin/sh
# Where a comma is the decimal point: the program prints and reads the same, and a program that sets such a locale gets
# the same results of the library. Needs CLFAVOR_BIN, CLFAVOR_SOURCE and CLFAVOR_BUILD.
# shellcheck source=tests/scripts/program.sh
. "$CLFAVOR_SOURCE/tests/scripts/program.sh"

localedef -i de_DE -f UTF-8 "$work/de_DE.UTF-8" 2>/dev/null || [ -d "$work/de_DE.UTF-8" ] || {
    echo "no source of a German locale here (Debian: package locales)"
    exit 77
}
comma() { env LOCPATH="$work" LC_ALL=de_DE.UTF-8 "$@"; }
[ "$(comma locale decimal_point)" = , ] || fail "de_DE has no decimal comma"

array q.npy '<f4' '2, 40, 6' 480 1
run="run --q q.npy --k q.npy --v q.npy --features 16 --scale 0.25 --compare --json"
# shellcheck disable=SC2086 # options
for locale in "" comma; do
    $locale "$bin" $run --out out/o.npy >"json$locale" || fail "$locale $run"
    mv out/o.npy "o$locale"
done
cmp o ocomma || fail "outputs differ"
# what is no time
for file in json jsoncomma; do
    sed -e '/seconds/d; /per_second/d' $file >$file.results
done
cmp json.results jsoncomma.results || fail "reports differ"

# A program in that locale: an example, made to set it before main.
example=$CLFAVOR_BUILD/examples/example_01_attention
if [ -x "$example" ]; then
    cat >set.c <<'C'
#include <locale.h>
#include <stdlib.h>
__attribute__((constructor)) static void set(void) {
    if (!setlocale(LC_ALL, "") || localeconv()->decimal_point[0] != ',')
        abort();
}
C
    case $CFLAGS in
    *-fsanitize*) ;; # their runtimes must come first
    *)
        "$CC" -shared -fPIC set.c -o set.so
        "$example" >expected
        comma env LD_PRELOAD="$work/set.so" "$example" >actual
        grep -q '0,' actual || fail "the example does not print in its locale: $(cat actual)"
        tr , . <actual | cmp - expected || fail "the example's result differs: $(cat actual expected)"
        ;;
    esac
fi
echo "locale: the same with a decimal comma"
