#!/bin/sh
# The man page has every subcommand and option of --help and no other, and is right to those who read such pages.
set -eu

page=$CLFAVOR_BUILD/clfavor.1
[ -e "$page" ] || exit 77 # cross-compiled
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

for subcommand in $("$CLFAVOR_BIN" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    echo "clfavor $subcommand"
    "$CLFAVOR_BIN" "$subcommand" --help | sed -n 's/^      \(--[^ =]*\).*/\1/p'
done >"$work/told"
[ "$(wc -l <"$work/told")" -gt 100 ]
sed -n -e 's/\\-/-/g' -e 's/^\.SS //p' -e 's/^\\fB\(--[^=\\]*\).*/\1/p' "$page" | diff "$work/told" -
grep -q '^\.SH EXIT STATUS' "$page"
grep -q '^\.SH ENVIRONMENT' "$page"

if command -v mandoc >/dev/null; then
    mandoc -T lint -W warning "$page"
fi
if man -V >/dev/null 2>&1; then
    LC_ALL=C.UTF-8 man --warnings -E UTF-8 -Tutf8 -Z -l "$page" 2>"$work/warnings" >/dev/null || true
    [ ! -s "$work/warnings" ] || {
        cat "$work/warnings"
        exit 1
    }
fi
