/* OpenCL calls that fail on purpose: each is reported with its name and code, what was made is released, and the event
 * of a failed enqueue covers what was enqueued. The functions below take the place of the ICD loader's. */
#define _GNU_SOURCE
#include "support_attention.h"

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

typedef enum fault_call {
    NO_FAULT,
    RETAIN_CONTEXT,
    CREATE_BUFFER,
    CREATE_PROGRAM,
    BUILD_PROGRAM,
    CREATE_KERNEL,
    SET_ARG,
    ENQUEUE,
    WRITE,
    QUEUE_INFO,
    MEM_INFO
} fault_call;

static fault_call fault;   /* which call fails */
static unsigned countdown; /* after so many that work */
static cl_int fault_code;
static int alive; /* buffers, programs, kernels and events that were made and not released */

static bool fails(fault_call call) {
    return fault == call && countdown-- == 0;
}

#define REAL(name)                                                                                                     \
    __typeof__(name) *real;                                                                                            \
    *(void **)&real = dlsym(RTLD_NEXT, #name)
#define FAIL_IF(call)                                                                                                  \
    if (fails(call))                                                                                                   \
    return fault_code
#define FAIL_OBJECT_IF(call)                                                                                           \
    if (fails(call)) {                                                                                                 \
        *code = fault_code;                                                                                            \
        return NULL;                                                                                                   \
    }

cl_int clRetainContext(cl_context context) {
    REAL(clRetainContext);
    FAIL_IF(RETAIN_CONTEXT);
    return real(context);
}
cl_mem clCreateBuffer(cl_context context, cl_mem_flags flags, size_t size, void *host, cl_int *code) {
    REAL(clCreateBuffer);
    FAIL_OBJECT_IF(CREATE_BUFFER);
    cl_mem made = real(context, flags, size, host, code);
    alive += made != NULL;
    return made;
}
cl_program clCreateProgramWithSource(cl_context context, cl_uint count, const char **text, const size_t *sizes,
                                     cl_int *code) {
    REAL(clCreateProgramWithSource);
    FAIL_OBJECT_IF(CREATE_PROGRAM);
    cl_program made = real(context, count, text, sizes, code);
    alive += made != NULL;
    return made;
}
cl_int clBuildProgram(cl_program program, cl_uint count, const cl_device_id *devices, const char *options,
                      void(CL_CALLBACK *notify)(cl_program, void *), void *user) {
    REAL(clBuildProgram);
    FAIL_IF(BUILD_PROGRAM);
    return real(program, count, devices, options, notify, user);
}
cl_kernel clCreateKernel(cl_program program, const char *name, cl_int *code) {
    REAL(clCreateKernel);
    FAIL_OBJECT_IF(CREATE_KERNEL);
    cl_kernel made = real(program, name, code);
    alive += made != NULL;
    return made;
}
cl_int clSetKernelArg(cl_kernel kernel, cl_uint index, size_t size, const void *value) {
    REAL(clSetKernelArg);
    FAIL_IF(SET_ARG);
    return real(kernel, index, size, value);
}
cl_int clEnqueueNDRangeKernel(cl_command_queue queue, cl_kernel kernel, cl_uint dims, const size_t *offset,
                              const size_t *global, const size_t *local, cl_uint waits, const cl_event *wait_list,
                              cl_event *event) {
    REAL(clEnqueueNDRangeKernel);
    FAIL_IF(ENQUEUE);
    cl_int code = real(queue, kernel, dims, offset, global, local, waits, wait_list, event);
    alive += code == CL_SUCCESS && event;
    return code;
}
cl_int clEnqueueWriteBuffer(cl_command_queue queue, cl_mem to, cl_bool block, size_t offset, size_t size,
                            const void *from, cl_uint waits, const cl_event *wait_list, cl_event *event) {
    REAL(clEnqueueWriteBuffer);
    FAIL_IF(WRITE);
    return real(queue, to, block, offset, size, from, waits, wait_list, event);
}
cl_int clGetCommandQueueInfo(cl_command_queue queue, cl_command_queue_info name, size_t size, void *value,
                             size_t *used) {
    REAL(clGetCommandQueueInfo);
    FAIL_IF(QUEUE_INFO);
    return real(queue, name, size, value, used);
}
cl_int clGetMemObjectInfo(cl_mem mem, cl_mem_info name, size_t size, void *value, size_t *used) {
    REAL(clGetMemObjectInfo);
    FAIL_IF(MEM_INFO);
    return real(mem, name, size, value, used);
}
#define RELEASE(name, type)                                                                                            \
    cl_int name(type object) {                                                                                         \
        REAL(name);                                                                                                    \
        --alive;                                                                                                       \
        return real(object);                                                                                           \
    }
RELEASE(clReleaseMemObject, cl_mem)
RELEASE(clReleaseProgram, cl_program)
RELEASE(clReleaseKernel, cl_kernel)
RELEASE(clReleaseEvent, cl_event)

static test_device device;
static clfavor_context *context;
static const test_case base = {.m = 20, .d = 6, .heads = 2, .n = 10, .n_k = 10, .seed = 3};

static void setup(void) {
    fault = NO_FAULT;
    alive = 0;
    test_open(&device);
}

/* Fixtures do not know the class that a loop test runs for. */
static void open_context(int index) {
    context = test_context(&device, index ? CLFAVOR_CLASS_GPU : CLFAVOR_CLASS_CPU);
    test_log_clear(&device);
}

static void teardown(void) {
    fault = NO_FAULT;
    clfavor_context_destroy(context);
    test_close(&device);
    ck_assert_int_eq(alive, 0);
}

static void inject(fault_call call, unsigned after, cl_int code) {
    fault = call;
    countdown = after;
    fault_code = code;
}

START_TEST(a_context_that_cannot_be_retained) {
    open_context(_i);
    clfavor_context *other = context;
    clfavor_context_desc desc = test_context_desc(&device, CLFAVOR_CLASS_AUTO);
    inject(RETAIN_CONTEXT, 0, CL_INVALID_CONTEXT);
    test_refused(&device, clfavor_context_create(&other, &desc), CLFAVOR_OPENCL,
                 "clRetainContext failed with OpenCL code -34");
    ck_assert_ptr_null(other);
}
END_TEST

START_TEST(weights) {
    open_context(_i);
    clfavor_estimator *estimator = test_estimator(&base);
    clfavor_weights *made = (clfavor_weights *)&device;
    inject(CREATE_BUFFER, 0, CL_MEM_OBJECT_ALLOCATION_FAILURE);
    test_refused(&device, clfavor_weights_create(&made, context, estimator), CLFAVOR_DEVICE_MEMORY,
                 "clCreateBuffer failed with OpenCL code -4");
    ck_assert_ptr_null(made);
    inject(CREATE_BUFFER, 0, CL_OUT_OF_HOST_MEMORY);
    test_refused(&device, clfavor_weights_create(&made, context, estimator), CLFAVOR_OUT_OF_MEMORY,
                 "clCreateBuffer failed with OpenCL code -6");
    fault = NO_FAULT;
    ck_assert_int_eq(clfavor_weights_create(&made, context, estimator), CLFAVOR_SUCCESS);
    inject(WRITE, 0, CL_EXEC_STATUS_ERROR_FOR_EVENTS_IN_WAIT_LIST);
    test_refused(&device, clfavor_weights_update(made, estimator, device.queue, 0, NULL), CLFAVOR_OPENCL,
                 "clEnqueueWriteBuffer failed with OpenCL code -14");
    inject(QUEUE_INFO, 1, CL_INVALID_COMMAND_QUEUE);
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
    inject(CREATE_PROGRAM, 0, CL_OUT_OF_RESOURCES);
    test_refused(&device, clfavor_plan_create(&plan, context, &desc), CLFAVOR_DEVICE_MEMORY,
                 "clCreateProgramWithSource failed with OpenCL code -5");
    ck_assert_ptr_null(plan);
    if (_i) { /* left to choose, the gpu class goes on with its other way */
        inject(BUILD_PROGRAM, 0, CL_COMPILER_NOT_AVAILABLE);
        clfavor_plan_info info = {.struct_size = sizeof info};
        ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_SUCCESS);
        ck_assert(test_logged(&device, "warning the device's compiler does not take the fused kernels"));
        ck_assert_int_eq(clfavor_plan_get_info(plan, &info), CLFAVOR_SUCCESS);
        ck_assert_int_eq(info.backend, CLFAVOR_BACKEND_STAGED);
        clfavor_plan_destroy(plan);
        desc.backend = CLFAVOR_BACKEND_FUSED;
    }
    inject(BUILD_PROGRAM, 0, CL_COMPILER_NOT_AVAILABLE);
    ck_assert_int_eq(clfavor_plan_create(&plan, context, &desc), CLFAVOR_BUILD_FAILED);
    ck_assert(test_logged(&device, "error clBuildProgram failed with OpenCL code -3"));
    ck_assert_ptr_null(plan);
    for (unsigned after = 0;; ++after) {
        inject(CREATE_KERNEL, after, CL_INVALID_KERNEL_NAME);
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
static void fail_each(test_call *call, fault_call which, cl_int code, const char *text) {
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
        if (which == ENQUEUE)
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
        fail_each(&call, ENQUEUE, CL_INVALID_EVENT_WAIT_LIST, "clEnqueueNDRangeKernel failed with OpenCL code -57");
        fail_each(&call, SET_ARG, CL_INVALID_ARG_VALUE, "clSetKernelArg failed with OpenCL code -50");
        inject(MEM_INFO, 2, CL_INVALID_MEM_OBJECT);
        ck_assert_int_eq(clfavor_enqueue_attention(call.plan, &call.args, device.queue, 0, NULL, NULL),
                         CLFAVOR_INVALID_TENSOR);
        ck_assert(test_logged(&device, "error clGetMemObjectInfo failed with OpenCL code -38"));
        ck_assert(test_logged(&device, "error q: the buffer is not a valid memory object"));
        fault = NO_FAULT;
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
