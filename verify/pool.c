#include "pool.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "device.h"

const char *verify_kind_name(clfavor_projection_kind kind) {
    static const char *const names[] = {"orthogonal",       "iid",    "orthogonal-fixed-norm", "custom",
                                        "orthogonal-pairs", "simplex"};
    return names[kind];
}

static void *draw(verify_worker *worker, const void *data, uint32_t block) {
    const verify_pool *pool = data;
    return verify_projection(worker, pool->kind, pool->m, pool->dim, pool->trials,
                             verify_seed(worker->run->options.seed, pool->key, block));
}

static void drop(void *drawn) {
    clfavor_projection_destroy(drawn);
}

verify_pool *verify_pool_get(verify_run *run, uint32_t dim, clfavor_projection_kind kind, uint32_t m, uint32_t trials) {
    static const uint32_t factors[] = {1, 2, 4};
    verify_pool *pool;
    for (pool = run->pools; pool; pool = pool->next)
        if (pool->dim == dim && pool->kind == kind && pool->m == m)
            return pool;
    if (!(pool = verify_new(run, 1, sizeof *pool)))
        return NULL;
    *pool = (verify_pool){.next = run->pools, .kind = kind, .dim = dim, .m = m};
    pool->trials = run->options.reduced ? 400 : trials * factors[run->options.level];
    snprintf(pool->name, sizeof pool->name, "d%u/%s", dim, verify_kind_name(kind));
    snprintf(pool->key, sizeof pool->key, "%s/m%u", pool->name, m);
    pool->group = (verify_group){.name = pool->name, .draw = draw, .drop = drop, .data = pool};
    run->pools = pool;
    return pool;
}

verify_pool *verify_pool_standard(verify_run *run, uint32_t dim, clfavor_projection_kind kind) {
    uint32_t m = dim == 6 ? 28 : dim == 16 ? 40 : dim + dim / 2;
    return verify_pool_get(run, dim, kind, m, dim == 6 ? 2048 : dim == 16 ? 1024 : 512);
}

void verify_pools_release(verify_run *run) {
    while (run->pools) {
        verify_pool *pool = run->pools;
        run->pools = pool->next;
        free(pool);
    }
}

uint32_t verify_pool_blocks(const verify_pool *pool, const verify_options *options, double trials) {
    double blocks = ceil(fmax(trials, 400.0) / pool->trials);
    return options->reduced ? 1 : blocks > 4e9 ? UINT32_MAX : (uint32_t)blocks;
}
