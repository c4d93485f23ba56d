/* Names, messages and values of the status codes are part of the ABI: they are spelled out here, not taken from the
 * list that makes them. */
#include "support.h"

#include <stdio.h>
#include <string.h>

static const struct {
    int value;
    const char *name;
} pinned[] = {
    {0, "CLFAVOR_SUCCESS"},         {-1, "CLFAVOR_INVALID_ARGUMENT"}, {-2, "CLFAVOR_INVALID_SHAPE"},
    {-3, "CLFAVOR_INVALID_TENSOR"}, {-4, "CLFAVOR_OVERLAP"},          {-5, "CLFAVOR_MISMATCH"},
    {-6, "CLFAVOR_UNSUPPORTED"},    {-7, "CLFAVOR_OUT_OF_MEMORY"},    {-8, "CLFAVOR_DEVICE_MEMORY"},
    {-9, "CLFAVOR_WORKSPACE"},      {-10, "CLFAVOR_NO_DEVICE"},       {-11, "CLFAVOR_BUILD_FAILED"},
    {-12, "CLFAVOR_OPENCL"},        {-13, "CLFAVOR_SOURCE"},          {-14, "CLFAVOR_NOT_FINITE"},
};
#define PINNED (int)(sizeof pinned / sizeof *pinned)

START_TEST(name_and_value_are_pinned) {
    ck_assert_str_eq(clfavor_status_name((clfavor_status)pinned[_i].value), pinned[_i].name);
}
END_TEST

START_TEST(message_is_a_sentence_of_its_own) {
    const char *message = clfavor_status_message((clfavor_status)pinned[_i].value);
    ck_assert_uint_ge(strlen(message), 7);
    ck_assert_ptr_null(strchr(message, '\n'));
    for (int other = 0; other < _i; ++other)
        ck_assert_str_ne(message, clfavor_status_message((clfavor_status)pinned[other].value));
}
END_TEST

START_TEST(other_values_are_unknown) {
    static const int values[] = {1, -15, 1000, -1000};
    for (size_t i = 0; i < sizeof values / sizeof *values; ++i) {
        ck_assert_str_eq(clfavor_status_name((clfavor_status)values[i]), "CLFAVOR_UNKNOWN");
        ck_assert_str_eq(clfavor_status_message((clfavor_status)values[i]), "not a status of this library");
    }
}
END_TEST

START_TEST(version_is_that_of_the_headers) {
    int major = -1, minor = -1, patch = -1;
    char text[32];
    clfavor_version(&major, &minor, &patch);
    ck_assert_int_eq(major, CLFAVOR_VERSION_MAJOR);
    ck_assert_int_eq(minor, CLFAVOR_VERSION_MINOR);
    ck_assert_int_eq(patch, CLFAVOR_VERSION_PATCH);
    snprintf(text, sizeof text, "%d.%d.%d", major, minor, patch);
    ck_assert_str_eq(clfavor_version_string(), text);
}
END_TEST

START_TEST(version_skips_null) {
    int minor = -1;
    clfavor_version(NULL, &minor, NULL);
    ck_assert_int_eq(minor, CLFAVOR_VERSION_MINOR);
    clfavor_version(NULL, NULL, NULL);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("status");
    TCase *tcase = tcase_create("status");
    tcase_add_loop_test(tcase, name_and_value_are_pinned, 0, PINNED);
    tcase_add_loop_test(tcase, message_is_a_sentence_of_its_own, 0, PINNED);
    tcase_add_test(tcase, other_values_are_unknown);
    tcase_add_test(tcase, version_is_that_of_the_headers);
    tcase_add_test(tcase, version_skips_null);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
