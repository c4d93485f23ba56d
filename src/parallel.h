/* Independent parts of host work on several threads. */
#ifndef CLFAVOR_PARALLEL_H
#define CLFAVOR_PARALLEL_H

#include "common.h"

typedef clfavor_status (*clfavor_part)(void *user, size_t part);

/* Calls part(user, 0 .. count - 1), on up to `threads` threads, this one among them; after a failure no further part is
 * begun. Returns the first failure. */
clfavor_status clfavor_parallel(size_t count, uint32_t threads, clfavor_part part, void *user);

#endif
