/* The device code of the benchmark and the script of its peers in Python, embedded at build time by
 * cmake/EmbedKernels.cmake. */
#ifndef BENCH_KERNEL_SOURCES_H
#define BENCH_KERNEL_SOURCES_H

#include <stddef.h>

typedef struct bench_kernel_source {
    const char *name; /* without a folder: "peak.cl" */
    const unsigned char *bytes;
    size_t size;
} bench_kernel_source;

extern const bench_kernel_source bench_kernel_sources[];
extern const size_t bench_kernel_source_count;

/* NULL: there is none of that name. */
const bench_kernel_source *bench_find_source(const char *name);

#endif
