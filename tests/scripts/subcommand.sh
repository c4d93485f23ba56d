# shellcheck shell=sh
# What the tests of a subcommand share: source it after setting `subcommand`. Works in a folder of its own.
set -eu
LC_ALL=C
export LC_ALL

bin=$CLFAVOR_BIN
subcommand=${subcommand:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

fail() {
    echo "FAILED: $*" >&2
    exit 1
}

# good ARGUMENTS: it works; what it says is in the files stdout and stderr.
good() {
    "$bin" "$subcommand" "$@" >stdout 2>stderr || fail "exit $?: clfavor $subcommand $*: $(cat stdout stderr)"
}

# bad CODE TEXT ARGUMENTS: this exit status, and one line on stderr, notes and progress apart, that has the text.
bad() {
    code=$1 text=$2
    shift 2
    status=0
    "$bin" "$subcommand" "$@" >stdout 2>stderr || status=$?
    [ $status -eq "$code" ] || fail "exit $status, not $code: clfavor $subcommand $*: $(cat stdout stderr)"
    grep -q -e "$text" stderr || fail "no '$text' from clfavor $subcommand $*: $(cat stderr)"
    [ "$(grep -vEc ': note: | so far' stderr)" -eq 1 ] || fail "more than one line from clfavor $subcommand $*: $(cat stderr)"
}
