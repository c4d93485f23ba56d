#!/bin/sh
# Writes the man page of the program `clfavor` to stdout. Its text is what --help prints, so that the two cannot differ.
# Usage: manpage.sh PROGRAM YYYY-MM-DD
set -eu

program=$1
date=$2
LC_ALL=C
ARGP_HELP_FMT=
export LC_ALL ARGP_HELP_FMT

# --help as roff: no blanks at ends of lines, and no character that roff takes for its own.
roff_help() {
    "$program" "$@" --help | sed -e 's/ *$//' -e 's/\\/\\e/g' -e 's/-/\\-/g' -e "s/^\( *\)\([.']\)/\1\\\\\&\2/"
}

roff_help | awk -v version="$("$program" --version)" -v date="$date" '
    NR == 1 {print ".TH CLFAVOR 1 " date " \"" version "\" \"User Commands\""; next}
    NR == 2 {
        summary = $0
        sub(/\.$/, "", summary)
        print ".SH NAME\nclfavor \\- " summary "\n.SH SYNOPSIS\n.B clfavor\n\\fISUBCOMMAND\\fR [\\fIOPTION\\fR...]"
        print ".SH DESCRIPTION\n" $0
        next
    }
    /^$/ {gap = 1; next}
    /^  [a-z]+  / {print ".TP\n.B " $1; sub(/^ *[a-z]+ */, ""); print; next}
    gap {print ".PP"; gap = 0}
    {
        sub(/^ */, "")
        sub(/ *Exit status: /, "\n.SH EXIT STATUS\n")
        sub(/^Environment: /, ".SH ENVIRONMENT\n")
        print
    }'

echo ".SH SUBCOMMANDS"
for subcommand in $("$program" --help | sed -n 's/^  \([a-z]*\)  .*/\1/p'); do
    echo ".SS clfavor $subcommand"
    roff_help "$subcommand" | awk '
        /^Usage:/ {usage = 1; next}
        usage && /^ / {next}
        {usage = 0}
        /^$/ {gap = 1; next}
        /^      \\-\\-/ {
            option = $1
            sub(/^ *[^ ]* */, "")
            sub(/=/, "=\\fI", option)
            print ".TP\n\\fB" option "\\fR"
            options = 1
            gap = 0
            if ($0)
                print
            next
        }
        gap && !/^ / {print ".PP"}
        {gap = 0; sub(/^ */, ""); print}'
done
