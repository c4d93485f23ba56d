#!/bin/sh
# clfavor selftest: one report with everything in it and nothing private, exit codes, and a failure that it must show.
# Needs CLFAVOR_BIN and CLFAVOR_SOURCE.
# shellcheck disable=SC2015,SC2154 # "a && b || fail" means it; bin and the like are of the file that is read
# shellcheck source=tests/scripts/program.sh
. "$CLFAVOR_SOURCE/tests/scripts/program.sh"
unset CLFAVOR_TUNING

good selftest --help
grep -q '^Usage: clfavor selftest' stdout || fail "--help: $(cat stdout)"
bad 2 'cpu, gpu, both or auto' selftest --class tpu
bad 2 'expects a suite' selftest --suite nothing
bad 2 'unexpected argument' selftest report.txt
bad 2 'cannot be read' selftest --tuning none.json
bad 3 'matches no device' selftest --device nothing --out out/r.txt
bad 1 'cannot write' selftest --out /nonexistent/r.txt

# report FILE: what every report has
report() {
    for line in '^clfavor selftest$' '^clfavor: [0-9]' '^system.name: ' '^passed: ' '^== device$' '^driver: ' \
        '^tuning: ' '^tuning_reason: ' '^== verify$' '^complete: no$' '^suites.law.passed: [1-9]' '^== bench$' \
        'fraction_of_peak.best: [0-9]' '^build_seconds: [0-9]' '^-----BEGIN CLFAVOR SELFTEST JSON-----$' \
        '^ "format": "clfavor-selftest",$' '^-----END CLFAVOR SELFTEST JSON-----$'; do
        grep -q -e "$line" "$1" || fail "no '$line': $(cat "$1")"
    done
    for private in "$(uname -n)" "$HOME" "$PWD" "$CLFAVOR_SOURCE" "$(dirname "$CLFAVOR_BIN")"; do
        [ "${#private}" -lt 3 ] || ! grep -qF -e "$private" "$1" || fail "'$private' is in the report"
    done
    ! grep -Eq '(^|[ "(])/[A-Za-z]+/' "$1" || fail "a path is in the report"
    ! grep -qw -e "$(id -un)" "$1" || fail "the user is in the report"
}

good selftest --suite law --class both --out out/r.txt
[ "$(field passed)" = yes ] && [ "$(field report)" = out/r.txt ] || fail "summary: $(cat stdout)"
grep -q '^cpu class: [1-9][0-9]* checks passed, 0 failed$' stdout || fail "no cpu class: $(cat stdout)"
grep -q '^gpu class: [1-9][0-9]* checks passed, 0 failed$' stdout || fail "no gpu class: $(cat stdout)"
report out/r.txt
[ "$(grep -c '^== verify$' out/r.txt)" -eq 2 ] && grep -q '^backend: ' out/r.txt && grep -q '^fused.group: ' out/r.txt ||
    fail "not both classes: $(cat out/r.txt)"
rm out/r.txt

# A library that is wrong: the variant with deliberate bugs has the same subcommand.
mutants=$(dirname "$bin")/clfavor-mutants
if [ -x "$mutants" ]; then
    name=$("$mutants" verify --mutant list | awk -F '\t' '$2 ~ /^law\// && !found++ { print $1 }')
    status=0
    "$mutants" selftest --suite law --class cpu --mutant "$name" >stdout 2>stderr || status=$?
    [ $status -eq 1 ] || fail "exit $status with $name in: $(cat stdout stderr)"
    report stdout
    grep -q '^passed: no$' stdout && grep -q '^FAILED law/' stdout && grep -q '"failures": \[$' stdout ||
        fail "the failure is not in the report: $(cat stdout)"
fi
echo "$checks checks"
