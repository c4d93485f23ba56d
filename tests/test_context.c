/* Contexts: descriptions, classes, info, what they keep. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

static test_device device;

static void setup(void) {
    test_open(&device);
}
static void teardown(void) {
    test_close(&device);
}

static cl_uint references(void) {
    cl_uint count = 0;
    ck_assert_int_eq(clGetContextInfo(device.context, CL_CONTEXT_REFERENCE_COUNT, sizeof count, &count, NULL),
                     CL_SUCCESS);
    return count;
}

/* Something that is not NULL, to see it become NULL. */
#define SOMETHING ((clfavor_context *)&device)

static void expect_refused(const clfavor_context_desc *desc, clfavor_status status, const char *text) {
    clfavor_context *context = SOMETHING;
    test_refused(&device, clfavor_context_create(&context, desc), status, text);
    ck_assert_ptr_null(context);
}

START_TEST(null_and_wrong_sizes_are_refused) {
    const clfavor_context_desc good = test_context_desc(&device, CLFAVOR_CLASS_AUTO);
    clfavor_context *context = SOMETHING;
    ck_assert_int_eq(clfavor_context_create(NULL, &good), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_context_create(&context, NULL), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_ptr_null(context);
    for (size_t size = 0; size < sizeof size; ++size) {
        clfavor_context_desc desc = good;
        desc.struct_size = size;
        context = SOMETHING;
        ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_INVALID_ARGUMENT);
        ck_assert_ptr_null(context);
    }
    clfavor_context_destroy(NULL);
}
END_TEST

START_TEST(a_newer_description_is_accepted_if_its_new_fields_are_zero) {
    struct {
        clfavor_context_desc desc;
        unsigned char newer[24];
    } longer = {.desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO)};
    longer.desc.struct_size = sizeof longer;
    clfavor_context *context;
    ck_assert_int_eq(clfavor_context_create(&context, &longer.desc), CLFAVOR_SUCCESS);
    clfavor_context_destroy(context);
    longer.newer[sizeof longer.newer - 1] = 1;
    context = SOMETHING;
    ck_assert_int_eq(clfavor_context_create(&context, &longer.desc), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_ptr_null(context);
}
END_TEST

START_TEST(an_older_description_has_defaults) {
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_GPU);
    desc.struct_size = offsetof(clfavor_context_desc, device_class);
    clfavor_context *context;
    ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_SUCCESS);
    clfavor_context_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_context_get_info(context, &info), CLFAVOR_SUCCESS);
    ck_assert_str_eq(device.log, ""); /* the log callback was beyond its end too */
    cl_device_type type = 0;
    ck_assert_int_eq(clGetDeviceInfo(device.device, CL_DEVICE_TYPE, sizeof type, &type, NULL), CL_SUCCESS);
    ck_assert_int_eq(info.device_class, type & CL_DEVICE_TYPE_CPU ? CLFAVOR_CLASS_CPU : CLFAVOR_CLASS_GPU);
    clfavor_context_destroy(context);
}
END_TEST

START_TEST(what_is_missing_or_out_of_range_is_told) {
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO);
    desc.context = NULL;
    expect_refused(&desc, CLFAVOR_INVALID_ARGUMENT, "they are NULL, given, 0");
    desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO);
    desc.device = NULL;
    expect_refused(&desc, CLFAVOR_INVALID_ARGUMENT, "they are given, NULL, 0");
    static const int values[] = {3, -1, INT32_MAX};
    for (size_t i = 0; i < 3; ++i) {
        desc = test_context_desc(&device, (clfavor_device_class)values[i]);
        expect_refused(&desc, CLFAVOR_INVALID_ARGUMENT, "a class of 0 to 2");
    }
}
END_TEST

/* A part of a device is a device of its own. */
START_TEST(a_device_of_another_context_is_refused) {
    const cl_device_partition_property by_counts[] = {CL_DEVICE_PARTITION_BY_COUNTS, 1,
                                                      CL_DEVICE_PARTITION_BY_COUNTS_LIST_END, 0};
    cl_device_id part = NULL;
    if (clCreateSubDevices(device.device, by_counts, 1, &part, NULL) != CL_SUCCESS)
        return; /* a device that cannot be divided, and perhaps the only one */
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO);
    desc.device = part;
    expect_refused(&desc, CLFAVOR_MISMATCH, "the device is not one of the OpenCL context's devices");
    clReleaseDevice(part);
}
END_TEST

