#!/bin/sh
# The library has no state of its own and touches nothing of the process: its objects define no writable data, and
# import only what is listed here, so nothing that prints, exits, registers handlers or reads the environment.
set -eu

case $CFLAGS in
*-fsanitize*) exit 77 ;; # sanitizers add data and imports of their own
esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL
find "$CLFAVOR_BUILD/CMakeFiles/clfavor_objects.dir" -name '*.o' >"$work/objects"
[ "$(wc -l <"$work/objects")" -ge "$(find "$CLFAVOR_SOURCE/src" -name '*.c' | wc -l)" ] || {
    echo "the library's objects were not found"
    exit 1
}

# Objects of some size in sections that stay writable; .data.rel.ro becomes read-only when the library is loaded.
writable_data() {
    objdump -t "$@" | awk '{
        for (i = 2; i < NF; ++i)
            if ($i ~ /^(\.t?data|\.t?bss|\.ldata|\.lbss|\*COM\*)(\.|$)/ && $i !~ /^\.data\.rel\.ro/ && $(i + 1) !~ /^0+$/)
                print $NF
    }'
}

# A file that has all kinds shows that the search finds them.
cat >"$work/control.c" <<'C'
static int counter;
int start = 3;
_Thread_local int each;
static const char *const name = "constant";
int *next(void);
int *next(void) { return ++counter > start + name[0] ? &each : &counter; }
C
"$CC" -O0 -fPIC -c "$work/control.c" -o "$work/control.o"
[ "$(writable_data "$work/control.o" | sort | tr '\n' ' ')" = "counter each start " ] || {
    echo "the search for writable data does not work: $(writable_data "$work/control.o")"
    exit 1
}

# shellcheck disable=SC2046 # one object a word; build folders with spaces are not for this test
data=$(writable_data $(cat "$work/objects"))
[ -z "$data" ] || {
    echo "writable data in the library: $data"
    exit 1
}

# What may be imported.
cat >"$work/allowed" <<'LIST'
cl[A-Z][A-Za-z]*                                    OpenCL
CLBlast[A-Z][A-Za-z]*                               CLBlast, where the library has its back end
(cos|exp|exp2|expf|fmax|fmin|hypot|log|log1p|logf|pow|sin|sincos|sqrt) libm
qsort                                               <stdlib.h>, which keeps no state
(malloc|calloc|realloc|free)                        memory
mem(chr|cmp|cpy|move|set)                           <string.h>
str(chr|cmp|cspn|len|ncmp|rchr|spn|str)                <string.h>, without what keeps state
v?snprintf                                          text into our own buffers
(fopen|fread|fclose|ferror|feof)                    kernel_dir, a folder that the caller names, for development
mtx_(init|lock|unlock|destroy)                      locks inside the caller's objects
thrd_(create|join)                                  threads that a fit is told to use, and ends
timespec_get                                        the time that a build took
__(mem|str|v?snprintf|fread)[a-z]*_chk              the checked forms of distributions' hardening
__stack_chk_fail                                    the stack protector
_GLOBAL_OFFSET_TABLE_                               the linker
LIST
# And by the cache alone, in cache_dir, a folder that the caller names.
cat >"$work/allowed_in_cache" <<'LIST'
(open|read|write|close|fstat|fstatat|rename|mkstemp|unlink|unlinkat|mkdir|futimens) files, and times for the least used
(opendir|readdir|closedir|dirfd)                                                   its folder
(__errno_location|__xpg_strerror_r)                                                why one could not be written
time                                                                               how old a leftover is
__read_chk                                                                         as above
LIST
awk '{print "^" $1 "$"}' "$work/allowed" >"$work/patterns"
awk '{print "^" $1 "$"}' "$work/allowed" "$work/allowed_in_cache" >"$work/patterns_of_cache"
grep '/cache\.c\.o$' "$work/objects" >"$work/cache"
grep -v '/cache\.c\.o$' "$work/objects" >"$work/others"
xargs nm --defined-only <"$work/objects" | awk 'NF == 3 {print $3}' | sort -u >"$work/defined"
# imports OBJECTS PATTERNS: what is not allowed.
imports() {
    xargs nm -u <"$1" | awk '$1 == "U" {print $2}' | sort -u | comm -23 - "$work/defined" | grep -Ev -f "$2" || true
}
xargs nm -u <"$work/others" | grep -q ' clBuildProgram$'
for names in "$(imports "$work/others" "$work/patterns")" "$(imports "$work/cache" "$work/patterns_of_cache")"; do
    [ -z "$names" ] || {
        echo "the library imports what is not allowed: $names"
        exit 1
    }
done
