/* Checks of tensors before anything is enqueued: size, strides, offsets, overlap. */
#include "tensor.h"

#include <inttypes.h>

#define ELEMENT sizeof(cl_float)

clfavor_tensor clfavor_tensor_dense(cl_mem buffer, uint64_t heads, uint64_t n, uint64_t last) {
    return (clfavor_tensor){
        .buffer = buffer, .stride_token = last, .stride_head = n * last, .stride_batch = heads * n * last};
}

/* A sub-buffer is compared by its place in its parent. */
static clfavor_status locate(const clfavor_context *context, const char *name, cl_mem buffer, size_t *size,
                             clfavor_operand *out) {
    cl_context owner = NULL;
    cl_mem parent = NULL;
    size_t origin = 0;
    cl_int code = clGetMemObjectInfo(buffer, CL_MEM_SIZE, sizeof *size, size, NULL);
    if (code == CL_SUCCESS)
        code = clGetMemObjectInfo(buffer, CL_MEM_CONTEXT, sizeof owner, &owner, NULL);
    if (code == CL_SUCCESS)
        code = clGetMemObjectInfo(buffer, CL_MEM_ASSOCIATED_MEMOBJECT, sizeof parent, &parent, NULL);
    if (code == CL_SUCCESS && parent)
        code = clGetMemObjectInfo(buffer, CL_MEM_OFFSET, sizeof origin, &origin, NULL);
    if (code != CL_SUCCESS) {
        clfavor_check_cl(context, code, "clGetMemObjectInfo");
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_TENSOR, "%s: the buffer is not a valid memory object", name);
    }
    if (owner != context->cl)
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH, "%s: the buffer belongs to another OpenCL context", name);
    out->buffer = buffer;
    out->root = parent ? parent : buffer;
    out->begin = origin;
    return CLFAVOR_SUCCESS;
}

clfavor_status clfavor_range_check(const clfavor_context *context, const char *name, cl_mem buffer, size_t offset,
                                   size_t size, clfavor_operand *out) {
    size_t available = 0;
    *out = (clfavor_operand){0};
    clfavor_status status = locate(context, name, buffer, &available, out);
    if (status)
        return status;
    if (offset > available || size > available - offset)
        return CLFAVOR_REFUSE(context, CLFAVOR_WORKSPACE,
                              "%s: %zu bytes from offset %zu are needed, the buffer has %zu", name, size, offset,
                              available);
    out->view.offset = offset / ELEMENT;
    out->begin += offset;
    out->end = out->begin + size;
    return CLFAVOR_SUCCESS;
}

/* With the axes in the order of their strides, each step must clear all that the inner axes span. */
static bool aliases_itself(const uint64_t extents[3], const uint64_t strides[3], uint64_t last) {
    uint64_t span = last, done = 0;
    for (int pass = 0; pass < 3; ++pass) {
        int next = -1;
        for (int i = 0; i < 3; ++i)
            if (!(done & (1u << i)) && (next < 0 || strides[i] < strides[next]))
                next = i;
        done |= 1u << next;
        if (extents[next] == 1)
            continue;
        if (strides[next] < span)
            return true;
        span += (extents[next] - 1) * strides[next]; /* cannot overflow: the whole was checked before */
    }
    return false;
}

clfavor_status clfavor_operand_check(const clfavor_context *context, const char *name, const clfavor_tensor *tensor,
                                     uint64_t batch, uint64_t heads, uint64_t n, uint64_t last, bool output,
                                     bool optional, clfavor_operand *out) {
    *out = (clfavor_operand){0};
    if (!tensor->buffer) {
        if (optional)
            return CLFAVOR_SUCCESS;
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "%s: no buffer was given", name);
    }
    if ((unsigned)tensor->dtype > CLFAVOR_BF16)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "%s: unknown dtype %d", name, (int)tensor->dtype);
    if (tensor->dtype != CLFAVOR_F32)
        return CLFAVOR_REFUSE(context, CLFAVOR_UNSUPPORTED, "%s: only float32 is supported so far", name);
    if (tensor->offset % ELEMENT)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_TENSOR,
                              "%s: the offset %zu is not a multiple of the element size %zu", name, tensor->offset,
                              ELEMENT);
    size_t available = 0;
    clfavor_status status = locate(context, name, tensor->buffer, &available, out);
    if (status)
        return status;
    const uint64_t extents[3] = {batch, heads, n};
    const uint64_t strides[3] = {tensor->stride_batch, tensor->stride_head, tensor->stride_token};
    uint64_t span = last; /* elements from the first to one past the last */
    for (int i = 0; i < 3; ++i) {
        uint64_t reach;
        if (__builtin_mul_overflow(extents[i] - 1, strides[i], &reach) || __builtin_add_overflow(span, reach, &span))
            span = UINT64_MAX;
    }
    if (tensor->offset > available || span > (available - tensor->offset) / ELEMENT)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_TENSOR,
                              "%s: [%" PRIu64 ", %" PRIu64 ", %" PRIu64 ", %" PRIu64
                              "] with these strides needs %" PRIu64 " floats from byte %zu, the buffer has %zu bytes",
                              name, batch, heads, n, last, span, tensor->offset, available);
    if (output && aliases_itself(extents, strides, last))
        return CLFAVOR_REFUSE(context, CLFAVOR_OVERLAP, "%s: the strides make rows of this output overlap", name);
    out->view = (clfavor_view){.offset = tensor->offset / ELEMENT,
                               .batch = tensor->stride_batch,
                               .head = tensor->stride_head,
                               .token = tensor->stride_token};
    out->begin += tensor->offset;
    out->end = out->begin + span * ELEMENT;
    return CLFAVOR_SUCCESS;
}

clfavor_status clfavor_overlap_check(const clfavor_context *context, const clfavor_operand *const *operands,
                                     const char *const *names, size_t outputs, size_t count) {
    for (size_t i = 0; i < outputs; ++i)
        for (size_t j = i + 1; j < count; ++j) {
            const clfavor_operand *a = operands[i], *b = operands[j];
            if (a->buffer && b->buffer && a->root == b->root && a->begin < b->end && b->begin < a->end)
                return CLFAVOR_REFUSE(context, CLFAVOR_OVERLAP, "%s overlaps %s", names[i], names[j]);
        }
    return CLFAVOR_SUCCESS;
}
