#!/bin/sh
# The ABI: the library exports what symbols.txt lists, and the headers declare the same. A name that appears here by
# surprise lacks `static` or CLFAVOR_API; a name that goes breaks programs and needs a new SOVERSION.
# The library needs OpenCL and the C library, nothing else.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
LC_ALL=C
export LC_ALL
list=$CLFAVOR_SOURCE/tests/symbols.txt

sed -n 's/.*CLFAVOR_API.*[ *]\(clfavor_[a-z0-9_]*\)(.*/\1/p' "$CLFAVOR_SOURCE"/include/clfavor/*.h | sort >"$work/headers"
diff "$list" "$work/headers" || {
    echo "the headers and tests/symbols.txt differ"
    exit 1
}

case $CLFAVOR_LIB in
*.so*) ;;
*) exit 0 ;; # a static library hides nothing
esac
# Sanitizers add symbols of their own, which begin with two underscores.
nm -D --defined-only "$CLFAVOR_LIB" | awk '{print $3}' | grep -v '^__' | sort >"$work/library"
diff "$list" "$work/library" || {
    echo "the library and tests/symbols.txt differ"
    exit 1
}

objdump -p "$CLFAVOR_LIB" | awk '$1 == "NEEDED" {print $2}' | grep -Ev '^(libOpenCL|libclblast|libm|libc|libpthread|lib[a-z]+san)\.so' && {
    echo "the library needs more than OpenCL, CLBlast and libm"
    exit 1
}
objdump -p "$CLFAVOR_LIB" | grep -q 'SONAME *libclfavor\.so\.0$' || {
    echo "the library's SONAME is not libclfavor.so.0"
    exit 1
}
