/* Wait lists and events, on in-order and out-of-order queues. */
#include "support_attention.h"

#include <stdlib.h>
#include <string.h>

static test_device device;
static clfavor_context *contexts[2];
static clfavor_context *context;

static void setup(void) {
    test_open(&device);
    contexts[0] = test_context(&device, CLFAVOR_CLASS_CPU);
    contexts[1] = test_context(&device, CLFAVOR_CLASS_GPU);
}
static void teardown(void) {
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(contexts[i]);
    test_close(&device);
}

/* Many launches a call: several chunks, waves and pieces, and a workspace for some of the heads only. */
static const test_case cases[] = {
    {.m = 40, .d = 8, .n = 300, .heads = 3, .batch = 2, .pieces = 3, .workspace_limit = 128 << 10, .seed = 31},
    {.m = 40, .d = 8, .n = 300, .heads = 3, .batch = 2, .causal = 1, .workspace_limit = 128 << 10, .seed = 32},
    {.m = 40, .d = 8, .n = 300, .heads = 3, .batch = 2, .causal = 1, .pieces = 2, .seed = 33},
    {.exact = true, .d = 8, .n = 300, .heads = 3, .batch = 2, .seed = 34},
};
#define LOOP ((int)(2 * sizeof cases / sizeof *cases))

static test_case case_of(int index) {
    context = contexts[index % 2];
    return cases[index / 2];
}

