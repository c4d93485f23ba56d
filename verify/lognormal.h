/* Part of the law suite: the lognormal law of the positive estimate with one row, through the kernels. */
#ifndef VERIFY_LOGNORMAL_H
#define VERIFY_LOGNORMAL_H

#include "pool.h"

/* pool: m = 1, d = 6. */
void verify_add_lognormal(verify_run *run, const verify_pool *pool);

#endif
