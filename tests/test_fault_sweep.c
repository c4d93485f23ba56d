/* Every call to OpenCL and every allocation of the library fails once, each with every code that fits: a status comes
 * back, nothing is left over, and the same call then works and gives the same bits. tests/CMakeLists.txt has the linker
 * send malloc, calloc and realloc of the library here. */
#define _GNU_SOURCE
#include "support_attention.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "shim_opencl.h"

static const cl_int codes[] = {CL_OUT_OF_RESOURCES, CL_OUT_OF_HOST_MEMORY, CL_MEM_OBJECT_ALLOCATION_FAILURE,
                               CL_DEVICE_NOT_AVAILABLE, CL_INVALID_VALUE};
enum { CODES = sizeof codes / sizeof *codes };

static bool active;         /* inside the library */
static unsigned calls, at;  /* calls so far, and which one fails */
static cl_int code_of_call; /* 0: none fails */
static const char *failed;  /* its name */
static bool has_cache;      /* which does without what it can't have */
static unsigned injected, survived;

static bool now_fails(const char *name) {
    if (!active || calls++ != at || !code_of_call)
        return false;
    failed = name;
    return true;
}

static cl_int verdict(const char *name) {
    return now_fails(name) ? code_of_call : CL_SUCCESS;
}

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size) {
    return now_fails("malloc") ? NULL : __real_malloc(size);
}
void *__wrap_calloc(size_t count, size_t size) {
    return now_fails("calloc") ? NULL : __real_calloc(count, size);
}
void *__wrap_realloc(void *old, size_t size) {
    return now_fails("realloc") ? NULL : __real_realloc(old, size);
}

static test_device device;

static void setup(void) {
    test_open(&device);
}
static void teardown(void) {
    test_close(&device);
}

/* What is swept: makes something and undoes it, or computes something; the status of the first call that failed. Sets
 * `active` around calls of the library. */
typedef clfavor_status sweep_fn(void *data);

#define LIBRARY(call) (active = true, swept = (call), active = false, swept)

/* Queries whose failure is no failure: what they tell only makes things better. */
static bool optional(const char *name) {
    return strcmp(name, "clGetPlatformInfo") == 0 || strcmp(name, "clGetDeviceInfo") == 0 ||
           strcmp(name, "clGetProgramInfo") == 0 || strcmp(name, "clGetProgramBuildInfo") == 0 ||
           strcmp(name, "clCreateProgramWithBinary") == 0 ||
           (has_cache &&
            (strcmp(name, "malloc") == 0 || strcmp(name, "calloc") == 0 || strcmp(name, "clBuildProgram") == 0));
}

/* right: NULL, or tells whether results are right, once a call has worked. all_codes: each call fails with each. */
static void sweep(const char *name, sweep_fn *function, void *data, bool (*right)(void *), bool all_codes) {
    code_of_call = 0;
    calls = 0;
    ck_assert_msg(!function(data), "%s: fails by itself; log: %s", name, device.log);
    unsigned count = calls;
    ck_assert_uint_gt(count, 0);
    int before = alive, contexts = retained;
    for (at = 0; at < count; ++at)
        for (unsigned c = 0; c < (all_codes ? CODES : 1u); ++c) {
            cl_int code = codes[(at + c) % CODES];
            code_of_call = code;
            calls = 0;
            failed = NULL;
            test_log_clear(&device);
            clfavor_status status = function(data);
            code_of_call = 0;
            ck_assert_msg(failed != NULL, "%s: call %u did not come", name, at);
            ++injected;
            /* or it went another way, and said so */
            ck_assert_msg(status || optional(failed) || test_logged(&device, "warning "),
                          "%s: call %u, %s, failed unnoticed", name, at, failed);
            ck_assert_msg(alive == before && retained == contexts, "%s: after call %u, %s, %d objects too many", name,
                          at, failed, alive - before);
            if (status)
                ck_assert_msg(strlen(clfavor_status_message(status)) > 0, "%s: %d is no status", name, (int)status);
            status = function(data);
            ck_assert_msg(!status, "%s: after call %u, %s, it does not work again: %s; log: %s", name, at, failed,
                          clfavor_status_name(status), device.log);
            ck_assert_msg(!right || right(data), "%s: after call %u, %s, results are others", name, at, failed);
            ++survived;
            if (c && (failed[0] != 'c' || failed[1] != 'l'))
                break; /* memory has one code only */
        }
}

