#include "openblas.h"

#include <dlfcn.h>
#include <string.h>

static void *open_library(void) {
    void *library = NULL;
#ifdef BENCH_OPENBLAS
    library = dlopen(BENCH_OPENBLAS, RTLD_NOW | RTLD_LOCAL);
    if (!library) /* the program may have been moved to another machine */
        library = dlopen("libopenblas.so.0", RTLD_NOW | RTLD_LOCAL);
#endif
    return library;
}

bool bench_openblas_load(bench_openblas *blas) {
    *blas = (bench_openblas){0};
    void *library = open_library();
    if (!library)
        return false;
    const char *(*config)(void);
    const char *(*core)(void);
    *(void **)&blas->sgemm = dlsym(library, "cblas_sgemm");
    *(void **)&blas->sgemv = dlsym(library, "cblas_sgemv");
    *(void **)&blas->sdot = dlsym(library, "cblas_sdot");
    *(void **)&blas->set_threads = dlsym(library, "openblas_set_num_threads");
    *(void **)&config = dlsym(library, "openblas_get_config");
    *(void **)&core = dlsym(library, "openblas_get_corename");
    snprintf(blas->name, sizeof blas->name, "%s, kernels for %s", config ? config() : "OpenBLAS",
             core ? core() : "unknown");
    /* a build whose integers have 64 bits has the same names and other arguments */
    return blas->sgemm && blas->sgemv && blas->sdot && blas->set_threads && !strstr(blas->name, "USE64BITINT");
}
