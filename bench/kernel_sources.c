#include "kernel_sources.h"

#include <string.h>

const bench_kernel_source *bench_find_source(const char *name) {
    for (size_t i = 0; i < bench_kernel_source_count; ++i)
        if (strcmp(bench_kernel_sources[i].name, name) == 0)
            return &bench_kernel_sources[i];
    return NULL;
}