/* ------------------------------------------------------------------------------------------------ what is swept */

static clfavor_status context_once(void *data) {
    clfavor_status swept;
    const clfavor_device_class *device_class = data;
    clfavor_context_desc desc = test_context_desc(&device, *device_class);
    desc.kernel_dir = "/nowhere";
    desc.cache_dir = "/nowhere";
    desc.cache_always = 1;
    clfavor_context *context = (clfavor_context *)&device;
    if (LIBRARY(clfavor_context_create(&context, &desc))) {
        ck_assert_ptr_null(context);
        return swept;
    }
    active = true;
    clfavor_context_destroy(context);
    active = false;
    return swept;
}

START_TEST(contexts) {
    clfavor_device_class device_class = _i ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU;
    sweep("context", context_once, &device_class, NULL, true);
}
END_TEST

typedef struct plan_work {
    clfavor_device_class device_class;
    clfavor_plan_desc desc;
    const char *cache_dir; /* NULL: programs are compiled each time */
} plan_work;

/* With a context of its own, so that programs are built, or loaded. */
static clfavor_status plan_once(void *data) {
    clfavor_status swept;
    plan_work *work = data;
    clfavor_context_desc desc = test_context_desc(&device, work->device_class);
    desc.cache_dir = work->cache_dir;
    desc.cache_always = 1;
    clfavor_context *context;
    ck_assert_int_eq(clfavor_context_create(&context, &desc), CLFAVOR_SUCCESS);
    clfavor_plan *plan = (clfavor_plan *)&device;
    if (LIBRARY(clfavor_plan_create(&plan, context, &work->desc)))
        ck_assert_ptr_null(plan);
    else
        clfavor_plan_destroy(plan);
    clfavor_context_destroy(context);
    return swept;
}

static const clfavor_plan_desc plan_descs[] = {
    {.features = 9, .dim = 5},
    {.features = 9, .dim = 5, .causal = true},
    {.features = 9, .dim = 5, .exact_keys = 3},
    {.operation = CLFAVOR_OP_EXACT, .dim = 5},
    {.operation = CLFAVOR_OP_FEATURES_KEY, .features = 9, .dim = 5},
    {.features = 9, .dim = 5, .backend = CLFAVOR_BACKEND_STAGED},
};

START_TEST(plans) {
    plan_work work = {.device_class = _i % 2 ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU, .desc = plan_descs[_i / 2]};
    work.desc.struct_size = sizeof work.desc;
    if (work.desc.backend && work.device_class == CLFAVOR_CLASS_CPU)
        return;
    char folder[64];
    if (_i >= 2) { /* compiling takes long; the first of each class show what it calls */
        test_folder_make(folder);
        work.cache_dir = folder;
        ck_assert_int_eq(plan_once(&work), CLFAVOR_SUCCESS);
    }
    has_cache = work.cache_dir;
    sweep("plan", plan_once, &work, NULL, false);
    has_cache = false;
    if (work.cache_dir)
        test_folder_remove(folder);
}
END_TEST

typedef struct weights_work {
    clfavor_context *context;
    clfavor_estimator *estimator;
} weights_work;

static clfavor_status weights_once(void *data) {
    clfavor_status swept;
    weights_work *work = data;
    clfavor_weights *weights = (clfavor_weights *)&device;
    if (LIBRARY(clfavor_weights_create(&weights, work->context, work->estimator))) {
        ck_assert_ptr_null(weights);
        return swept;
    }
    swept = LIBRARY(clfavor_weights_update(weights, work->estimator, device.queue, 0, NULL));
    clfavor_weights_destroy(weights);
    return swept;
}

