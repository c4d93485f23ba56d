/* -D strings: complete, without repeats, never too long. */
#include "support.h"

#include <stdio.h>
#include <string.h>

#include "options.h"

START_TEST(definitions_are_written_in_order) {
    clfavor_options options;
    clfavor_options_init(&options);
    ck_assert_str_eq(options.text, "");
    clfavor_option(&options, "DIM", 64);
    clfavor_option(&options, "VALUE_DIM", 0); /* ends like another name */
    clfavor_option(&options, "BIG", UINT64_MAX);
    ck_assert_str_eq(options.text, "-DDIM=64 -DVALUE_DIM=0 -DBIG=18446744073709551615 ");
    ck_assert_uint_eq(options.used, strlen(options.text));
    ck_assert(!options.overflow);
}
END_TEST

START_TEST(a_name_twice_is_an_error) {
    clfavor_options options;
    clfavor_options_init(&options);
    clfavor_option(&options, "DIM", 1);
    clfavor_option(&options, "DIM", 1);
    ck_assert(options.overflow);
    ck_assert_str_eq(options.text, "-DDIM=1 ");
}
END_TEST

START_TEST(too_much_text_is_an_error) {
    clfavor_options options;
    clfavor_options_init(&options);
    unsigned count = 0;
    char name[32];
    for (; !options.overflow; ++count) {
        ck_assert_uint_lt(count, sizeof options.text);
        snprintf(name, sizeof name, "N%u", count);
        clfavor_option(&options, name, UINT64_MAX);
    }
    ck_assert_uint_gt(count, 30);
    ck_assert_uint_lt(options.used, sizeof options.text);
    ck_assert_uint_eq(options.used, strlen(options.text));
    ck_assert_ptr_null(strstr(options.text, name)); /* whole definitions only */
    ck_assert_int_eq(options.text[options.used - 1], ' ');
}
END_TEST

START_TEST(a_long_name_is_an_error) {
    clfavor_options options;
    clfavor_options_init(&options);
    clfavor_option(&options, "A_NAME_THAT_IS_LONGER_THAN_ANY_THAT_A_KERNEL_OF_THIS_LIBRARY_WOULD_EVER_TAKE", 1);
    ck_assert(options.overflow);
    ck_assert_str_eq(options.text, "");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("options");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, definitions_are_written_in_order);
    tcase_add_test(tcase, a_name_twice_is_an_error);
    tcase_add_test(tcase, too_much_text_is_an_error);
    tcase_add_test(tcase, a_long_name_is_an_error);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
