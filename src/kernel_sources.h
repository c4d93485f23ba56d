/* The one place that knows where kernel sources come from. */
#ifndef CLFAVOR_KERNEL_SOURCES_H
#define CLFAVOR_KERNEL_SOURCES_H

#include "common.h"

/* The files of kernels/, embedded at build time by cmake/EmbedKernels.cmake. */
typedef struct clfavor_kernel_source {
    const char *name; /* without a folder: "maps.clh" */
    const unsigned char *bytes;
    size_t size;
} clfavor_kernel_source;

extern const clfavor_kernel_source clfavor_kernel_sources[];
extern const size_t clfavor_kernel_source_count;

/* The text of a kernel file ("features.cl") with every #include "name" line replaced by that file, and #line directives
 * so that the compiler's messages name file and line. From the embedded files, or from a folder when kernel_dir is not
 * NULL. *text ends with a NUL that *size does not count; the caller frees it. Errors: SOURCE (no such file, unreadable,
 * or includes deeper than 16, as in a cycle), OUT_OF_MEMORY. */
clfavor_status clfavor_kernel_load(const char *kernel_dir, const char *name, char **text, size_t *size);

#endif
