/* Threads: a plan shared by many, plans of one class made at once, contexts that come and go. */
#include "support_attention.h"

#include <stdlib.h>
#include <string.h>

#define THREADS    8
#define ITERATIONS 25

static test_device device;

static void setup(void) {
    test_open(&device);
}
static void teardown(void) {
    test_close(&device);
}

static void run_threads(thrd_start_t function, void *argument) {
    thrd_t threads[THREADS];
    for (int i = 0; i < THREADS; ++i)
        ck_assert_int_eq(thrd_create(&threads[i], function, argument), thrd_success);
    int failures = 0;
    for (int i = 0; i < THREADS; ++i) {
        int result = -1;
        ck_assert_int_eq(thrd_join(threads[i], &result), thrd_success);
        failures += result != 0;
    }
    ck_assert_msg(!failures, "%d threads failed; log: %s", failures, device.log);
}

/* What all threads share; checks happen without Check, which is for one thread. */
typedef struct shared_work {
    test_call *call; /* plan, weights and inputs, which all use; the rest each has its own */
    const test_outputs *expected;
} shared_work;

static cl_mem new_buffer(size_t size) {
    cl_int code;
    return clCreateBuffer(device.context, CL_MEM_READ_WRITE, size, NULL, &code);
}

static int use_shared_plan(void *argument) {
    const shared_work *work = argument;
    const test_call *call = work->call;
    cl_int code;
    cl_command_queue queue = clCreateCommandQueue(device.context, device.device, 0, &code);
    size_t o_bytes = call->o.count * sizeof(float), row_bytes = call->lse.count * sizeof(float);
    cl_mem o = new_buffer(o_bytes), lse = new_buffer(row_bytes), workspace = new_buffer(call->info.workspace_size + 1);
    float *values = malloc(o_bytes), *rows = malloc(row_bytes);
    int failures = !queue || !o || !lse || !workspace || !values || !rows;
    clfavor_attention_args args = call->args;
    args.o = clfavor_tensor_dense(o, call->c.heads, call->c.n, call->c.dv);
    args.lse = clfavor_tensor_dense(lse, call->c.heads, call->c.n, 1);
    args.sign.buffer = NULL;
    args.workspace = workspace;
    args.workspace_offset = 0;
    for (int i = 0; !failures && i < ITERATIONS; ++i) {
        memset(values, 0, o_bytes);
        cl_event event = NULL;
        failures += clfavor_enqueue_attention(call->plan, &args, queue, 0, NULL, &event) != CLFAVOR_SUCCESS ||
                    clEnqueueReadBuffer(queue, o, CL_TRUE, 0, o_bytes, values, 1, &event, NULL) != CL_SUCCESS ||
                    clEnqueueReadBuffer(queue, lse, CL_TRUE, 0, row_bytes, rows, 1, &event, NULL) != CL_SUCCESS ||
                    memcmp(values, work->expected->o, o_bytes) || memcmp(rows, work->expected->lse, row_bytes);
        if (event)
            clReleaseEvent(event);
    }
    clReleaseMemObject(o);
    clReleaseMemObject(lse);
    clReleaseMemObject(workspace);
    clReleaseCommandQueue(queue);
    free(values);
    free(rows);
    return failures;
}

static const test_case cases[] = {
    {.m = 40, .d = 8, .n = 150, .heads = 3, .pieces = 3, .seed = 41},
    {.m = 40, .d = 8, .n = 150, .heads = 3, .pieces = 2, .causal = 1, .seed = 42},
    {.exact = true, .d = 8, .n = 150, .heads = 3, .seed = 43},
};

START_TEST(a_plan_is_shared) {
    clfavor_context *context = test_context(&device, _i % 2 ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU);
    const test_case *c = &cases[_i / 2];
    test_inputs in = test_inputs_create(c);
    test_call call = test_call_create(&device, context, c, &in);
    test_outputs expected = test_call_run(&call);
    shared_work work = {&call, &expected};
    run_threads(use_shared_plan, &work);
    test_outputs_free(&expected);
    test_call_release(&call);
    test_inputs_free(&in);
    clfavor_context_destroy(context);
}
END_TEST

/* Plans of one class, made at once in one context. */
typedef struct plan_race {
    clfavor_context *context;
    mtx_t lock;
    uint32_t built;
    double seconds;
} plan_race;