static cl_event user_event(void) {
    cl_int code;
    cl_event event = clCreateUserEvent(device.context, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    return event;
}

static cl_int state_of(cl_event event) {
    cl_int state = -1;
    ck_assert_int_eq(clGetEventInfo(event, CL_EVENT_COMMAND_EXECUTION_STATUS, sizeof state, &state, NULL), CL_SUCCESS);
    return state;
}

/* Reads through a queue that knows nothing of the call: only the event that was waited for orders them. */
static void expect_output(const test_buffer *buffer, const float *expected) {
    size_t bytes = buffer->count * sizeof(float);
    float *values = test_alloc(buffer->count, sizeof *values);
    cl_int code;
    cl_command_queue queue = clCreateCommandQueue(device.context, device.device, 0, &code);
    ck_assert_int_eq(code, CL_SUCCESS);
    ck_assert_int_eq(clEnqueueReadBuffer(queue, buffer->mem, CL_TRUE, buffer->offset, bytes, values, 0, NULL, NULL),
                     CL_SUCCESS);
    ck_assert_mem_eq(values, expected, bytes);
    clReleaseCommandQueue(queue);
    free(values);
}

/* What is in the inputs when the gate opens counts, not what was there at the enqueue: nothing starts early, and the
 * host copies nothing. The event completes after the last output. */
START_TEST(the_wait_list_gates_everything) {
    const test_case c = case_of(_i);
    test_inputs in = test_inputs_create(&c);
    test_call call = test_call_create(&device, context, &c, &in);
    test_outputs expected = test_call_run(&call);
    test_call_poison(&call);
    const float zero = 0;
    test_buffer *inputs[] = {&call.q, &call.k, &call.v};
    const float *values[] = {in.q, in.k, in.v};
    cl_command_queue queues[] = {device.out_of_order, device.queue};
    for (int q = 0; q < 2; ++q) {
        if (!queues[q])
            continue;
        cl_int code; /* a blocking write into the queue that waits would never come back */
        cl_command_queue side = clCreateCommandQueue(device.context, device.device, 0, &code);
        ck_assert_int_eq(code, CL_SUCCESS);
        for (int i = 0; i < 3; ++i)
            ck_assert_int_eq(clEnqueueFillBuffer(side, inputs[i]->mem, &zero, sizeof zero, inputs[i]->offset,
                                                 inputs[i]->count * sizeof zero, 0, NULL, NULL),
                             CL_SUCCESS);
        ck_assert_int_eq(clFinish(side), CL_SUCCESS);
        cl_event gates[] = {user_event(), user_event()}, done = NULL;
        clfavor_status status = clfavor_enqueue_attention(call.plan, &call.args, queues[q], 2, gates, &done);
        ck_assert_msg(!status, "%s", device.log);
        ck_assert_ptr_nonnull(done);
        ck_assert_int_eq(clFlush(queues[q]), CL_SUCCESS);
        ck_assert_int_eq(clSetUserEventStatus(gates[0], CL_COMPLETE), CL_SUCCESS);
        const struct timespec while_it_could_start = {.tv_nsec = 20000000};
        thrd_sleep(&while_it_could_start, NULL);
        ck_assert_int_gt(state_of(done), CL_COMPLETE);
        for (int i = 0; i < 3; ++i)
            ck_assert_int_eq(clEnqueueWriteBuffer(side, inputs[i]->mem, CL_TRUE, inputs[i]->offset,
                                                  inputs[i]->count * sizeof(float), values[i], 0, NULL, NULL),
                             CL_SUCCESS);
        ck_assert_int_eq(clFinish(side), CL_SUCCESS); /* a blocking write that has returned need not be done */
        ck_assert_int_eq(clSetUserEventStatus(gates[1], CL_COMPLETE), CL_SUCCESS);
        ck_assert_int_eq(clWaitForEvents(1, &done), CL_SUCCESS);
        ck_assert_int_eq(state_of(done), CL_COMPLETE);
        expect_output(&call.o, expected.o);
        expect_output(&call.lse, expected.lse);
        expect_output(&call.sign, expected.sign);
        clReleaseEvent(done);
        clReleaseEvent(gates[0]);
        clReleaseEvent(gates[1]);
        clReleaseCommandQueue(side);
        test_call_poison(&call);
    }
    test_outputs_free(&expected);
    test_call_release(&call);
    test_inputs_free(&in);
}
END_TEST

/* The second call reads the first one's O as its queries. */
START_TEST(calls_chained_by_events_on_an_out_of_order_queue) {
    if (!device.out_of_order)
        return;
    const test_case c = case_of(_i);
    test_inputs in = test_inputs_create(&c);
    test_call first = test_call_create(&device, context, &c, &in);
    test_call second = test_call_create(&device, context, &c, &in);
    second.args.q = first.args.o;
    test_outputs one = test_call_run(&first), two = test_call_run(&second);
    ck_assert_int_ne(memcmp(one.o, two.o, one.o_count * sizeof(float)), 0);
    for (int repeat = 0; repeat < 20; ++repeat) {
        test_call_poison(&first);
        test_call_poison(&second);
        cl_event events[2] = {NULL, NULL};
        ck_assert_int_eq(clfavor_enqueue_attention(first.plan, &first.args, device.out_of_order, 0, NULL, &events[0]),
                         CLFAVOR_SUCCESS);
        ck_assert_int_eq(
            clfavor_enqueue_attention(second.plan, &second.args, device.out_of_order, 1, &events[0], &events[1]),
            CLFAVOR_SUCCESS);
        ck_assert_int_eq(clWaitForEvents(1, &events[1]), CL_SUCCESS);
        expect_output(&first.o, one.o);
        expect_output(&second.o, two.o);
        clReleaseEvent(events[0]);
        clReleaseEvent(events[1]);
    }
    test_outputs_free(&one);
    test_outputs_free(&two);
    test_call_release(&first);
    test_call_release(&second);
    test_inputs_free(&in);
}
END_TEST

/* Without an event, a finished queue is enough. */
START_TEST(the_event_is_optional) {
    const test_case c = case_of(_i);
    test_inputs in = test_inputs_create(&c);
    test_call call = test_call_create(&device, context, &c, &in);
    test_outputs expected = test_call_run(&call);
    cl_command_queue queues[] = {device.queue, device.out_of_order};
    for (int q = 0; q < 2; ++q) {
        if (!queues[q])
            continue;
        test_call_poison(&call);
        ck_assert_int_eq(clfavor_enqueue_attention(call.plan, &call.args, queues[q], 0, NULL, NULL), CLFAVOR_SUCCESS);
        ck_assert_int_eq(clFinish(queues[q]), CL_SUCCESS);
        expect_output(&call.o, expected.o);
    }
    test_outputs_free(&expected);
    test_call_release(&call);
    test_inputs_free(&in);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("events");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, the_wait_list_gates_everything, 0, LOOP);
    tcase_add_loop_test(tcase, calls_chained_by_events_on_an_out_of_order_queue, 0, LOOP);
    tcase_add_loop_test(tcase, the_event_is_optional, 0, LOOP);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
