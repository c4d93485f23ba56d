/* Launches chained by events, so that any queue runs them in order. */
#include "plan.h"

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
