/* Buffers of more than 2^31 elements: every index that needs more than 32 bits is right. Memory that is not touched
 * costs nothing, so the buffers are mapped, not filled. Skipped where the device takes no buffer of that size (PoCL
 * takes a quarter of the memory at most, and no more than 2 GiB here; Intel's CPU runtime takes half). */
#define _GNU_SOURCE /* MAP_ANONYMOUS */
#include "support_attention.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BEYOND ((uint64_t)1 << 31)
#define COUNT  (BEYOND + ((uint64_t)1 << 20)) /* floats of a buffer */
#define BYTES  ((size_t)COUNT * sizeof(float))

static test_device device;

static void setup(void) {
    test_open(&device);
}
static void teardown(void) {
    test_close(&device);
}

/* A tensor [1, heads, n, last] in a buffer of its own. */
typedef struct sparse {
    float *memory;
    cl_mem mem;
    uint64_t heads, n, last, start, stride_head, stride_token;
} sparse;

/* axis 0: the start is beyond; 1: the last head is; 2: the last token is. */
static sparse sparse_create(uint64_t heads, uint64_t n, uint64_t last, int axis, const float *values) {
    uint64_t many = BEYOND + 4096;
    sparse s = {.heads = heads, .n = n, .last = last, .stride_head = n * last, .stride_token = last};
    if (axis == 0)
        s.start = many;
    else if (axis == 1)
        s.stride_head = many / (heads - 1);
    else
        s.stride_token = many / (n - 1) / 4 * 4, s.stride_head = last;
    s.memory = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    ck_assert_ptr_ne(s.memory, MAP_FAILED);
    for (uint64_t h = 0; values && h < heads; ++h)
        for (uint64_t i = 0; i < n; ++i)
            memcpy(s.memory + s.start + h * s.stride_head + i * s.stride_token, values + (h * n + i) * last,
                   last * sizeof *values);
    cl_int code;
    s.mem = clCreateBuffer(device.context, CL_MEM_READ_WRITE | CL_MEM_USE_HOST_PTR, BYTES, s.memory, &code);
    ck_assert_msg(code == CL_SUCCESS, "a buffer of %zu bytes: OpenCL code %d", BYTES, (int)code);
    return s;
}

static void sparse_release(sparse *s) {
    clReleaseMemObject(s->mem);
    munmap(s->memory, BYTES);
}

static clfavor_tensor tensor_of(const sparse *s) {
    return (clfavor_tensor){.buffer = s->mem,
                            .offset = (size_t)s->start * sizeof(float),
                            .stride_batch = s->stride_head * s->heads,
                            .stride_head = s->stride_head,
                            .stride_token = s->stride_token};
}

/* What the device wrote, row by row: a blocking read sees it wherever the runtime keeps it. */
static void expect_rows(const sparse *s, const float *expected, const char *what) {
    float *row = test_alloc(s->last, sizeof *row);
    for (uint64_t h = 0; h < s->heads; ++h)
        for (uint64_t i = 0; i < s->n; ++i) {
            size_t at = (size_t)(s->start + h * s->stride_head + i * s->stride_token) * sizeof *row;
            ck_assert_int_eq(
                clEnqueueReadBuffer(device.queue, s->mem, CL_TRUE, at, s->last * sizeof *row, row, 0, NULL, NULL),
                CL_SUCCESS);
            ck_assert_msg(!memcmp(row, expected + (h * s->n + i) * s->last, s->last * sizeof *row),
                          "%s: head %d, token %d differs", what, (int)h, (int)i);
        }
    free(row);
}

static bool takes_large_buffers(void) {
    cl_ulong most = 0;
    cl_device_type type = 0;
    clGetDeviceInfo(device.device, CL_DEVICE_MAX_MEM_ALLOC_SIZE, sizeof most, &most, NULL);
    clGetDeviceInfo(device.device, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    return most >= BYTES && type & CL_DEVICE_TYPE_CPU; /* elsewhere mapped memory would be copied */
}

static const test_case cases[] = {
    {.m = 40, .d = 8, .n = 70, .heads = 3, .seed = 5},
    {.m = 40, .d = 8, .n = 70, .heads = 3, .causal = 1, .seed = 6},
    {.m = 40, .d = 8, .n = 70, .heads = 3, .map = CLFAVOR_MAP_TRIG, .seed = 7},
    {.exact = true, .d = 8, .n = 70, .heads = 3, .seed = 8},
};
enum { CASES = sizeof cases / sizeof *cases };

START_TEST(indices_beyond_32_bits) {
    if (!takes_large_buffers())
        return;
    const test_case *c = &cases[_i / 2];
    clfavor_context *context = test_context(&device, _i % 2 ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU);
    test_inputs in = test_inputs_create(c);
    test_call call = test_call_create(&device, context, c, &in);
    test_outputs dense = test_call_run(&call);
    for (int axis = 0; axis < 3; ++axis) {
        sparse q = sparse_create(c->heads, c->n, c->d, axis, in.q), k = sparse_create(c->heads, c->n, c->d, axis, in.k),
               v = sparse_create(c->heads, c->n, c->d, axis, in.v), o = sparse_create(c->heads, c->n, c->d, axis, NULL),
               lse = sparse_create(c->heads, c->n, 1, axis, NULL);
        clfavor_attention_args args = call.args;
        args.q = tensor_of(&q);
        args.k = tensor_of(&k);
        args.v = tensor_of(&v);
        args.o = tensor_of(&o);
        args.lse = tensor_of(&lse);
        clfavor_status status = clfavor_enqueue_attention(call.plan, &args, device.queue, 0, NULL, NULL);
        ck_assert_msg(!status, "%s: %s", clfavor_status_name(status), device.log);
        ck_assert_int_eq(clFinish(device.queue), CL_SUCCESS);
        expect_rows(&o, dense.o, axis == 0 ? "offset" : axis == 1 ? "stride of heads" : "stride of tokens");
        expect_rows(&lse, dense.lse, "lse");
        sparse *all[] = {&q, &k, &v, &o, &lse};
        for (int i = 0; i < 5; ++i)
            sparse_release(all[i]);
    }
    test_outputs_free(&dense);
    test_call_release(&call);
    test_inputs_free(&in);
    clfavor_context_destroy(context);
}
END_TEST

/* One element more than the buffer has is refused, however the sum would wrap. */
START_TEST(beyond_the_buffer) {
    test_inputs in = test_inputs_create(&cases[0]);
    clfavor_context *context = test_context(&device, CLFAVOR_CLASS_CPU);
    test_call call = test_call_create(&device, context, &cases[0], &in);
    static const uint64_t strides[] = {(uint64_t)1 << 31, (uint64_t)1 << 61, (uint64_t)1 << 62, UINT64_MAX / 2,
                                       UINT64_MAX};
    for (size_t i = 0; i < sizeof strides / sizeof *strides; ++i)
        for (int axis = 0; axis < 2; ++axis) {
            clfavor_attention_args args = call.args;
            *(axis ? &args.k.stride_token : &args.k.stride_head) = strides[i];
            test_refused(&device, clfavor_enqueue_attention(call.plan, &args, device.queue, 0, NULL, NULL),
                         CLFAVOR_INVALID_TENSOR, "k: ");
        }
    test_call_release(&call);
    test_inputs_free(&in);
    clfavor_context_destroy(context);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("large");
    TCase *tcase = tcase_create("large");
    tcase_set_timeout(tcase, 600);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, indices_beyond_32_bits, 0, 2 * CASES);
    tcase_add_test(tcase, beyond_the_buffer);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
