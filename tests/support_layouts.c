#include "support_layouts.h"

#include <stdlib.h>
#include <string.h>

static uint64_t place(const test_layout *at, uint64_t b, uint64_t h, uint64_t i) {
    return at->start + b * at->stride_batch + h * at->stride_head + i * at->stride_token;
}

test_layout test_layout_dense(uint64_t batch, uint64_t heads, uint64_t n, uint64_t last) {
    return (test_layout){batch, heads, n, last, 0, heads * n * last, n * last, last};
}

test_buffer test_scatter(const test_device *device, const float *values, const test_layout *at) {
    uint64_t size = place(at, at->batch - 1, at->heads - 1, at->n - 1) + at->last;
    float *all = test_alloc(size, sizeof *all);
    const cl_uint poison = TEST_POISON;
    for (uint64_t i = 0; i < size; ++i)
        memcpy(&all[i], &poison, sizeof poison);
    for (uint64_t b = 0; values && b < at->batch; ++b)
        for (uint64_t h = 0; h < at->heads; ++h)
            for (uint64_t i = 0; i < at->n; ++i)
                memcpy(all + place(at, b, h, i), values + ((b * at->heads + h) * at->n + i) * at->last,
                       at->last * sizeof *all);
    test_buffer buffer = test_buffer_create(device, all, size);
    free(all);
    return buffer;
}

float *test_gather(const test_device *device, const test_buffer *buffer, const test_layout *at) {
    float *all = test_buffer_read(device, buffer);
    float *values = test_alloc(at->batch * at->heads * at->n * at->last, sizeof *values);
    const cl_uint poison = TEST_POISON;
    for (uint64_t b = 0; b < at->batch; ++b)
        for (uint64_t h = 0; h < at->heads; ++h)
            for (uint64_t i = 0; i < at->n; ++i) {
                float *from = all + place(at, b, h, i);
                memcpy(values + ((b * at->heads + h) * at->n + i) * at->last, from, at->last * sizeof *all);
                for (uint64_t l = 0; l < at->last; ++l)
                    memcpy(&from[l], &poison, sizeof poison);
            }
    for (size_t i = 0; i < buffer->count; ++i)
        ck_assert_msg(!memcmp(&all[i], &poison, sizeof poison), "float %zu between the rows was written", i);
    free(all);
    return values;
}

clfavor_tensor test_layout_tensor(const test_buffer *buffer, const test_layout *at) {
    return (clfavor_tensor){.buffer = buffer->mem,
                            .offset = buffer->offset + at->start * sizeof(float),
                            .stride_batch = at->stride_batch,
                            .stride_head = at->stride_head,
                            .stride_token = at->stride_token};
}

void test_layout_repeat(float *values, const test_layout *at, bool batch, bool head, bool token) {
    for (uint64_t b = 0; b < at->batch; ++b)
        for (uint64_t h = 0; h < at->heads; ++h)
            for (uint64_t i = 0; i < at->n; ++i) {
                float *from = values + place(at, batch ? 0 : b, head ? 0 : h, token ? 0 : i);
                memmove(values + place(at, b, h, i), from, at->last * sizeof *values);
            }
}
