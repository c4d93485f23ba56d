/* Weights: packing for a device, and a new draw without a build. */
#include "support_attention.h"

#include <stdlib.h>
#include <string.h>

static test_device device;
static clfavor_context *context;

static void setup(void) {
    test_open(&device);
    context = test_context(&device, CLFAVOR_CLASS_AUTO);
    test_log_clear(&device);
}
static void teardown(void) {
    clfavor_context_destroy(context);
    test_close(&device);
}

static const test_case base = {
    .map = CLFAVOR_MAP_POSITIVE, .m = 37, .d = 9, .dv = 5, .heads = 2, .sets = 2, .n = 50, .seed = 5};

static clfavor_weights *create(const test_case *c) {
    clfavor_estimator *estimator = test_estimator(c);
    clfavor_weights *weights;
    ck_assert_int_eq(clfavor_weights_create(&weights, context, estimator), CLFAVOR_SUCCESS);
    clfavor_estimator_destroy(estimator);
    return weights;
}

static clfavor_status update(clfavor_weights *weights, const test_case *c) {
    clfavor_estimator *estimator = test_estimator(c);
    clfavor_status status = clfavor_weights_update(weights, estimator, device.queue, 0, NULL);
    clfavor_estimator_destroy(estimator);
    return status;
}

START_TEST(null_arguments) {
    clfavor_estimator *estimator = test_estimator(&base);
    clfavor_weights *weights = (clfavor_weights *)&device;
    ck_assert_int_eq(clfavor_weights_create(NULL, context, estimator), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_int_eq(clfavor_weights_create(&weights, NULL, estimator), CLFAVOR_INVALID_ARGUMENT);
    ck_assert_ptr_null(weights);
    weights = (clfavor_weights *)&device;
    test_refused(&device, clfavor_weights_create(&weights, context, NULL), CLFAVOR_INVALID_ARGUMENT,
                 "the estimator is NULL");
    ck_assert_ptr_null(weights);

    weights = create(&base);
    ck_assert_int_eq(clfavor_weights_update(NULL, estimator, device.queue, 0, NULL), CLFAVOR_INVALID_ARGUMENT);
    test_refused(&device, clfavor_weights_update(weights, NULL, device.queue, 0, NULL), CLFAVOR_INVALID_ARGUMENT,
                 "the estimator is NULL");
    test_refused(&device, clfavor_weights_update(weights, estimator, NULL, 0, NULL), CLFAVOR_INVALID_ARGUMENT,
                 "the queue is NULL");
    const cl_event none = NULL;
    test_refused(&device, clfavor_weights_update(weights, estimator, device.queue, 0, &none), CLFAVOR_INVALID_ARGUMENT,
                 "the wait list is given, but num_events is 0");
    test_refused(&device, clfavor_weights_update(weights, estimator, device.queue, 2, NULL), CLFAVOR_INVALID_ARGUMENT,
                 "the wait list is NULL, but num_events is 2");
    clfavor_weights_destroy(weights);
    clfavor_weights_destroy(NULL);
    clfavor_estimator_destroy(estimator);
}
END_TEST

START_TEST(an_update_must_match) {
    clfavor_weights *weights = create(&base);
    test_case others[] = {base, base, base, base};
    others[0].map = CLFAVOR_MAP_RELU;
    others[1].m = 38;
    others[2].d = 10;
    others[3].sets = 1;
    static const char *const texts[] = {"map 5, m = 37, d = 9, 2 sets; the weights 0, 37, 9, 2", "m = 38", "d = 10",
                                        "1 sets"};
    for (size_t i = 0; i < 4; ++i)
        test_refused(&device, update(weights, &others[i]), CLFAVOR_MISMATCH, texts[i]);
    ck_assert_int_eq(update(weights, &base), CLFAVOR_SUCCESS);
    test_case scaled = base; /* the scale is a value like any other */
    scaled.scale = 0.1;
    ck_assert_int_eq(update(weights, &scaled), CLFAVOR_SUCCESS);
    clfavor_weights_destroy(weights);
}
END_TEST

START_TEST(foreign_objects_and_bad_events_are_refused) {
    test_device other;
    test_open(&other);
    clfavor_weights *weights = create(&base);
    clfavor_estimator *estimator = test_estimator(&base);
    test_refused(&device, clfavor_weights_update(weights, estimator, other.queue, 0, NULL), CLFAVOR_MISMATCH,
                 "the queue is not of");
    cl_int code;
    cl_event event = clCreateUserEvent(other.context, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    ck_assert_int_eq(clSetUserEventStatus(event, CL_COMPLETE), CL_SUCCESS);
    test_refused(&device, clfavor_weights_update(weights, estimator, device.queue, 1, &event), CLFAVOR_OPENCL,
                 "clEnqueueWriteBuffer failed with OpenCL code -34");
    clReleaseEvent(event);
    clfavor_estimator_destroy(estimator);
    clfavor_weights_destroy(weights);
    test_close(&other);
}
END_TEST

/* The event that an update waits for is set by another thread. */
static int set_event(void *event) {
    const struct timespec soon = {.tv_nsec = 50000000};
    thrd_sleep(&soon, NULL);
    return clSetUserEventStatus(event, CL_COMPLETE);
}

START_TEST(an_update_waits_for_its_wait_list) {
    clfavor_weights *weights = create(&base);
    clfavor_estimator *estimator = test_estimator(&base);
    cl_int code;
    cl_event gate = clCreateUserEvent(device.context, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    thrd_t thread;
    ck_assert_int_eq(thrd_create(&thread, set_event, gate), thrd_success);
    ck_assert_int_eq(clfavor_weights_update(weights, estimator, device.queue, 1, &gate), CLFAVOR_SUCCESS);
    cl_int state = -1;
    ck_assert_int_eq(clGetEventInfo(gate, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL), CL_SUCCESS);
    ck_assert_int_eq(state, CL_COMPLETE);
    int result;
    ck_assert_int_eq(thrd_join(thread, &result), thrd_success);
    ck_assert_int_eq(result, CL_SUCCESS);
    clReleaseEvent(gate);
    clfavor_estimator_destroy(estimator);
    clfavor_weights_destroy(weights);
}
END_TEST

START_TEST(a_new_draw_gives_the_bits_of_fresh_weights_and_builds_nothing) {
    static const clfavor_map maps[] = {CLFAVOR_MAP_POSITIVE,   CLFAVOR_MAP_HYPERBOLIC, CLFAVOR_MAP_TRIG,
                                       CLFAVOR_MAP_TRIG_PHASE, CLFAVOR_MAP_GAUSSIAN,   CLFAVOR_MAP_RELU};
    test_case first = base, second = base;
    first.map = second.map = maps[_i];
    second.seed = 6;
    test_inputs inputs = test_inputs_create(&first);
    test_call fresh = test_call_create(&device, context, &second, &inputs);
    test_outputs expected = test_call_run(&fresh);
    test_call call = test_call_create(&device, context, &first, &inputs);
    test_outputs before = test_call_run(&call);
    ck_assert_int_ne(memcmp(before.o, expected.o, before.o_count * sizeof *before.o), 0);

    clfavor_context_info info = {.struct_size = sizeof info}, later = info;
    ck_assert_int_eq(clfavor_context_get_info(context, &info), CLFAVOR_SUCCESS);
    ck_assert_int_eq(update(call.weights, &second), CLFAVOR_SUCCESS);
    ck_assert_int_eq(clfavor_context_get_info(context, &later), CLFAVOR_SUCCESS);
    ck_assert_uint_eq(later.programs, info.programs);
    ck_assert_double_eq(later.build_seconds, info.build_seconds);
    test_outputs after = test_call_run(&call);
    ck_assert_mem_eq(after.o, expected.o, after.o_count * sizeof *after.o);
    ck_assert_mem_eq(after.lse, expected.lse, after.rows * sizeof *after.lse);

    test_outputs_free(&before);
    test_outputs_free(&after);
    test_outputs_free(&expected);
    test_call_release(&call);
    test_call_release(&fresh);
    test_inputs_free(&inputs);
}
END_TEST

/* The context goes first, then the rest in each order; what is left still works. */
START_TEST(any_order_of_destruction_is_right) {
    test_inputs inputs = test_inputs_create(&base);
    clfavor_context *own = test_context(&device, CLFAVOR_CLASS_AUTO);
    test_call call = test_call_create(&device, own, &base, &inputs);
    clfavor_context_destroy(own);
    test_outputs outputs = test_call_run(&call);
    ck_assert_int_eq(update(call.weights, &base), CLFAVOR_SUCCESS);
    test_outputs_free(&outputs);
    if (_i) {
        clfavor_plan_destroy(call.plan);
        call.plan = NULL;
        ck_assert_int_eq(update(call.weights, &base), CLFAVOR_SUCCESS);
    } else {
        clfavor_weights_destroy(call.weights);
        call.weights = NULL;
        clfavor_plan_info info = {.struct_size = sizeof info};
        ck_assert_int_eq(clfavor_plan_get_info(call.plan, &info), CLFAVOR_SUCCESS);
    }
    test_call_release(&call);
    test_inputs_free(&inputs);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("weights");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, null_arguments);
    tcase_add_test(tcase, an_update_must_match);
    tcase_add_test(tcase, foreign_objects_and_bad_events_are_refused);
    tcase_add_test(tcase, an_update_waits_for_its_wait_list);
    tcase_add_loop_test(tcase, a_new_draw_gives_the_bits_of_fresh_weights_and_builds_nothing, 0, 6);
    tcase_add_loop_test(tcase, any_order_of_destruction_is_right, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
