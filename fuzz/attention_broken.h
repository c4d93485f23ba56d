/* Descriptions of plans and arguments of calls with one thing wrong. */
#ifndef FUZZ_ATTENTION_BROKEN_H
#define FUZZ_ATTENTION_BROKEN_H

#include "support_attention.h"

/* Breaks what the index tells, with r to choose how, and names it; 0 where this call has nothing of the kind. Otherwise
 * what must come. The queue becomes NULL, num_events 1, where that is what is wrong. */
typedef struct fuzz_breakage {
    const char *what;
    clfavor_status expected;
} fuzz_breakage;

#define FUZZ_BROKEN_ARGS  21
#define FUZZ_BROKEN_PLANS 14
fuzz_breakage fuzz_break_args(const test_call *call, int index, uint32_t r, clfavor_attention_args *args,
                              cl_command_queue *queue, cl_uint *num_events);
fuzz_breakage fuzz_break_plan(const test_case *c, bool cpu, int index, uint32_t r, clfavor_plan_desc *desc);

#endif
