/* Checks of tensors before anything is enqueued. */
#ifndef CLFAVOR_TENSOR_H
#define CLFAVOR_TENSOR_H

#include "../kernels/types.h"
#include "context.h"

/* A checked tensor: what the kernels take, and the bytes that it spans. */
typedef struct clfavor_operand {
    cl_mem buffer; /* NULL: not given */
    clfavor_view view;
    cl_mem root;         /* the buffer itself, or the parent of a sub-buffer */
    uint64_t begin, end; /* bytes in root */
} clfavor_operand;

/* Checks that [batch, heads, n, last] float32 lies inside the buffer; outputs must not overlap themselves. `name` is
 * for the log. A tensor without a buffer is an error unless optional. */
clfavor_status clfavor_operand_check(const clfavor_context *context, const char *name, const clfavor_tensor *tensor,
                                     uint64_t batch, uint64_t heads, uint64_t n, uint64_t last, bool output,
                                     bool optional, clfavor_operand *out);
/* A plain range of a buffer, for the workspace. */
clfavor_status clfavor_range_check(const clfavor_context *context, const char *name, cl_mem buffer, size_t offset,
                                   size_t size, clfavor_operand *out);
/* OVERLAP if any of the first `outputs` operands shares bytes with any other of `count`. */
clfavor_status clfavor_overlap_check(const clfavor_context *context, const clfavor_operand *const *operands,
                                     const char *const *names, size_t outputs, size_t count);

#endif
