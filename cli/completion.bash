# shellcheck shell=bash
# Completion of `clfavor` for bash, which sources this file when it is needed. Subcommands, options and the names that
# options take are asked of the program, so that they cannot differ. With --help it opens neither a device nor a file.

_clfavor_help() { LC_ALL=C ARGP_HELP_FMT='' "$@" --help </dev/null 2>&1; }

_clfavor() {
    local program=${1/#\~/$HOME} subcommand=${COMP_WORDS[1]} word=${COMP_WORDS[COMP_CWORD]}
    local option=${COMP_WORDS[COMP_CWORD - 1]} name value words='' argument=''
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        words=$(_clfavor_help "$program" | sed -n 's/^  \([a-z]*\)  .*/\1/p')
        mapfile -t COMPREPLY < <(compgen -W "$words --help --version" -- "$word")
        return
    fi

    # --map=trig is three words to bash, --map trig two.
    if [[ $word == = ]]; then
        word=
    elif [[ $option == = ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]}
    fi
    while IFS='=' read -r name value; do
        words+=" $name${value:+=}"
        [[ $name != "$option" ]] || argument=$value
    done < <(_clfavor_help "$program" "$subcommand" | sed -n 's/^      \(--[^ ]*\).*/\1/p')

    case $argument in
    '')
        mapfile -t COMPREPLY < <(compgen -W "$words" -- "$word")
        [[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
        ;;
    FILE | DIR)
        compopt -o filenames
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        ;;
    *) # A wrong name is answered with the right ones, where there is a list of them.
        words=$(_clfavor_help "$program" "$subcommand" "$option=?" |
            sed -n 's/.* expects \(\([a-z-]*, \)*[a-z-]* or [a-z-]*\), got .*/\1/p')
        words=${words/ or / }
        mapfile -t COMPREPLY < <(compgen -W "${words//,/}" -- "$word")
        ;;
    esac
}

complete -F _clfavor clfavor
