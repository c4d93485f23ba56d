/* Checks of tensors: what fits its buffer, what overlaps. */
#include "support.h"

#include <string.h>

#include "tensor.h"

static test_device device;
static clfavor_context *context;
static cl_mem buffer; /* 100 floats */
static clfavor_operand operand;

static void setup(void) {
    test_open(&device);
    context = test_context(&device, CLFAVOR_CLASS_AUTO);
    cl_int code;
    buffer = clCreateBuffer(device.context, CL_MEM_READ_WRITE, 400, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    test_log_clear(&device);
}

static void teardown(void) {
    clReleaseMemObject(buffer);
    clfavor_context_destroy(context);
    test_close(&device);
}

START_TEST(dense_is_row_major) {
    clfavor_tensor tensor = clfavor_tensor_dense(buffer, 3, 5, 7);
    ck_assert_ptr_eq(tensor.buffer, buffer);
    ck_assert_uint_eq(tensor.offset, 0);
    ck_assert_int_eq(tensor.dtype, CLFAVOR_F32);
    ck_assert_uint_eq(tensor.stride_token, 7);
    ck_assert_uint_eq(tensor.stride_head, 35);
    ck_assert_uint_eq(tensor.stride_batch, 105);
}
END_TEST

/* [2, 3, 4, last] at an offset, with the strides {batch, head, token}. */
typedef struct shape_case {
    size_t offset;
    uint64_t batch, head, token, last;
    bool output;
    clfavor_status status;
    const char *text;
} shape_case;

static const shape_case shapes[] = {
    {0, 48, 16, 4, 4, true, CLFAVOR_SUCCESS, ""},
    {16, 48, 16, 4, 4, true, CLFAVOR_SUCCESS, ""},
    {20, 48, 16, 4, 4, false, CLFAVOR_INVALID_TENSOR,
     "x: [2, 3, 4, 4] with these strides needs 96 floats from byte 20"},
    {400, 0, 0, 0, 4, false, CLFAVOR_INVALID_TENSOR, "from byte 400, the buffer has 400 bytes"},
    {404, 0, 0, 0, 4, false, CLFAVOR_INVALID_TENSOR, "from byte 404"},
    {SIZE_MAX - 3, 0, 0, 0, 4, false, CLFAVOR_INVALID_TENSOR, "the buffer has 400 bytes"},
    {384, 0, 0, 0, 4, false, CLFAVOR_SUCCESS, ""}, /* broadcast of one row, to the last byte */
    {388, 0, 0, 0, 4, false, CLFAVOR_INVALID_TENSOR, "needs 4 floats"},
    {1, 48, 16, 4, 4, false, CLFAVOR_INVALID_TENSOR, "x: the offset 1 is not a multiple of the element size 4"},
    {2, 48, 16, 4, 4, false, CLFAVOR_INVALID_TENSOR, "offset 2"},
    {0, UINT64_MAX, 16, 4, 4, false, CLFAVOR_INVALID_TENSOR, "x: "},
    {0, 48, UINT64_MAX / 2 + 1, 4, 4, false, CLFAVOR_INVALID_TENSOR, "x: "},
    {0, 48, 16, UINT64_MAX / 3 + 1, 4, false, CLFAVOR_INVALID_TENSOR, "x: "},
    {0, 1, UINT64_MAX / 2, 0, 4, false, CLFAVOR_INVALID_TENSOR, "x: "}, /* the sum overflows */
    {0, UINT64_MAX - 3, 0, 0, 4, false, CLFAVOR_INVALID_TENSOR, "x: "},
    {0, UINT64_C(1) << 62, 0, 0, 4, false, CLFAVOR_INVALID_TENSOR, "x: "}, /* the bytes would overflow */
    {0, 0, 16, 4, 4, false, CLFAVOR_SUCCESS, ""},
    {0, 0, 16, 4, 4, true, CLFAVOR_OVERLAP, "x: the strides make rows of this output overlap"},
    {0, 48, 0, 4, 4, true, CLFAVOR_OVERLAP, "overlap"},
    {0, 48, 16, 0, 4, true, CLFAVOR_OVERLAP, "overlap"},
    {0, 48, 16, 3, 4, true, CLFAVOR_OVERLAP, "overlap"}, /* one float shared */
    {0, 48, 15, 4, 4, true, CLFAVOR_OVERLAP, "overlap"},
    {0, 47, 16, 4, 4, true, CLFAVOR_OVERLAP, "overlap"},
    {0, 48, 4, 12, 4, true, CLFAVOR_SUCCESS, ""}, /* [B, n, H, d] */
    {0, 4, 8, 24, 4, true, CLFAVOR_SUCCESS, ""},  /* [n, H, B, d] */
    {0, 40, 12, 3, 2, true, CLFAVOR_SUCCESS, ""}, /* with gaps */
};

START_TEST(shapes_against_buffers) {
    const shape_case *c = &shapes[_i];
    const clfavor_tensor tensor = {.buffer = buffer,
                                   .offset = c->offset,
                                   .stride_batch = c->batch,
                                   .stride_head = c->head,
                                   .stride_token = c->token};
    clfavor_status status = clfavor_operand_check(context, "x", &tensor, 2, 3, 4, c->last, c->output, false, &operand);
    if (c->status) {
        test_refused(&device, status, c->status, c->text);
        return;
    }
    ck_assert_msg(!status, "%s", device.log);
    ck_assert_ptr_eq(operand.buffer, buffer);
    ck_assert_ptr_eq(operand.root, buffer);
    ck_assert_uint_eq(operand.view.offset, c->offset / 4);
    ck_assert_uint_eq(operand.view.batch, c->batch);
    ck_assert_uint_eq(operand.view.head, c->head);
    ck_assert_uint_eq(operand.view.token, c->token);
    ck_assert_uint_eq(operand.begin, c->offset);
    ck_assert_uint_eq(operand.end, c->offset + 4 * (c->batch + 2 * c->head + 3 * c->token + c->last));
}
END_TEST

START_TEST(stride_zero_is_fine_for_an_output_axis_of_one) {
    const clfavor_tensor tensor = {.buffer = buffer};
    ck_assert_int_eq(clfavor_operand_check(context, "x", &tensor, 1, 1, 1, 100, true, false, &operand),
                     CLFAVOR_SUCCESS);
    test_refused(&device, clfavor_operand_check(context, "x", &tensor, 1, 1, 2, 4, true, false, &operand),
                 CLFAVOR_OVERLAP, "x: ");
    /* nor does the stride of such an axis matter */
    const clfavor_tensor far = {.buffer = buffer, .stride_batch = UINT64_MAX, .stride_head = 1, .stride_token = 4};
    ck_assert_int_eq(clfavor_operand_check(context, "x", &far, 1, 1, 25, 4, true, false, &operand), CLFAVOR_SUCCESS);
    ck_assert_uint_eq(operand.end, 400);
}
END_TEST

START_TEST(a_missing_buffer_must_be_optional) {
    const clfavor_tensor none = {0};
    test_refused(&device, clfavor_operand_check(context, "x", &none, 1, 1, 1, 1, false, false, &operand),
                 CLFAVOR_INVALID_ARGUMENT, "x: no buffer was given");
    ck_assert_int_eq(clfavor_operand_check(context, "x", &none, 1, 1, 1, 1, true, true, &operand), CLFAVOR_SUCCESS);
    ck_assert_ptr_null(operand.buffer);
}
END_TEST

START_TEST(only_float32_for_now) {
    clfavor_tensor tensor = {.buffer = buffer, .dtype = CLFAVOR_F16};
    test_refused(&device, clfavor_operand_check(context, "x", &tensor, 1, 1, 1, 1, false, false, &operand),
                 CLFAVOR_UNSUPPORTED, "x: only float32");
    tensor.dtype = CLFAVOR_BF16;
    test_refused(&device, clfavor_operand_check(context, "x", &tensor, 1, 1, 1, 1, false, false, &operand),
                 CLFAVOR_UNSUPPORTED, "x: only float32");
    static const int values[] = {3, -1};
    for (size_t i = 0; i < 2; ++i) {
        tensor.dtype = (clfavor_dtype)values[i];
        test_refused(&device, clfavor_operand_check(context, "x", &tensor, 1, 1, 1, 1, false, false, &operand),
                     CLFAVOR_INVALID_ARGUMENT, "x: unknown dtype");
    }
}
END_TEST

START_TEST(a_buffer_of_another_context_is_refused) {
    test_device other;
    test_open(&other);
    cl_int code;
    const clfavor_tensor tensor = {.buffer = clCreateBuffer(other.context, CL_MEM_READ_WRITE, 400, NULL, &code)};
    ck_assert_int_eq(code, CL_SUCCESS);
    test_refused(&device, clfavor_operand_check(context, "x", &tensor, 1, 1, 1, 1, false, false, &operand),
                 CLFAVOR_MISMATCH, "x: the buffer belongs to another OpenCL context");
    test_refused(&device, clfavor_range_check(context, "w", tensor.buffer, 0, 4, &operand), CLFAVOR_MISMATCH,
                 "w: the buffer belongs to another OpenCL context");
    clReleaseMemObject(tensor.buffer);
    test_close(&other);
}
END_TEST

START_TEST(ranges_lie_inside_the_buffer) {
    ck_assert_int_eq(clfavor_range_check(context, "w", buffer, 128, 272, &operand), CLFAVOR_SUCCESS);
    ck_assert_uint_eq(operand.view.offset, 32);
    ck_assert_uint_eq(operand.begin, 128);
    ck_assert_uint_eq(operand.end, 400);
    test_refused(&device, clfavor_range_check(context, "w", buffer, 128, 273, &operand), CLFAVOR_WORKSPACE,
                 "w: 273 bytes from offset 128 are needed, the buffer has 400");
    test_refused(&device, clfavor_range_check(context, "w", buffer, 512, 0, &operand), CLFAVOR_WORKSPACE, "w: 0 bytes");
    test_refused(&device, clfavor_range_check(context, "w", buffer, SIZE_MAX, SIZE_MAX, &operand), CLFAVOR_WORKSPACE,
                 "w: ");
}
END_TEST

/* Two rows of 4 floats, [1, 1, 2, 4] of a buffer from this byte. */
static clfavor_operand rows_at(cl_mem mem, size_t offset) {
    const clfavor_tensor tensor = {.buffer = mem, .offset = offset, .stride_token = 4};
    clfavor_operand result;
    ck_assert_int_eq(clfavor_operand_check(context, "x", &tensor, 1, 1, 2, 4, false, false, &result), CLFAVOR_SUCCESS);
    return result;
}

static clfavor_status overlap(const clfavor_operand *a, const clfavor_operand *b, size_t outputs) {
    const clfavor_operand *operands[] = {a, b};
    static const char *const names[] = {"first", "second"};
    return clfavor_overlap_check(context, operands, names, outputs, 2);
}

START_TEST(outputs_share_bytes_with_nothing) {
    const clfavor_operand a = rows_at(buffer, 64), none = {0};
    static const struct {
        size_t offset;
        bool overlaps;
    } others[] = {{0, false}, {32, false}, {36, true}, {64, true}, {92, true}, {96, false}, {200, false}};
    for (size_t i = 0; i < sizeof others / sizeof *others; ++i) {
        const clfavor_operand b = rows_at(buffer, others[i].offset);
        if (others[i].overlaps)
            test_refused(&device, overlap(&a, &b, 1), CLFAVOR_OVERLAP, "first overlaps second");
        else
            ck_assert_int_eq(overlap(&a, &b, 1), CLFAVOR_SUCCESS);
        ck_assert_int_eq(overlap(&a, &b, 0), CLFAVOR_SUCCESS); /* inputs may share */
    }
    ck_assert_int_eq(overlap(&a, &none, 2), CLFAVOR_SUCCESS);
    ck_assert_int_eq(overlap(&none, &none, 2), CLFAVOR_SUCCESS);
}
END_TEST

START_TEST(sub_buffers_are_compared_in_their_parent) {
    cl_uint align = 0;
    clGetDeviceInfo(device.device, CL_DEVICE_MEM_BASE_ADDR_ALIGN, sizeof align, &align, NULL);
    size_t unit = align / 8 > 64 ? align / 8 : 64;
    cl_int code;
    cl_mem parent = clCreateBuffer(device.context, CL_MEM_READ_WRITE, 4 * unit, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    cl_mem subs[3];
    for (size_t i = 0; i < 3; ++i) { /* units 0 and 1; 1 and 2; 2 and 3 */
        const cl_buffer_region region = {i * unit, 2 * unit};
        subs[i] = clCreateSubBuffer(parent, CL_MEM_READ_WRITE, CL_BUFFER_CREATE_TYPE_REGION, &region, &code);
        ck_assert_int_eq(code, CL_SUCCESS);
    }
    clfavor_operand first = rows_at(subs[0], 0), second = rows_at(subs[1], 0), third = rows_at(subs[2], 0),
                    end_of_first = rows_at(subs[0], unit), whole = rows_at(parent, unit), other = rows_at(buffer, 0);
    ck_assert_ptr_eq(second.root, parent);
    ck_assert_uint_eq(second.begin, unit);
    ck_assert_int_eq(overlap(&first, &second, 1), CLFAVOR_SUCCESS);
    ck_assert_int_eq(overlap(&second, &third, 1), CLFAVOR_SUCCESS);
    ck_assert_int_eq(overlap(&first, &whole, 1), CLFAVOR_SUCCESS);
    ck_assert_int_eq(overlap(&first, &other, 1), CLFAVOR_SUCCESS);
    test_refused(&device, overlap(&second, &end_of_first, 1), CLFAVOR_OVERLAP, "first overlaps second");
    test_refused(&device, overlap(&whole, &second, 1), CLFAVOR_OVERLAP, "first overlaps second");
    for (size_t i = 0; i < 3; ++i)
        clReleaseMemObject(subs[i]);
    clReleaseMemObject(parent);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tensor");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, dense_is_row_major);
    tcase_add_loop_test(tcase, shapes_against_buffers, 0, (int)(sizeof shapes / sizeof *shapes));
    tcase_add_test(tcase, stride_zero_is_fine_for_an_output_axis_of_one);
    tcase_add_test(tcase, a_missing_buffer_must_be_optional);
    tcase_add_test(tcase, only_float32_for_now);
    tcase_add_test(tcase, a_buffer_of_another_context_is_refused);
    tcase_add_test(tcase, ranges_lie_inside_the_buffer);
    tcase_add_test(tcase, outputs_share_bytes_with_nothing);
    tcase_add_test(tcase, sub_buffers_are_compared_in_their_parent);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
