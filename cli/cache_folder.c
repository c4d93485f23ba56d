#include "cache_folder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *cache_folder(char *path, size_t size) {
    const char *own = getenv("CLFAVOR_CACHE_DIR"), *base = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length;
    if (own)
        return *own && strcmp(own, "0") != 0 ? own : NULL;
    if (base && *base == '/') /* the XDG specification: a relative one is to be ignored */
        length = snprintf(path, size, "%s/clfavor", base);
    else if (home && *home == '/')
        length = snprintf(path, size, "%s/.cache/clfavor", home);
    else
        return NULL;
    return length > 0 && (size_t)length < size ? path : NULL;
}