static const test_case cases[] = {
    {.m = 20, .d = 6, .heads = 2, .n = 70, .seed = 3},
    {.m = 20, .d = 6, .heads = 2, .n = 70, .causal = 1, .seed = 3},
    {.d = 6, .heads = 2, .n = 70, .exact = true, .seed = 3},
};

START_TEST(weights) {
    weights_work work = {test_context(&device, _i ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU), test_estimator(&cases[0])};
    sweep("weights", weights_once, &work, NULL, true);
    clfavor_estimator_destroy(work.estimator);
    clfavor_context_destroy(work.context);
}
END_TEST

typedef struct call_work {
    test_call call;
    test_outputs expected;
} call_work;

static clfavor_status attention_once(void *data) {
    clfavor_status swept;
    call_work *work = data;
    cl_event event = (cl_event)&device;
    test_call_poison(&work->call);
    if (LIBRARY(clfavor_enqueue_attention(work->call.plan, &work->call.args, device.queue, 0, NULL, &event)))
        clFinish(device.queue);
    if (event) {
        ck_assert_int_eq(clWaitForEvents(1, &event), CL_SUCCESS);
        clReleaseEvent(event);
    }
    return swept;
}

static bool attention_right(void *data) {
    call_work *work = data;
    test_outputs outputs = test_call_read(&work->call);
    bool same = memcmp(outputs.o, work->expected.o, outputs.o_count * sizeof(float)) == 0;
    test_outputs_free(&outputs);
    return same;
}

START_TEST(attention) {
    const test_case *c = &cases[_i / 2];
    clfavor_context *context = test_context(&device, _i % 2 ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU);
    test_inputs inputs = test_inputs_create(c);
    call_work work = {.call = test_call_create(&device, context, c, &inputs)};
    work.expected = test_call_run(&work.call);
    sweep("attention", attention_once, &work, attention_right, true);
    test_outputs_free(&work.expected);
    test_call_release(&work.call);
    test_inputs_free(&inputs);
    clfavor_context_destroy(context);
}
END_TEST

/* On the host there is memory only. */
static clfavor_status host_once(void *data) {
    (void)data;
    clfavor_status swept;
    clfavor_projection_desc projection_desc = {.struct_size = sizeof projection_desc,
                                               .kind = CLFAVOR_PROJECTION_ORTHOGONAL,
                                               .features = 21,
                                               .dim = 6,
                                               .sets = 2,
                                               .seed = 4};
    clfavor_projection *projection = (clfavor_projection *)&device;
    if (LIBRARY(clfavor_projection_create(&projection, &projection_desc))) {
        ck_assert_ptr_null(projection);
        return swept;
    }
    clfavor_estimator_desc desc = {.struct_size = sizeof desc, .projection = projection, .dim = 6};
    clfavor_estimator *estimator = (clfavor_estimator *)&device;
    if (LIBRARY(clfavor_estimator_create(&estimator, &desc)))
        ck_assert_ptr_null(estimator);
    else
        clfavor_estimator_destroy(estimator);
    clfavor_projection_destroy(projection);
    return swept;
}

START_TEST(host) {
    sweep("host", host_once, NULL, NULL, false);
}
END_TEST

START_TEST(tally) {
    printf("%u faults injected, %u survived\n", injected, survived);
    ck_assert_uint_eq(injected, survived);
    ck_assert_uint_gt(injected, 500);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("fault_sweep");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, contexts, 0, 2);
    tcase_add_loop_test(tcase, plans, 0, 2 * sizeof plan_descs / sizeof *plan_descs);
    tcase_add_loop_test(tcase, weights, 0, 2);
    tcase_add_loop_test(tcase, attention, 0, 2 * sizeof cases / sizeof *cases);
    tcase_add_test(tcase, host);
    tcase_add_test(tcase, tally);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
