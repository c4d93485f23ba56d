#include "common.h"

#define TEXT_(x) #x
#define TEXT(x)  TEXT_(x)

void clfavor_version(int *major, int *minor, int *patch) {
    if (major)
        *major = CLFAVOR_VERSION_MAJOR;
    if (minor)
        *minor = CLFAVOR_VERSION_MINOR;
    if (patch)
        *patch = CLFAVOR_VERSION_PATCH;
}

const char *clfavor_version_string(void) {
    return TEXT(CLFAVOR_VERSION_MAJOR) "." TEXT(CLFAVOR_VERSION_MINOR) "." TEXT(CLFAVOR_VERSION_PATCH);
}
