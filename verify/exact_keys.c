/* Keys that are treated exactly, on injected W against double: some of them, lists for each parameter set, key ranges,
 * more than a panel of them, and all, where nothing is left to estimate. Tolerances: injected.c. */
#include <math.h>
#include <stdlib.h>

#include "injected.h"

enum { D = VERIFY_INJECTED_DIM, CHUNK = 32, N_K = 2 * CHUNK + 6 };

enum { SOME, PER_HEAD, PIECES, MANY, ALL, CASES };
static const char *const labels[CASES * 3] = {
    "some: O",          "some: lse",    "some: sign",         "W per head: O",        "W per head: lse",
    "W per head: sign", "in pieces: O", "in pieces: lse",     "in pieces: sign",      "many: O",
    "many: lse",        "many: sign",   "all, as softmax: O", "all, as softmax: lse", "all, as softmax: sign"};

static const struct {
    uint32_t count, sets, pieces;
    uint64_t batch;
} cases[CASES] = {[SOME] = {7, 1, 0, 2},
                  [PER_HEAD] = {5, 4, 0, 2},
                  [PIECES] = {9, 1, 3, 1},
                  [MANY] = {45, 1, 0, 1},
                  [ALL] = {N_K + 5, 1, 0, 1}};

/* Each list has its own keys, the last of all keys first. The second place repeats it, the third is empty, the last
 * names a key that is not there. With all keys: each once, in an order of its own, and empty places. */
static void choose(verify_problem *p, int which) {
    verify_call *c = &p->call;
    uint32_t lists = (uint32_t)(c->batch * c->states), count = c->exact_count;
    for (uint32_t list = 0; list < lists; ++list)
        for (uint32_t t = 0; t < count; ++t) {
            uint32_t key = (N_K - 1 + 11 * list + 27 * t) % N_K; /* 27 and 70 share no factor */
            if (which == ALL)
                key = t < N_K ? key : UINT32_MAX;
            else
                key = t == 1 ? (N_K - 1 + 11 * list) % N_K : t == 2 ? UINT32_MAX : t + 1 == count ? N_K : key;
            p->exact[(size_t)list * count + t] = key;
        }
}

/* Keys of a wide range of norms, heavy ones among those that are treated exactly: what is left out of the features
 * would be seen there. */
static void stretch(verify_problem *p) {
    size_t keys = (size_t)(p->call.batch * p->call.heads_kv) * N_K;
    for (size_t i = 0; i < keys * D; ++i)
        p->k[i] *= (float)(0.3 + 2.7 * (double)(i / D * 13 % N_K) / N_K);
}

static bool run(verify_worker *worker, const verify_exact *exact, verify_exact_value *values) {
    bool good = true;
    for (int which = 0; good && which < CASES; ++which) {
        verify_problem p = {.estimand = VERIFY_FITTED, .sets = cases[which].sets, .draw = 100U + (uint64_t)which};
        p.call = (verify_call){.map = exact->map,
                               .chunk = CHUNK,
                               .pieces = cases[which].pieces,
                               .batch = cases[which].batch,
                               .heads = 4,
                               .heads_kv = 2,
                               .n = CHUNK + 3,
                               .n_k = N_K,
                               .exact_count = cases[which].count};
        good = verify_problem_open(&p, worker, 1.0);
        size_t lists = (size_t)(p.call.batch * p.call.states);
        p.call.exact_keys = p.exact = good ? verify_alloc(worker, lists * p.call.exact_count, sizeof *p.exact) : NULL;
        good = good && p.exact;
        if (good) {
            choose(&p, which);
            stretch(&p);
        }
        good = good && verify_problem_run(&p, worker) && verify_problem_truth(&p, worker);
        if (good)
            verify_problem_compare(&p, values + (size_t)which * 3);
        verify_problem_close(&p);
    }
    return good;
}

void verify_exact_keys(verify_run *run_of) {
    static const struct {
        const char *name;
        clfavor_map map;
    } all[] = {{"exact-keys/positive", CLFAVOR_MAP_POSITIVE},
               {"exact-keys/hyperbolic", CLFAVOR_MAP_HYPERBOLIC},
               {"exact-keys/fitted", CLFAVOR_MAP_EXPONENTIAL}};
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) {
        const verify_exact exact = {.name = all[i].name,
                                    .text = "keys that are treated exactly, injected W against double",
                                    .count = (size_t)CASES * 3,
                                    .labels = labels,
                                    .cost = 50.0,
                                    .run = run,
                                    .map = all[i].map};
        verify_add_exact(run_of, &exact);
    }
}
