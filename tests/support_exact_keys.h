/* Cases with keys that are treated exactly, and a general estimator. */
#ifndef TESTS_SUPPORT_EXACT_KEYS_H
#define TESTS_SUPPORT_EXACT_KEYS_H

#include "support_attention.h"

#define TEST_NO_KEY UINT32_MAX

/* An estimator with every field in use; the values need not make it unbiased here. */
typedef struct test_general {
    clfavor_exponential_desc desc;
    double *w, *t, *small;
} test_general;
test_general test_general_create(uint32_t m, uint32_t d, uint32_t sets);
void test_general_free(test_general *g);

/* Those of the case with positive values. */
test_inputs test_positive_inputs(const test_case *c);
/* Some keys of each state head, a repeated one, one that is not there and some TEST_NO_KEY; the caller frees them. */
uint32_t *test_choose_keys(const test_case *c, uint32_t count);
/* Of rows of d. */
double test_largest_norm(const float *rows, size_t count, size_t d);
/* The relative error of a weight, see the derivation there; g only where the map is the exponential one. */
double test_exact_keys_tolerance(const test_case *c, const test_general *g, const test_inputs *in);
/* Fails unless O is right to 2 t, lse to t and its own rounding, and all signs are 1. */
void test_expect_close(const test_case *c, clfavor_device_class device_class, const test_outputs *outputs,
                       const test_reference *reference, double t);

#endif
