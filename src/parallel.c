#include "parallel.h"

#include <threads.h>

#define MAX_THREADS 256u

typedef struct job {
    clfavor_part part;
    void *user;
    size_t count;
    mtx_t lock; /* guards what follows */
    size_t next;
    clfavor_status status;
} job;

static int take_parts(void *argument) {
    job *j = argument;
    for (;;) {
        mtx_lock(&j->lock);
        size_t part = j->next++;
        bool done = part >= j->count || j->status;
        mtx_unlock(&j->lock);
        if (done)
            return 0;
        clfavor_status status = j->part(j->user, part);
        mtx_lock(&j->lock);
        j->status = j->status ? j->status : status;
        mtx_unlock(&j->lock);
    }
}

clfavor_status clfavor_parallel(size_t count, uint32_t threads, clfavor_part part, void *user) {
    job j = {.part = part, .user = user, .count = count};
    thrd_t others[MAX_THREADS];
    size_t started = 0, wanted = (size_t)clfavor_min(clfavor_min(threads, MAX_THREADS), count);
    if (mtx_init(&j.lock, mtx_plain) != thrd_success)
        return CLFAVOR_OUT_OF_MEMORY;
    while (started + 1 < wanted && thrd_create(&others[started], take_parts, &j) == thrd_success)
        ++started; /* where no thread is to be had, this one does the work */
    take_parts(&j);
    for (size_t i = 0; i < started; ++i)
        thrd_join(others[i], NULL);
    mtx_destroy(&j.lock);
    return j.status;
}
