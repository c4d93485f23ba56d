# Says to Doxygen at every name what the headers say once: INPUT_FILTER of Doxyfile.in. No line moves.
#   type a, b; /**< words */    becomes    type a; /**< words */ type b; /**< words */
#   size_t struct_size;         gets the words that hold for every structure
#   the list of status.h        becomes the values of its enum, with their messages

/^    X\(/ {
    split($0, part, /[(,] */)
    split($0, message, "\"")
    values = values "CLFAVOR_" part[3] " = " part[2] ", /**< " message[2] " */ "
}
/^    CLFAVOR_STATUS_LIST\(/ { $0 = values }
/CLFAVOR_STATUS_ENUM/ { $0 = "" }

/^    size_t struct_size;$/ { $0 = $0 " /**< sizeof the structure, set by the caller */" }

/^    [a-z][a-z0-9_ ]* \**[a-z0-9_]+(, \**[a-z0-9_]+)+;/ {
    declaration = $0
    sub(/;.*/, "", declaration)
    words = substr($0, length(declaration) + 2)
    lines = 0
    while (words ~ /\/\*\*</ && words !~ /\*\// && (getline more) > 0) {
        sub(/^ */, " ", more)
        words = words more
        ++lines
    }
    count = split(declaration, name, /, /)
    match(name[1], /\**[a-z0-9_]+$/)
    type = substr(name[1], 1, RSTART - 1)
    name[1] = substr(name[1], RSTART)
    for (i = 1; i <= count; ++i)
        printf "%s%s;%s", type, name[i], words
    for (i = 0; i <= lines; ++i)
        print ""
    next
}

{ print }
