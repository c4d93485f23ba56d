/* Launches chained by events, so that any queue runs them in order. */
#include "plan.h"

clfavor_status clfavor_queue_check(const clfavor_context *context, cl_command_queue queue, cl_uint num_events,
                                   const cl_event *wait_list) {
    if (!queue)
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "the queue is NULL");
    if ((num_events > 0) != (wait_list != NULL))
        return CLFAVOR_REFUSE(context, CLFAVOR_INVALID_ARGUMENT, "the wait list is %s, but num_events is %u",
                              wait_list ? "given" : "NULL", num_events);
    cl_context owner = NULL;
    cl_device_id device = NULL;
    cl_int code = clGetCommandQueueInfo(queue, CL_QUEUE_CONTEXT, sizeof owner, &owner, NULL);
    if (code == CL_SUCCESS)
        code = clGetCommandQueueInfo(queue, CL_QUEUE_DEVICE, sizeof device, &device, NULL);
    clfavor_status status = clfavor_check_cl(context, code, "clGetCommandQueueInfo");
    if (!status && (owner != context->cl || device != context->device))
        return CLFAVOR_REFUSE(context, CLFAVOR_MISMATCH, "the queue is not of the context's OpenCL context and device");
    return status;
}

clfavor_status clfavor_launch(clfavor_plan *plan, clfavor_chain *chain, cl_kernel kernel, const clfavor_arg *args,
                              size_t count, const size_t global[3], const size_t *local) {
    const clfavor_context *context = plan->context;
    cl_int code = CL_SUCCESS;
    cl_event event = NULL;
    mtx_lock(&plan->lock);
    for (size_t i = 0; i < count && code == CL_SUCCESS; ++i)
        code = clSetKernelArg(kernel, (cl_uint)i, args[i].size, args[i].value);
    clfavor_status status = clfavor_check_cl(context, code, "clSetKernelArg");
    if (!status) {
        cl_uint num_events = chain->last ? 1 : chain->num_events;
        const cl_event *wait_list = chain->last ? &chain->last : chain->wait_list;
        code = clEnqueueNDRangeKernel(chain->queue, kernel, 3, NULL, global, local, num_events,
                                      num_events ? wait_list : NULL, &event);
        status = clfavor_check_cl(context, code, "clEnqueueNDRangeKernel");
    }
    mtx_unlock(&plan->lock);
    if (status)
        return status;
    if (chain->last)
        clReleaseEvent(chain->last);
    chain->last = event;
    return CLFAVOR_SUCCESS;
}
