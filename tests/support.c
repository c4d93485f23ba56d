#include "support.h"

#include <math.h>
#include <stdlib.h>

int test_main(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, getenv("CK_FORK") ? CK_FORK_GETENV : CK_NOFORK);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    int run = srunner_ntests_run(runner);
    srunner_free(runner);
    return failed || !run;
}

void *test_alloc(size_t count, size_t size) {
    void *memory = calloc(count ? count : 1, size);
    ck_assert_ptr_nonnull(memory);
    return memory;
}

double test_error(const float *actual, const double *expected, size_t count) {
    double difference = 0, norm = 0;
    for (size_t i = 0; i < count; ++i) {
        double d = (double)actual[i] - expected[i];
        difference += d * d;
        norm += expected[i] * expected[i];
    }
    if (!isfinite(difference) || !isfinite(norm))
        return INFINITY;
    return difference > 0 ? sqrt(difference / norm) : 0;
}

double test_worst_error(const float *actual, const double *expected, size_t heads, size_t count) {
    double worst = 0;
    for (size_t h = 0; h < heads; ++h) {
        double error = test_error(actual + h * count, expected + h * count, count);
        worst = error > worst ? error : worst;
    }
    return worst;
}