static int make_plans(void *argument) {
    plan_race *race = argument;
    int failures = 0;
    for (int i = 0; i < 3; ++i) {
        clfavor_plan_desc desc = {.struct_size = sizeof desc, .features = 11, .dim = 5, .max_n = 100};
        clfavor_plan *plan = NULL;
        clfavor_plan_info info = {.struct_size = sizeof info};
        failures += clfavor_plan_create(&plan, race->context, &desc) != CLFAVOR_SUCCESS ||
                    clfavor_plan_get_info(plan, &info) != CLFAVOR_SUCCESS;
        mtx_lock(&race->lock);
        race->built += info.programs_built;
        race->seconds += info.build_seconds;
        mtx_unlock(&race->lock);
        clfavor_plan_destroy(plan);
    }
    return failures;
}

START_TEST(plans_made_at_once_build_once) {
    plan_race race = {.context = test_context(&device, _i ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU)};
    ck_assert_int_eq(mtx_init(&race.lock, mtx_plain), thrd_success);
    run_threads(make_plans, &race);
    clfavor_context_info info = {.struct_size = sizeof info};
    ck_assert_int_eq(clfavor_context_get_info(race.context, &info), CLFAVOR_SUCCESS);
    ck_assert_uint_ge(info.programs, 1);
    ck_assert_uint_le(info.programs, 2); /* fused: of the keys and of the queries */
    ck_assert_uint_eq(race.built, info.programs);
    ck_assert_double_eq(race.seconds, info.build_seconds);
    mtx_destroy(&race.lock);
    clfavor_context_destroy(race.context);
}
END_TEST

/* A context of the thread's own, and everything up to one result in it. */
static int use_own_context(void *argument) {
    const test_case *c = argument;
    int failures = 0;
    for (int i = 0; i < 3; ++i) {
        clfavor_context_desc desc = test_context_desc(&device, i % 2 ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU);
        clfavor_context *context = NULL;
        clfavor_plan_desc plan_desc = {.struct_size = sizeof plan_desc, .features = c->m, .dim = c->d};
        clfavor_plan *plan = NULL;
        clfavor_projection_desc projection_desc = {
            .struct_size = sizeof projection_desc, .features = c->m, .dim = c->d, .seed = c->seed};
        clfavor_projection *projection = NULL;
        clfavor_estimator_desc estimator_desc = {.struct_size = sizeof estimator_desc, .map = c->map};
        clfavor_estimator *estimator = NULL;
        clfavor_weights *weights = NULL;
        failures += clfavor_context_create(&context, &desc) || clfavor_plan_create(&plan, context, &plan_desc) ||
                    clfavor_projection_create(&projection, &projection_desc);
        estimator_desc.projection = projection;
        failures += clfavor_estimator_create(&estimator, &estimator_desc) ||
                    clfavor_weights_create(&weights, context, estimator);
        clfavor_context_destroy(context);
        clfavor_projection_destroy(projection);
        clfavor_estimator_destroy(estimator);
        clfavor_weights_destroy(weights);
        clfavor_plan_destroy(plan);
    }
    return failures;
}

START_TEST(contexts_come_and_go) {
    test_case c = {.m = 7, .d = 3, .seed = 44};
    run_threads(use_own_context, &c);
    cl_uint references = 0;
    ck_assert_int_eq(clGetContextInfo(device.context, CL_CONTEXT_REFERENCE_COUNT, sizeof references, &references, NULL),
                     CL_SUCCESS);
    test_device fresh;
    test_open(&fresh); /* an OpenCL context with queues, as device is */
    cl_uint expected = 0;
    ck_assert_int_eq(clGetContextInfo(fresh.context, CL_CONTEXT_REFERENCE_COUNT, sizeof expected, &expected, NULL),
                     CL_SUCCESS);
    test_close(&fresh);
    ck_assert_uint_eq(references, expected); /* all objects gave it back */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("threads");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, a_plan_is_shared, 0, 2 * (int)(sizeof cases / sizeof *cases));
    tcase_add_loop_test(tcase, plans_made_at_once_build_once, 0, 2);
    tcase_add_test(tcase, contexts_come_and_go);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
