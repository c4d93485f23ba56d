/* A project that uses an installed clfavor: the headers compile alone, the library links and is the same version. */
#include <clfavor/clfavor.h>

#include <stdio.h>

int main(void) {
    int major, minor, patch;
    clfavor_version(&major, &minor, &patch);
    printf("clfavor %s: %s\n", clfavor_version_string(), clfavor_status_name(CLFAVOR_SUCCESS));
    clfavor_plan *plan; /* links what a plan needs, too */
    return major != CLFAVOR_VERSION_MAJOR || minor != CLFAVOR_VERSION_MINOR || patch != CLFAVOR_VERSION_PATCH ||
           clfavor_plan_create(&plan, NULL, NULL) != CLFAVOR_INVALID_ARGUMENT;
}
