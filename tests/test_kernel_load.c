/* Kernel sources: embedded and from a folder, with includes resolved. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel_sources.h"

static char folder[64];

static void path_of(char path[128], const char *name) {
    snprintf(path, 128, "%s/%s", folder, name);
}

static const char *const names[] = {"plain.cl",   "top.cl",   "inner.clh", "cycle.cl",
                                    "missing.cl", "empty.cl", "angle.cl"};

static void write_file(const char *name, const char *text) {
    char path[128];
    path_of(path, name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text, 1, strlen(text), file), strlen(text));
    ck_assert_int_eq(fclose(file), 0);
}

static void make_folder(void) {
    strcpy(folder, "/tmp/clfavor-kernels-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void) {
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        char path[128];
        path_of(path, names[i]);
        remove(path);
    }
    ck_assert_int_eq(rmdir(folder), 0);
}

static void expect_text(const char *name, const char *expected) {
    char *text;
    size_t size;
    ck_assert_int_eq(clfavor_kernel_load(folder, name, &text, &size), CLFAVOR_SUCCESS);
    ck_assert_str_eq(text, expected);
    ck_assert_uint_eq(size, strlen(expected));
    free(text);
}

static void expect_source_error(const char *dir, const char *name) {
    char *text = folder;
    size_t size = 1;
    ck_assert_int_eq(clfavor_kernel_load(dir, name, &text, &size), CLFAVOR_SOURCE);
    ck_assert_ptr_null(text);
    ck_assert_uint_eq(size, 0);
}

START_TEST(plain_file_gets_a_line_directive) {
    write_file("plain.cl", "one\r\n\n  two;\\ [x]");
    expect_text("plain.cl", "#line 1 \"plain.cl\"\none\r\n\n  two;\\ [x]\n");
}
END_TEST

START_TEST(includes_are_inlined_each_time_and_lines_kept) {
    write_file("inner.clh", "inner\n");
    write_file("top.cl", "a\n#include \"inner.clh\"\nb\n \t# \tinclude  \"inner.clh\" // again\nc\n");
    expect_text("top.cl", "#line 1 \"top.cl\"\na\n"
                          "#line 1 \"inner.clh\"\ninner\n#line 3 \"top.cl\"\nb\n"
                          "#line 1 \"inner.clh\"\ninner\n#line 5 \"top.cl\"\nc\n");
}
END_TEST

START_TEST(what_is_no_quoted_include_stays) {
    static const char text[] =
        "#include <x.h>\n#include\n#includes\n#\ninclude \"x\"\n#include \"open\n// #include \"x\"\n";
    char expected[256];
    write_file("angle.cl", text);
    snprintf(expected, sizeof expected, "#line 1 \"angle.cl\"\n%s", text);
    expect_text("angle.cl", expected);
}
END_TEST

START_TEST(empty_file_is_no_error) {
    write_file("empty.cl", "");
    expect_text("empty.cl", "#line 1 \"empty.cl\"\n");
}
END_TEST

START_TEST(long_file_is_complete) {
    size_t count = 100000;
    char *long_text = test_alloc(count + 1, 1);
    for (size_t i = 0; i < count; ++i)
        long_text[i] = i % 61 == 60 ? '\n' : (char)('a' + i % 26);
    long_text[count - 1] = '\n';
    char *expected = test_alloc(count + 64, 1);
    snprintf(expected, count + 64, "#line 1 \"plain.cl\"\n%s", long_text);
    write_file("plain.cl", long_text);
    expect_text("plain.cl", expected);
    free(expected);
    free(long_text);
}
END_TEST

START_TEST(missing_files_and_cycles_are_refused) {
    write_file("missing.cl", "x\n#include \"nowhere.clh\"\n");
    write_file("cycle.cl", "#include \"cycle.cl\"\n");
    expect_source_error(folder, "nowhere.cl");
    expect_source_error(folder, "missing.cl");
    expect_source_error(folder, "cycle.cl");
    expect_source_error(folder, ".");
    expect_source_error("/nowhere/at/all", "plain.cl");
    expect_source_error(NULL, "nowhere.cl");
    expect_source_error(NULL, "");
}
END_TEST

static bool is_entry(const char *name) {
    size_t length = strlen(name);
    return length > 3 && strcmp(name + length - 3, ".cl") == 0;
}

START_TEST(embedded_names_are_unique_and_entries_exist) {
    size_t entries = 0;
    for (size_t i = 0; i < clfavor_kernel_source_count; ++i) {
        ck_assert_ptr_null(strchr(clfavor_kernel_sources[i].name, '/'));
        entries += is_entry(clfavor_kernel_sources[i].name);
        for (size_t other = 0; other < i; ++other)
            ck_assert_str_ne(clfavor_kernel_sources[i].name, clfavor_kernel_sources[other].name);
    }
    ck_assert_uint_gt(entries, 0);
}
END_TEST

/* CLFAVOR_SOURCE is the source tree; what is embedded must be what lies there, and must resolve in full. */
START_TEST(embedded_text_is_that_of_the_folder) {
    const char *source = getenv("CLFAVOR_SOURCE");
    ck_assert_ptr_nonnull(source);
    char *dir = test_alloc(strlen(source) + 16, 1);
    strcat(strcpy(dir, source), "/kernels");
    for (size_t i = 0; i < clfavor_kernel_source_count; ++i) {
        const char *name = clfavor_kernel_sources[i].name;
        char *embedded, *read;
        size_t embedded_size, read_size;
        ck_assert_msg(!clfavor_kernel_load(NULL, name, &embedded, &embedded_size), "%s", name);
        ck_assert_int_eq(clfavor_kernel_load(dir, name, &read, &read_size), CLFAVOR_SUCCESS);
        ck_assert_uint_eq(embedded_size, read_size);
        ck_assert_mem_eq(embedded, read, read_size + 1);
        free(embedded);
        free(read);
    }
    free(dir);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kernel_load");
    TCase *tcase = tcase_create("folder");
    tcase_add_checked_fixture(tcase, make_folder, remove_folder);
    tcase_add_test(tcase, plain_file_gets_a_line_directive);
    tcase_add_test(tcase, includes_are_inlined_each_time_and_lines_kept);
    tcase_add_test(tcase, what_is_no_quoted_include_stays);
    tcase_add_test(tcase, empty_file_is_no_error);
    tcase_add_test(tcase, long_file_is_complete);
    tcase_add_test(tcase, missing_files_and_cycles_are_refused);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("embedded");
    tcase_add_test(tcase, embedded_names_are_unique_and_entries_exist);
    tcase_add_test(tcase, embedded_text_is_that_of_the_folder);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