START_TEST(the_class_is_chosen_or_asked_for) {
    static const clfavor_device_class classes[] = {CLFAVOR_CLASS_AUTO, CLFAVOR_CLASS_CPU, CLFAVOR_CLASS_GPU};
    cl_device_type type = 0;
    cl_uint units = 0;
    cl_ulong local = 0;
    clGetDeviceInfo(device.device, CL_DEVICE_TYPE, sizeof type, &type, NULL);
    clGetDeviceInfo(device.device, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof units, &units, NULL);
    clGetDeviceInfo(device.device, CL_DEVICE_LOCAL_MEM_SIZE, sizeof local, &local, NULL);
    for (size_t i = 0; i < 3; ++i) {
        test_log_clear(&device);
        clfavor_context *context = test_context(&device, classes[i]);
        clfavor_context_info info = {.struct_size = sizeof info};
        ck_assert_int_eq(clfavor_context_get_info(context, &info), CLFAVOR_SUCCESS);
        ck_assert_uint_eq(info.struct_size, sizeof info);
        if (classes[i] == CLFAVOR_CLASS_AUTO) {
            ck_assert_int_eq(info.device_class, type & CL_DEVICE_TYPE_CPU ? CLFAVOR_CLASS_CPU : CLFAVOR_CLASS_GPU);
            ck_assert_ptr_nonnull(strstr(info.reason, "the device reports the type"));
        } else {
            ck_assert_int_eq(info.device_class, classes[i]);
            ck_assert_ptr_nonnull(strstr(info.reason, "asked for by the caller"));
        }
        ck_assert(info.vector_width == 4 || info.vector_width == 8 || info.vector_width == 16);
        ck_assert_uint_eq(info.compute_units, units);
        ck_assert_uint_eq(info.local_memory, local);
        ck_assert_uint_eq(info.programs, 0);
        ck_assert_double_eq(info.build_seconds, 0);
        ck_assert(
            test_logged(&device, info.device_class == CLFAVOR_CLASS_CPU ? "info class cpu: " : "info class gpu: "));
        ck_assert(test_logged(&device, info.reason));
        clfavor_context_destroy(context);
    }
}
END_TEST

START_TEST(info_fills_what_the_caller_has_room_for) {
    clfavor_context *context = test_context(&device, CLFAVOR_CLASS_GPU);
    struct {
        clfavor_context_info info;
        unsigned char newer[16];
    } longer;
    for (size_t size = 0; size <= sizeof longer; ++size) {
        unsigned char before[sizeof longer];
        memset(&longer, 0x5a, sizeof longer);
        longer.info.struct_size = size;
        memcpy(before, &longer, sizeof longer);
        clfavor_status status = clfavor_context_get_info(context, &longer.info);
        ck_assert_int_eq(status, size < sizeof size ? CLFAVOR_INVALID_ARGUMENT : CLFAVOR_SUCCESS);
        ck_assert_uint_eq(longer.info.struct_size, size);
        size_t used = size < sizeof longer.info ? size : sizeof longer.info;
        used = used < sizeof size ? sizeof size : used;
        ck_assert_mem_eq((unsigned char *)&longer + used, before + used, sizeof longer - used);
        if (size >= offsetof(clfavor_context_info, vector_width))
            ck_assert_int_eq(longer.info.device_class, CLFAVOR_CLASS_GPU);
    }
    ck_assert_int_eq(clfavor_context_get_info(NULL, &longer.info), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_context_get_info(context, NULL), CLFAVOR_INVALID_ARGUMENT);
    clfavor_context_destroy(context);
}
END_TEST

START_TEST(the_opencl_context_is_kept_and_given_back) {
    cl_uint before = references();
    clfavor_context *context = test_context(&device, CLFAVOR_CLASS_AUTO);
    ck_assert_uint_eq(references(), before + 1);
    clfavor_context_destroy(context);
    ck_assert_uint_eq(references(), before);
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO);
    desc.device_class = (clfavor_device_class)3;
    expect_refused(&desc, CLFAVOR_INVALID_ARGUMENT, "class");
    ck_assert_uint_eq(references(), before);
}
END_TEST

START_TEST(without_a_log_all_is_silent) {
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO);
    desc.log = NULL;
    clfavor_context *context;
    ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_SUCCESS);
    clfavor_plan *plan;
    ck_assert_int_eq(clfavor_plan_create(&plan, context, NULL), CLFAVOR_INVALID_ARGUMENT);
    clfavor_context_destroy(context);
    desc.device = NULL;
    ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_str_eq(device.log, "");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("context");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, null_and_wrong_sizes_are_refused);
    tcase_add_test(tcase, a_newer_description_is_accepted_if_its_new_fields_are_zero);
    tcase_add_test(tcase, an_older_description_has_defaults);
    tcase_add_test(tcase, what_is_missing_or_out_of_range_is_told);
    tcase_add_test(tcase, a_device_of_another_context_is_refused);
    tcase_add_test(tcase, the_class_is_chosen_or_asked_for);
    tcase_add_test(tcase, info_fills_what_the_caller_has_room_for);
    tcase_add_test(tcase, the_opencl_context_is_kept_and_given_back);
    tcase_add_test(tcase, without_a_log_all_is_silent);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
