/* Checks without chance: each gives values that must not exceed their tolerances. */
#ifndef VERIFY_EXACT_H
#define VERIFY_EXACT_H

#include "engine.h"

typedef struct verify_exact verify_exact;

typedef struct verify_exact_value {
    double value, tolerance;
} verify_exact_value;

struct verify_exact {
    const char *name; /* of the job; read when it is added */
    const char *text;
    size_t count;
    const char *const *labels; /* [count] */
    double cost;
    bool (*run)(verify_worker *worker, const verify_exact *exact, verify_exact_value *values);
    clfavor_map map;
    bool causal;
};

/* Copied, but for the labels, which are static. */
void verify_add_exact(verify_run *run, const verify_exact *exact);

/* exact_numbers.c, exact_kernels.c, exact_keys.c, exact_rules.c, exact_fit.c */
void verify_exact_numbers(verify_run *run);
void verify_exact_kernels(verify_run *run);
void verify_exact_keys(verify_run *run);
void verify_exact_rules(verify_run *run);
void verify_exact_fit(verify_run *run);

#endif
