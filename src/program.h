/* The one place that builds programs. */
#ifndef CLFAVOR_PROGRAM_H
#define CLFAVOR_PROGRAM_H

#include "context.h"
#include "options.h"

/* Finds the program of a kernel file and options in the context, or loads it from the cache, or builds it. The context
 * keeps it; the caller makes kernels from it. *built tells whether the compiler ran, *seconds how long it took to have
 * it. All of that happens under the context's lock. */
clfavor_status clfavor_program_get(clfavor_context *context, const char *file, const clfavor_options *options,
                                   cl_program *program, bool *built, double *seconds);
void clfavor_programs_release(clfavor_context *context);

#endif
