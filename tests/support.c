#define _GNU_SOURCE /* nftw, mkdtemp */
#include "support.h"

#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void test_folder_make(char path[64]) {
    strcpy(path, "/tmp/clfavor-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(path));
}

static int remove_entry(const char *path, const struct stat *facts, int type, struct FTW *place) {
    (void)facts;
    (void)type;
    (void)place;
    return remove(path);
}

void test_folder_remove(const char *path) {
    nftw(path, remove_entry, 8, FTW_DEPTH | FTW_PHYS);
}
