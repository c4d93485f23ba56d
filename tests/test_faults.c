/* OpenCL calls that fail on purpose: each is reported with its name and code, what was made is released, and the event
 * of a failed enqueue covers what was enqueued. The functions below take the place of the ICD loader's. */
#define _GNU_SOURCE
#include "support_attention.h"

#include <stdlib.h>
#include <string.h>

#include "shim_opencl.h"

static const char *fault;  /* which call fails */
static unsigned countdown; /* after so many that work */
static cl_int fault_code;

static cl_int verdict(const char *name) {
    return fault && strcmp(name, fault) == 0 && countdown-- == 0 ? fault_code : CL_SUCCESS;
}

static test_device device;
static clfavor_context *context;
static const test_case base = {.m = 20, .d = 6, .heads = 2, .n = 10, .n_k = 10, .seed = 3};

static void setup(void) {
    fault = NULL;
    alive = 0;
    test_open(&device);
}

/* Fixtures do not know the class that a loop test runs for. */
static void open_context(int index) {
    context = test_context(&device, index ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU);
    test_log_clear(&device);
}

static void teardown(void) {
    fault = NULL;
    clfavor_context_destroy(context);
    test_close(&device);
    ck_assert_int_eq(alive, 0);
}

static void inject(const char *call, unsigned after, cl_int code) {
    fault = call;
    countdown = after;
    fault_code = code;
}

START_TEST(a_context_that_cannot_be_retained) {
    open_context(_i);
    clfavor_context *other = context;
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO);
    inject("clRetainContext", 0, CL_INVALID_CONTEXT);
    test_refused(&device, clfavor_context_create(&other, &desc), CLFAVOR_OPENCL,
                 "clRetainContext failed with OpenCL code -34");
    ck_assert_ptr_null(other);
}
END_TEST

START_TEST(weights) {
    open_context(_i);
    clfavor_estimator *estimator = test_estimator(&base);
    clfavor_weights *made = (clfavor_weights *)&device;
    inject("clCreateBuffer", 0, CL_MEM_OBJECT_ALLOCATION_FAILURE);
    test_refused(&device, clfavor_weights_create(&made, context, estimator), CLFAVOR_DEVICE_MEMORY,
                 "clCreateBuffer failed with OpenCL code -4");
    ck_assert_ptr_null(made);
    inject("clCreateBuffer", 0, CL_OUT_OF_HOST_MEMORY);
    test_refused(&device, clfavor_weights_create(&made, context, estimator), CLFAVOR_OUT_OF_MEMORY,
                 "clCreateBuffer failed with OpenCL code -6");
    fault = NULL;
    ck_assert_int_eq(clfavor_weights_create(&made, context, estimator), CLFAVOR_SUCCESS);
    inject("clEnqueueWriteBuffer", 0, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
    test_refused(&device, clfavor_weights_update(made, estimator, device.queue, 0, NULL), CLFAVOR_OPENCL,
                 "clEnqueueWriteBuffer failed with OpenCL code -14");
    inject("clGetCommandQueueInfo", 1, CL_INVALID_COMMAND_QUEUE);
    test_refused(&device, clfavor_weights_update(made, estimator, device.queue, 0, NULL), CLFAVOR_OPENCL,
                 "clGetCommandQueueInfo failed with OpenCL code -36");
    clfavor_weights_destroy(made);
    clfavor_estimator_destroy(estimator);
}
END_TEST

START_TEST(plans) {
    open_context(_i);
    clfavor_plan_desc desc = {.struct_size = sizeof desc, .features = base.m, .dim = base.d};
    clfavor_plan *plan = (clfavor_plan *)&device;
    inject("clCreateProgramWithSource", 0, CL_OUT_OF_RESOURCES);
    test_refused(&device, clfavor_plan_create(&plan, context, &desc), CLFAVOR_DEVICE_MEMORY,
                 "clCreateProgramWithSource failed with OpenCL code -5");
    ck_assert_ptr_null(plan);
    if (_i) { /* left to choose, the gpu class goes on with its other way */
        inject("clBuildProgram", 0, CL_COMPILER_NOT_AVAILABLE);
        clfavor_plan_info info = {.struct_size = sizeof info};
        ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_SUCCESS);
        ck_assert(test_logged(&device, "warning the device's compiler does not take the fused kernels"));
        ck_assert_int_eq(clfavor_plan_get_info(plan, &info), CLFAVOR_SUCCESS);
        ck_assert_int_eq(info.backend, CLFAVOR_BACKEND_STAGED);
        clfavor_plan_destroy(plan);
        desc.backend = CLFAVOR_BACKEND_FUSED;
    }
    inject("clBuildProgram", 0, CL_COMPILER_NOT_AVAILABLE);
    ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_BUILD_FAILED);
    ck_assert(test_logged(&device, "error clBuildProgram failed with OpenCL code -3"));
    ck_assert_ptr_null(plan);
    for (unsigned after = 0;; ++after) {
        inject("clCreateKernel", after, CL_INVALID_KERNEL_NAME);
        test_log_clear(&device);
        clfavor_status status = clfavor_plan_create(&plan, context, &desc);
        if (!status)
            break; /* it makes no more kernels than that */
        test_refused(&device, status, CLFAVOR_OPENCL, "clCreateKernel failed with OpenCL code -46");
        ck_assert_ptr_null(plan);
    }
    clfavor_plan_destroy(plan);
}
END_TEST

