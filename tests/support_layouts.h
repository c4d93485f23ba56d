/* Tensors whose elements lie elsewhere than in dense order. */
#ifndef TESTS_SUPPORT_LAYOUTS_H
#define TESTS_SUPPORT_LAYOUTS_H

#include "support_attention.h"

/* The sizes of the four axes of a tensor and where its elements lie. */
typedef struct test_layout {
    uint64_t batch, heads, n, last;
    uint64_t start, stride_batch, stride_head, stride_token; /* floats */
} test_layout;

test_layout test_layout_dense(uint64_t batch, uint64_t heads, uint64_t n, uint64_t last);
/* A buffer with the values of a dense tensor (NULL: none) in another layout; poison everywhere else. */
test_buffer test_scatter(const test_device *device, const float *values, const test_layout *at);
/* The tensor's values in dense order; fails if anything between them changed. The caller frees them. */
float *test_gather(const test_device *device, const test_buffer *buffer, const test_layout *at);
clfavor_tensor test_layout_tensor(const test_buffer *buffer, const test_layout *at);
/* Copies a dense input's first entries over the others of some axes, as a broadcast reads it. */
void test_layout_repeat(float *values, const test_layout *at, bool batch, bool head, bool token);

#endif
