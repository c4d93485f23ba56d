/* Launches chained by events, so that any queue runs them in order. */
#ifndef CLFAVOR_LAUNCH_H
#define CLFAVOR_LAUNCH_H

#include "context.h"

typedef struct clfavor_chain {
    cl_command_queue queue;
    cl_uint num_events; /* the caller's wait list gates the first launch */
    const cl_event *wait_list;
    cl_event last; /* of the last launch; NULL before the first */
} clfavor_chain;

typedef struct clfavor_arg {
    size_t size;
    const void *value; /* NULL with a size: that many bytes of local memory */
} clfavor_arg;
#define CLFAVOR_ARG(x)                                                                                                 \
    { sizeof(x), &(x) }
#define CLFAVOR_ARG_LOCAL(n)                                                                                           \
    { (n), NULL }

/* The queue must be of the context and its device; a wait list goes with its count. */
clfavor_status clfavor_queue_check(const clfavor_context *context, cl_command_queue queue, cl_uint num_events,
                                   const cl_event *wait_list);

/* Sets the arguments and enqueues the kernel after the previous launch, all under the plan's lock. local NULL: the
 * runtime chooses. */
clfavor_status clfavor_launch(clfavor_plan *plan, clfavor_chain *chain, cl_kernel kernel, const clfavor_arg *args,
                              size_t count, const size_t global[3], const size_t *local);
#define CLFAVOR_LAUNCH(plan, chain, kernel, args, global, local)                                                       \
    clfavor_launch(plan, chain, kernel, args, sizeof(args) / sizeof((args)[0]), global, local)

#endif
