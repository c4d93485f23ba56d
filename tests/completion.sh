#!/bin/sh
# Completion in bash: subcommands, options, names of files, and the names that options take.
set -eu

command -v bash >/dev/null || exit 77
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
touch "$work/queries.npy" "$work/quick tour"

cat >"$work/complete" <<'BASH'
set -u
. "$CLFAVOR_SOURCE/cli/completion.bash"
compopt() { :; } # works at a prompt only
COMP_WORDS=("$CLFAVOR_BIN" "$@")
COMP_CWORD=$#
_clfavor "$CLFAVOR_BIN"
printf '%s\n' "${COMPREPLY[@]}" | LC_ALL=C sort
BASH

# check EXPECTED WORD...: what completes the last word, one a line
check() {
    expected=$1
    shift
    found=$(cd "$work" && bash complete "$@" | tr '\n' '|')
    [ "$found" = "$expected|" ] || {
        echo "completion of '$*' gave $found, expected $expected|"
        exit 1
    }
}

check "features|fit" f
check "--version" --v
check "--causal|--chunk=|--class=|--compare|--compare-rows=|--correct-values" run --c
check "--calibrate=|--causal|--class=" verify --list --c
check "auto|cpu|gpu" run --class ""
check "auto|both|cpu|gpu" selftest --class =
check "trig|trig-phase" bench --map = tr
check "orthogonal-fixed-norm|orthogonal-pairs" run --projection orthogonal-
check "query" features --role = q
check "full" verify --level = f
check "queries.npy|quick tour" run --q = qu
check "queries.npy" fit --k que
check "" run --seed = ""
check "" run --out = nothing
check "" nonsense --
[ ! -e "$work/?" ] # asking opened no file

# Every subcommand completes, and every option that names a choice in its help has one.
for subcommand in $("$CLFAVOR_BIN" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    "$CLFAVOR_BIN" "$subcommand" --help | sed -n 's/^      \(--[^ ]*\).*/\1/p' | sed 's/=.*/=/' | LC_ALL=C sort >"$work/told"
    (cd "$work" && bash complete "$subcommand" --) >"$work/completed"
    diff "$work/told" "$work/completed"
    grep -E '^--(map|class|backend|projection|role|level|operation|fit-method)=' "$work/told" | while IFS='=' read -r option; do
        [ "$(cd "$work" && bash complete "$subcommand" "$option" = "" | wc -l)" -ge 2 ] || {
            echo "no choices for $subcommand $option"
            exit 1
        }
    done
done