/* Every launch in turn fails: before the first nothing was enqueued and there is no event; later the event completes.
 */
static void fail_each(test_call *call, const char *which, cl_int code, const char *text) {
    unsigned failures = 0;
    for (unsigned after = 0;; ++after) {
        test_log_clear(&device);
        cl_event event = (cl_event)&device;
        inject(which, after, code);
        clfavor_status status = clfavor_enqueue_attention(call->plan, &call->args, device.queue, 0, NULL, &event);
        bool worked = status == CLFAVOR_SUCCESS;
        if (!worked) {
            test_refused(&device, status, CLFAVOR_OPENCL, text);
            ++failures;
        }
        if (strcmp(which, "clEnqueueNDRangeKernel") == 0)
            ck_assert((event != NULL) == (after > 0));
        if (event) {
            ck_assert_int_eq(clWaitForEvents(1, &event), CL_SUCCESS);
            clReleaseEvent(event);
        }
        if (worked)
            break;
        inject(which, after, code); /* without an event of the caller's nothing is left over */
        test_refused(&device, clfavor_enqueue_attention(call->plan, &call->args, device.queue, 0, NULL, NULL),
                     CLFAVOR_OPENCL, text);
    }
    ck_assert_uint_gt(failures, 0);
}

START_TEST(enqueued_calls) {
    open_context(_i);
    test_inputs inputs = test_inputs_create(&base);
    for (int kind = 0; kind < 3; ++kind) {
        test_case c = base;
        c.causal = kind == 1;
        c.exact = kind == 2;
        test_call call = test_call_create(&device, context, &c, &inputs);
        test_outputs expected = test_call_run(&call);
        fail_each(&call, "clEnqueueNDRangeKernel", CL_INVALID_EVENT_WAIT_LIST,
                  "clEnqueueNDRangeKernel failed with OpenCL code -57");
        fail_each(&call, "clSetKernelArg", CL_INVALID_ARG_VALUE, "clSetKernelArg failed with OpenCL code -50");
        inject("clGetMemObjectInfo", 2, CL_INVALID_MEM_OBJECT);
        ck_assert_int_eq(clfavor_enqueue_attention(call.plan, &call.args, device.queue, 0, NULL, NULL),
                         CLFAVOR_INVALID_TENSOR);
        ck_assert(test_logged(&device, "error clGetMemObjectInfo failed with OpenCL code -38"));
        ck_assert(test_logged(&device, "error q: the buffer is not a valid memory object"));
        fault = NULL;
        test_call_poison(&call); /* after all that the plan works as before */
        test_outputs outputs = test_call_run(&call);
        ck_assert_mem_eq(outputs.o, expected.o, expected.o_count * sizeof(float));
        test_outputs_free(&outputs);
        test_outputs_free(&expected);
        test_call_release(&call);
    }
    test_inputs_free(&inputs);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("faults");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, a_context_that_cannot_be_retained);
    tcase_add_loop_test(tcase, weights, 0, 2);
    tcase_add_loop_test(tcase, plans, 0, 2);
    tcase_add_loop_test(tcase, enqueued_calls, 0, 2);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
