/* The measures that the other tests rely on. */
#include "support.h"

#include <math.h>
#include <stdlib.h>

START_TEST(error_is_relative_and_never_forgives_nan) {
    const double expected[4] = {3, 4, 0, 0};
    ck_assert_double_eq_tol(test_error((float[]){3, 4.5f}, expected, 2), 0.1, 1e-15);
    ck_assert_double_eq_tol(test_worst_error((float[]){3, 4.5f, 0, 0}, expected, 2, 2), 0.1, 1e-15);
    ck_assert_double_eq(test_error((float[]){3, 4}, expected, 2), 0);
    ck_assert_double_eq(test_error((float[]){0, 0}, expected + 2, 2), 0);
    ck_assert_double_infinite(test_error((float[]){0, 1e-30f}, expected + 2, 2));
    ck_assert_double_infinite(test_error((float[]){NAN, 4}, expected, 2));
    ck_assert_double_infinite(test_error((float[]){INFINITY, 4}, expected, 2));
    ck_assert_double_infinite(test_error((float[]){NAN}, (double[]){NAN}, 1));
    ck_assert_double_infinite(test_worst_error((float[]){3, NAN, 0, 0}, expected, 2, 2));
}
END_TEST

/* Fixed seeds: all tests' inputs hang on these. The mean of 10,000 has a standard deviation of 0.01 (normal) and
 * 0.0029 (uniform); five of them are allowed. */
START_TEST(random_numbers_repeat_and_have_their_law) {
    float *values = test_normals(7, 10000, 2);
    double *same = test_doubles(values, 10000);
    double mean = 0, square = 0, uniform = 0;
    for (uint64_t i = 0; i < 10000; ++i) {
        ck_assert_float_eq(values[i], (float)(2 * test_normal(7, i)));
        ck_assert_double_eq(same[i], (double)values[i]);
        ck_assert_double_ne(test_normal(7, i), test_normal(8, i));
        mean += same[i] / 2e4;
        square += same[i] * same[i] / 4e4;
        uniform += test_uniform(7, i) / 1e4;
    }
    ck_assert_double_eq_tol(mean, 0, 0.05);
    ck_assert_double_eq_tol(square, 1, 0.071); /* the variance of a square is 2 */
    ck_assert_double_eq_tol(uniform, 0.5, 0.0145);
    free(values);
    free(same);
}
END_TEST

START_TEST(buffers_are_poisoned_and_keep_their_values) {
    static const float values[3] = {1, 2, 3};
    const uint32_t poison = TEST_POISON;
    test_device device;
    test_open(&device);
    test_buffer empty = test_buffer_create(&device, NULL, 3);
    float *got = test_buffer_read(&device, &empty);
    for (int i = 0; i < 3; ++i)
        ck_assert_mem_eq(&got[i], &poison, sizeof poison);
    free(got);
    test_buffer_write(&device, &empty, values);
    got = test_buffer_read(&device, &empty);
    ck_assert_mem_eq(got, values, sizeof values);
    free(got);
    test_buffer_release(&empty);
    test_close(&device);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("support");
    TCase *tcase = tcase_create("support");
    tcase_add_test(tcase, error_is_relative_and_never_forgives_nan);
    tcase_add_test(tcase, random_numbers_repeat_and_have_their_law);
    tcase_add_test(tcase, buffers_are_poisoned_and_keep_their_values);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
