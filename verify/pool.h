/* Pools of draws: one for each (d, projection), which all suites share. A block holds `trials` independent draws of W
 * [m, d], drawn by the library as the parameter sets of one projection; trials then go as heads of one launch. */
#ifndef VERIFY_POOL_H
#define VERIFY_POOL_H

#include "engine.h"

struct verify_pool {
    verify_pool *next;
    char name[32]; /* "d6/orthogonal" */
    char key[48];  /* what its seeds are made from */
    clfavor_projection_kind kind;
    uint32_t dim, m, trials;
    verify_group group; /* its draws are clfavor_projection */
};

/* The pool of a run, made when it is first asked for. m: rows of a draw; trials: of a block at the quick level, 2 and
 * 4 times as many at the others. NULL: out of memory. */
verify_pool *verify_pool_get(verify_run *run, uint32_t dim, clfavor_projection_kind kind, uint32_t m, uint32_t trials);
/* Those that most suites use: d = 6, m = 28; d = 16, m = 40; d = 64, m = 96. All end in a part of a block. */
verify_pool *verify_pool_standard(verify_run *run, uint32_t dim, clfavor_projection_kind kind);
void verify_pools_release(verify_run *run);

const char *verify_kind_name(clfavor_projection_kind kind);

/* Blocks for so many trials, at least 400 trials; one block when calibrating. */
uint32_t verify_pool_blocks(const verify_pool *pool, const verify_options *options, double trials);

#endif
