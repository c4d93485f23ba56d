# shellcheck shell=sh
# What the tests of the program share: inputs made with awk and printf (only POSIX tools are used), runs that must work or
# fail, and what they print. Source it; works in a folder of its own, with a folder out/ for what the program writes.
set -eu
LC_ALL=C
export LC_ALL

bin=$CLFAVOR_BIN
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
mkdir out
checks=0

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# header FILE DESCR SHAPE: a .npy header of version 1, 128 bytes, as numpy writes it.
header() {
    { printf '\223NUMPY\001\000\166\000' && printf '%-117s\n' "{'descr': '$2', 'fortran_order': ${4:-False}, 'shape': ($3), }"; } >"$1"
}

# array FILE TYPE SHAPE COUNT SEED: values out of -1, -0.5, 0.25, 0.5, 1.5, which float16, float32 and float64 hold
# exactly, so that the same seed gives the same values whatever the type.
array() {
    header "$1" "$2" "$3"
    # awk prints backslashes in octal; printf turns them into bytes
    # shellcheck disable=SC2059
    printf "$(awk -v type="$2" -v count="$4" -v seed="$5" 'BEGIN {
        split("\\000\\274 \\000\\270 \\000\\064 \\000\\070 \\000\\076", half, " ")
        split("\\200\\277 \\000\\277 \\200\\076 \\000\\077 \\300\\077", single, " ")
        split("\\360\\277 \\340\\277 \\320\\077 \\340\\077 \\370\\077", double, " ")
        state = seed
        for (i = 0; i < count; ++i) {
            state = (state * 1103 + 12345) % 65521
            pick = state % 5 + 1
            if (type == "<f2")
                printf "%s", half[pick]
            else if (type == "<f4")
                printf "\\000\\000%s", single[pick]
            else
                printf "\\000\\000\\000\\000\\000\\000%s", double[pick]
        }
    }')" >>"$1"
}

# values FILE [TYPE]: the numbers of a file, one a line.
values() {
    tail -c +129 "$1" | od -An -v -t "${2:-f4}" | tr -s ' ' '\n' | sed '/^$/d'
}

# shape FILE: what its header says.
shape() {
    head -c 128 "$1" | tr -d '\000' | sed -n "s/.*'shape': (\([^)]*\)).*/\1/p"
}

# same A B TOLERANCE: as many numbers in both, none further apart than the tolerance.
same() {
    [ -s "$1" ] || fail "$1 is empty"
    [ "$(wc -l <"$1")" -eq "$(wc -l <"$2")" ] || fail "$1 and $2 differ in length"
    paste "$1" "$2" | awk -v tolerance="$3" '
        function abs(x) { return x < 0 ? -x : x }
        $1 != $2 && !(abs($1 - $2) <= tolerance) { print "line " NR ": " $1 " and " $2; bad = 1; exit }
        END { exit bad }' || fail "$1 and $2 differ"
    checks=$((checks + 1))
}

# good ARGUMENTS: must succeed; stdout and stderr go to files.
good() {
    "$bin" "$@" >stdout 2>stderr || fail "exit $?: clfavor $*: $(cat stderr)"
    checks=$((checks + 1))
}

# bad CODE TEXT ARGUMENTS: must fail with the code, say one line with the text on stderr (besides progress, where kernels
# are compiled for long), and leave no file in out/.
bad() {
    code=$1 text=$2
    shift 2
    status=0
    "$bin" "$@" >stdout 2>stderr || status=$?
    [ $status -eq "$code" ] || fail "exit $status, expected $code: clfavor $*: $(cat stderr)"
    [ "$(grep -vc ' s so far' stderr)" -eq 1 ] || fail "expected one line: clfavor $*: $(cat stderr)"
    grep -q '^clfavor: ' stderr || fail "expected 'clfavor: ...': $(cat stderr)"
    grep -qF -e "$text" stderr || fail "expected '$text': clfavor $*: $(cat stderr)"
    [ ! -s stdout ] || fail "output of a failed run: clfavor $*: $(cat stdout)"
    [ -z "$(ls -A out)" ] || fail "left behind: clfavor $*: $(ls -A out)"
    checks=$((checks + 1))
}

# field NAME: its value on the last run's "key: value" lines.
field() {
    sed -n "s/^$1: //p" stdout
}

# between VALUE LOW HIGH
between() {
    awk -v value="$1" -v low="$2" -v high="$3" 'BEGIN { exit !(value != "" && value >= low && value <= high) }' ||
        fail "'$1' is not in $2 .. $3"
    checks=$((checks + 1))
}
