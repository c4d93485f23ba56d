/* Programs: built once for a file and options, kept by the context, and failures told through the log. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "program.h"

static test_device device;
static char folder[64];
static clfavor_context *context;

static void write_kernel(const char *name, const char *text) {
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void setup(void) {
    test_open(&device);
    strcpy(folder, "/tmp/clfavor-program-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    write_kernel("good.cl", "__kernel void put(__global int *to) { *to = VALUE; }\n");
    write_kernel("bad.cl", "__kernel void put(__global int *to) { *to = no_such_name; }\n");
    write_kernel("cpu_attention.cl", "__kernel void favor_keys(void) { no_such_function(); }\n");
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_CPU);
    char copy[sizeof folder]; /* the context keeps its own */
    desc.kernel_dir = strcpy(copy, folder);
    ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_SUCCESS);
    memset(copy, 'x', sizeof copy - 1);
    test_log_clear(&device);
}

static void teardown(void) {
    clfavor_context_destroy(context);
    static const char *const names[] = {"good.cl", "bad.cl", "cpu_attention.cl"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char path[128];
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
    test_close(&device);
}

static clfavor_context_info info(void) {
    clfavor_context_info value = {.struct_size = sizeof value};
    ck_assert_int_eq(clfavor_context_get_info(context, &value), CLFAVOR_SUCCESS);
    return value;
}

static clfavor_status get(const char *file, uint64_t value, cl_program *program, bool *built, double *seconds) {
    clfavor_options options;
    clfavor_options_init(&options);
    clfavor_option(&options, "VALUE", value);
    return clfavor_program_get(context, file, &options, program, built, seconds);
}

static cl_int run(cl_program program) {
    cl_int code, result = -1;
    cl_kernel kernel = clCreateKernel(program, "put", &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    cl_mem to = clCreateBuffer(device.context, CL_MEM_READ_WRITE, sizeof result, NULL, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    ck_assert_int_eq(clSetKernelArg(kernel, 0, sizeof to, &to), CL_SUCCESS);
    const size_t one = 1;
    ck_assert_int_eq(clEnqueueNDRangeKernel(device.queue, kernel, 1, NULL, &one, NULL, 0, NULL, NULL), CL_SUCCESS);
    ck_assert_int_eq(clEnqueueReadBuffer(device.queue, to, CL_TRUE, 0, sizeof result, &result, 0, NULL, NULL),
                     CL_SUCCESS);
    clReleaseMemObject(to);
    clReleaseKernel(kernel);
    return result;
}

START_TEST(a_program_is_built_once_for_file_and_options) {
    cl_program first, again, other;
    bool built;
    double seconds;
    ck_assert_int_eq(get("good.cl", 7, &first, &built, &seconds), CLFAVOR_SUCCESS);
    ck_assert(built && seconds > 0);
    ck_assert_int_eq(run(first), 7);
    ck_assert_uint_eq(info().programs, 1);
    ck_assert_double_eq(info().build_seconds, seconds);
    ck_assert(test_logged(&device, "info built good.cl -DVALUE=7"));

    ck_assert_int_eq(get("good.cl", 7, &again, &built, &seconds), CLFAVOR_SUCCESS);
    ck_assert(!built && seconds == 0);
    ck_assert_ptr_eq(again, first);

    ck_assert_int_eq(get("good.cl", 8, &other, &built, &seconds), CLFAVOR_SUCCESS);
    ck_assert(built && other != first);
    ck_assert_int_eq(run(other), 8);
    ck_assert_uint_eq(info().programs, 2);
}
END_TEST

START_TEST(a_build_failure_is_told_with_the_build_log) {
    cl_program program = NULL;
    bool built;
    double seconds;
    for (int attempt = 0; attempt < 2; ++attempt) { /* a failure is not kept as a program */
        test_log_clear(&device);
        ck_assert_int_eq(get("bad.cl", 1, &program, &built, &seconds), CLFAVOR_BUILD_FAILED);
        ck_assert(!built);
        ck_assert_ptr_null(program);
        ck_assert(test_logged(&device, "error bad.cl -DVALUE=1  did not build:"));
        ck_assert(test_logged(&device, "no_such_name")); /* what the compiler said */
        ck_assert(test_logged(&device, "clBuildProgram failed with OpenCL code -11"));
        ck_assert_uint_eq(info().programs, 0);
    }
}
END_TEST

START_TEST(options_that_went_wrong_build_nothing) {
    cl_program program = NULL;
    bool built;
    double seconds;
    clfavor_options options;
    clfavor_options_init(&options);
    clfavor_option(&options, "VALUE", 1);
    clfavor_option(&options, "VALUE", 2);
    test_refused(&device, clfavor_program_get(context, "good.cl", &options, &program, &built, &seconds),
                 CLFAVOR_BUILD_FAILED, "the build options of good.cl are too long or repeated");
    ck_assert_ptr_null(program);
}
END_TEST

START_TEST(a_missing_source_is_named) {
    cl_program program = NULL;
    bool built;
    double seconds;
    test_refused(&device, get("nowhere.cl", 1, &program, &built, &seconds), CLFAVOR_SOURCE,
                 "the kernel source nowhere.cl could not be read");
}
END_TEST

START_TEST(a_plan_reports_both) {
    clfavor_plan_desc desc = {.struct_size = sizeof desc, .features = 8, .dim = 4};
    clfavor_plan *plan = (clfavor_plan *)&desc;
    ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_BUILD_FAILED);
    ck_assert_ptr_null(plan);
    ck_assert(test_logged(&device, "error cpu_attention.cl "));
    ck_assert(test_logged(&device, "no_such_function"));
    ck_assert_uint_eq(info().programs, 0);

    test_log_clear(&device);
    desc.operation = CLFAVOR_OP_EXACT; /* its file is not in the folder */
    test_refused(&device, clfavor_plan_create(&plan, context, &desc), CLFAVOR_SOURCE, "could not be read");
    ck_assert_ptr_null(plan);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("program");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_program_is_built_once_for_file_and_options);
    tcase_add_test(tcase, a_build_failure_is_told_with_the_build_log);
    tcase_add_test(tcase, options_that_went_wrong_build_nothing);
    tcase_add_test(tcase, a_missing_source_is_named);
    tcase_add_test(tcase, a_plan_reports_both);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
