/* The program's .npy files: what is read and refused, and that outputs appear whole or not at all. */
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../cli/npy.c"
#include "../cli/outfile.c"

static char folder[64];

static void setup(void) {
    snprintf(folder, sizeof folder, "/tmp/clfavor-npy-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

/* Names in the folder; all are removed when `remove_all`. */
static int entries(bool remove_all) {
    DIR *directory = opendir(folder);
    ck_assert_ptr_nonnull(directory);
    int count = 0;
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            char path[512];
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
            ++count;
            if (remove_all && unlink(path) != 0)
                ck_assert_int_eq(rmdir(path), 0);
        }
    closedir(directory);
    return count;
}

static void teardown(void) {
    entries(true);
    ck_assert_int_eq(rmdir(folder), 0);
}

static const char *in_folder(const char *name) {
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static const char *store(const void *bytes, size_t size) {
    const char *path = in_folder("a.npy");
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(bytes, 1, size, file), size);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

/* A file of this version, header text and data size (bytes 0, 1, 2, ...), in bytes; returns its size. */
static size_t compose(unsigned char *bytes, unsigned version, const char *header, size_t data) {
    size_t length = strlen(header), start = version == 1 ? 10 : 12;
    memcpy(bytes, "\x93NUMPY", 6);
    bytes[6] = (unsigned char)version;
    bytes[7] = 0;
    for (size_t i = 8; i < start; ++i)
        bytes[i] = (unsigned char)(length >> (8 * (i - 8)) & 255);
    memcpy(bytes + start, header, length);
    for (size_t i = 0; i < data; ++i)
        bytes[start + length + i] = (unsigned char)i;
    return start + length + data;
}

static bool try_header(npy_array *array, unsigned version, const char *header, size_t data, char error[NPY_ERROR]) {
    unsigned char bytes[2048];
    return npy_open(array, store(bytes, compose(bytes, version, header, data)), error);
}

static const struct {
    unsigned version;
    const char *header;
    size_t data;
    npy_dtype dtype;
    unsigned rank;
    uint64_t count;
} accepted[] = {
    {1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n", 24, NPY_F32, 2, 6},
    {2, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }      \n", 24, NPY_F32, 2, 6},
    {3, "{'shape': (7,), 'descr': '<f2', 'fortran_order': False}", 14, NPY_F16, 1, 7},
    {1, "{\"descr\":\"<f8\",\"fortran_order\":False,\"shape\":(1,1,2,)}\n", 16, NPY_F64, 3, 2},
    {1, "{'descr': '<f8', 'fortran_order': False, 'shape': ()}\n", 8, NPY_F64, 0, 1},
    {1, "{'descr': '<f2', 'fortran_order': False, 'shape': (1, 1, 1, 1, 1, 1, 1, 3)}\n", 6, NPY_F16, 8, 3},
};

START_TEST(accepts) {
    npy_array array;
    char error[NPY_ERROR] = "";
    ck_assert_msg(try_header(&array, accepted[_i].version, accepted[_i].header, accepted[_i].data, error), "%s", error);
    ck_assert_int_eq(array.dtype, accepted[_i].dtype);
    ck_assert_uint_eq(array.rank, accepted[_i].rank);
    ck_assert_uint_eq(array.count, accepted[_i].count);
    for (size_t i = 0; i < accepted[_i].data; ++i)
        ck_assert_uint_eq((unsigned char)array.data[i], i);
    npy_close(&array);
}
END_TEST

#define SHAPED(shape) "{'descr': '<f4', 'fortran_order': False, 'shape': " shape "}"
#define TYPED(descr)  "{'descr': " descr ", 'fortran_order': False, 'shape': (2,)}"

static const struct {
    const char *header;
    size_t data;
    const char *message; /* a part of it */
} refused[] = {
    {"{'descr': '<f4', 'fortran_order': True, 'shape': (2,)}", 8, "Fortran order"},
    {TYPED("'>f4'"), 8, "big-endian"},
    {TYPED("'|O'"), 8, "Python objects"},
    {TYPED("'<i4'"), 8, "dtype '<i4'"},
    {TYPED("'<c8'"), 16, "dtype '<c8'"},
    {TYPED("'|f4'"), 8, "dtype '|f4'"},
    {TYPED("''"), 8, "dtype ''"},
    {TYPED("[('a', '<f4')]"), 8, "structured dtype"},
    {TYPED("'<f4"), 8, "broken header"},
    {TYPED("'<f4444444444444444444'"), 8, "broken header"},
    {SHAPED("(0,)"), 0, "axis of length 0"},
    {SHAPED("(3, 0, 2)"), 0, "axis of length 0"},
    {SHAPED("(2)"), 8, "broken shape"},
    {SHAPED("(-2,)"), 8, "broken shape"},
    {SHAPED("(2.0,)"), 8, "broken shape"},
    {SHAPED("(2 3)"), 24, "broken shape"},
    {SHAPED("(,)"), 4, "broken shape"},
    {SHAPED("(2,,3)"), 24, "broken shape"},
    {SHAPED("(18446744073709551616,)"), 8, "broken shape"},
    {SHAPED("(1, 1, 1, 1, 1, 1, 1, 1, 1)"), 4, "at most 8 axes"},
    {SHAPED("(4294967296, 4294967296, 4)"), 8, "impossible shape"},
    {SHAPED("(9223372036854775807,)"), 8, "impossible shape"},
    {SHAPED("(3,)"), 8, "cut off"},
    {SHAPED("(3,)"), 0, "takes 12 bytes, it has 0"},
    {SHAPED("(2,)"), 9, "1 bytes after the data"},
    {SHAPED("(2,)") "x", 8, "broken header"},
    {"{'descr': '<f4', 'fortran_order': False}", 8, "broken header"},
    {"{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}", 8, "broken header"},
    {"{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", 8, "broken header"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'more': 1}", 8, "broken header"},
    {"{'descr': '<f4' 'fortran_order': False, 'shape': (2,)}", 8, "broken header"},
    {"{'descr': '<f4', 'fortran_order': False, 'shape': (2,)", 8, "broken header"},
    {"", 8, "broken header"},
    {"[]", 8, "broken header"},
};

START_TEST(refuses) {
    npy_array array;
    char error[NPY_ERROR] = "";
    ck_assert_msg(!try_header(&array, 1, refused[_i].header, refused[_i].data, error), "%s", refused[_i].header);
    ck_assert_msg(strstr(error, refused[_i].message) != NULL, "%s -> %s", refused[_i].header, error);
    ck_assert_ptr_null(array.map);
}
END_TEST

START_TEST(refuses_every_cut) {
    static const char header[] = "{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), }\n";
    for (unsigned version = 1; version <= 3; ++version) {
        unsigned char bytes[256];
        size_t size = compose(bytes, version, header, 60), head = size - 60;
        npy_array array;
        char error[NPY_ERROR];
        ck_assert(npy_open(&array, store(bytes, size), error));
        npy_close(&array);
        for (size_t cut = 0; cut < size; ++cut) {
            ck_assert(!npy_open(&array, store(bytes, cut), error));
            ck_assert_ptr_nonnull(strstr(error, cut == 0     ? "is empty"
                                                : cut < head ? "in its header"
                                                             : "is cut off: its"));
        }
    }
}
END_TEST

START_TEST(refuses_what_is_no_npy) {
    npy_array array;
    char error[NPY_ERROR];
    unsigned char bytes[256];
    size_t size = compose(bytes, 1, SHAPED("(2,)"), 8);
    for (size_t i = 0; i < 6; ++i) {
        bytes[i] ^= 1;
        ck_assert(!npy_open(&array, store(bytes, size), error));
        ck_assert_ptr_nonnull(strstr(error, "is no .npy file"));
        bytes[i] ^= 1;
    }
    bytes[6] = 4;
    ck_assert(!npy_open(&array, store(bytes, size), error));
    ck_assert_ptr_nonnull(strstr(error, "version 4.0"));
    bytes[6] = 1;
    bytes[7] = 1;
    ck_assert(!npy_open(&array, store(bytes, size), error));
    ck_assert_ptr_nonnull(strstr(error, "version 1.1"));
    ck_assert(!npy_open(&array, in_folder("missing.npy"), error));
    ck_assert_ptr_nonnull(strstr(error, "cannot be opened"));
    ck_assert(!npy_open(&array, folder, error));
    ck_assert_ptr_nonnull(strstr(error, "not a regular file"));
}
END_TEST

/* What IEEE 754 says a half is, in double. */
static double half_value(unsigned half) {
    double sign = half & 0x8000u ? -1.0 : 1.0;
    int exponent = (int)(half >> 10 & 31u), mantissa = (int)(half & 1023u);
    if (exponent == 31)
        return mantissa ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24));
}

START_TEST(every_half_is_exact) {
    static uint16_t halves[65536];
    static float singles[65536];
    for (unsigned i = 0; i < 65536; ++i)
        halves[i] = (uint16_t)i;
    npy_array array = {.dtype = NPY_F16, .count = 65536, .data = (const char *)halves};
    npy_read_f32(&array, 0, 65536, singles);
    for (unsigned i = 0; i < 65536; ++i) {
        double want = half_value(i), wide;
        npy_read_f64(&array, i, 1, &wide);
        if (isnan(want)) {
            ck_assert(isnan(singles[i]) && isnan(wide));
            continue;
        }
        ck_assert(((double)singles[i] < want || (double)singles[i] > want) == 0);
        ck_assert((signbit(singles[i]) != 0) == (signbit(want) != 0));
        ck_assert((wide < want || wide > want) == 0);
    }
}
END_TEST

START_TEST(doubles_round_to_nearest) {
    /* halfway to the even one, just above halfway, overflow, below half the least subnormal, a NaN */
    const double values[] = {1 + 0x1p-24, 1 + 0x1p-24 + 0x1p-50, 1e300, 0x1p-151, NAN};
    float out[5];
    npy_array array = {.dtype = NPY_F64, .count = 5, .data = (const char *)values};
    npy_read_f32(&array, 0, 5, out);
    const float want[] = {1.0f, 1 + 0x1p-23f, INFINITY, 0.0f};
    ck_assert_int_eq(memcmp(out, want, sizeof want), 0);
    ck_assert(isnan(out[4]));
    double wide[2];
    npy_read_f64(&array, 1, 2, wide);
    ck_assert_int_eq(memcmp(wide, values + 1, sizeof wide), 0);
}
END_TEST

START_TEST(writes_what_it_reads) {
    const double values[6] = {0.1, -0.0, 1e-320, INFINITY, 3, 4};
    const uint64_t shapes[4][3] = {{6}, {2, 3}, {1, 6, 1}, {3, 1, 2}};
    const unsigned ranks[4] = {1, 2, 3, 3};
    for (int i = 0; i < 4; ++i) {
        outfile file;
        npy_array array;
        char error[NPY_ERROR] = "";
        const char *path = in_folder("b.npy");
        ck_assert_msg(npy_create(&file, path, NPY_F64, ranks[i], shapes[i], error), "%s", error);
        ck_assert(outfile_write(&file, values, sizeof values, error));
        ck_assert(outfile_commit(&file, error));
        ck_assert_msg(npy_open(&array, path, error), "%s", error);
        ck_assert_uint_eq(array.rank, ranks[i]);
        ck_assert_int_eq(memcmp(array.shape, shapes[i], ranks[i] * sizeof(uint64_t)), 0);
        ck_assert_int_eq(memcmp(array.data, values, sizeof values), 0);
        ck_assert_uint_eq((size_t)(array.data - (const char *)array.map) % 64, 0);
        npy_close(&array);
    }
    ck_assert_int_eq(entries(false), 1);
}
END_TEST

START_TEST(outputs_are_whole_or_absent) {
    const uint64_t shape[] = {2};
    const float values[] = {1, 2};
    outfile file, other;
    npy_array array;
    char error[NPY_ERROR];
    char path[128];
    snprintf(path, sizeof path, "%s", in_folder("c.npy"));
    ck_assert(npy_create(&file, path, NPY_F32, 1, shape, error));
    ck_assert(outfile_write(&file, values, sizeof values, error));
    ck_assert(access(path, F_OK) != 0); /* nothing under the final name before the commit */
    outfile_discard(&file);
    ck_assert_int_eq(entries(false), 0);
    outfile_discard(&file); /* a closed one: nothing happens */

    /* a former file stays until the commit, and is what stays when the new one is given up */
    ck_assert(npy_create(&file, path, NPY_F32, 1, shape, error) && npy_create(&other, path, NPY_F32, 1, shape, error));
    ck_assert(outfile_write(&file, values, sizeof values, error) && outfile_commit(&file, error));
    outfile_discard(&other);
    ck_assert(npy_open(&array, path, error));
    ck_assert_int_eq(memcmp(array.data, values, sizeof values), 0);
    npy_close(&array);
    ck_assert_int_eq(entries(false), 1);

    /* the name becomes a folder meanwhile: the rename fails and nothing stays */
    ck_assert_int_eq(unlink(path), 0);
    ck_assert(npy_create(&file, path, NPY_F32, 1, shape, error));
    ck_assert_int_eq(mkdir(path, 0700), 0);
    ck_assert(!outfile_commit(&file, error));
    ck_assert_ptr_nonnull(strstr(error, "cannot write"));
    ck_assert_int_eq(entries(false), 1);
}
END_TEST

START_TEST(outputs_that_cannot_be) {
    outfile file;
    char error[NPY_ERROR];
    ck_assert(!outfile_open(&file, folder, error));
    ck_assert(!outfile_open(&file, "", error));
    ck_assert(!outfile_open(&file, in_folder("none/a.npy"), error));
    ck_assert(!outfile_open(&file, in_folder("new/"), error));
    ck_assert_int_eq(entries(false), 0);
    if (access("/dev/full", W_OK) == 0) { /* written in place, and never renamed over or removed */
        ck_assert(outfile_open(&file, "/dev/full", error));
        ck_assert(!outfile_write(&file, "x", 1, error));
        outfile_discard(&file);
        ck_assert_int_eq(access("/dev/full", W_OK), 0);
    }
}
END_TEST

START_TEST(links_are_followed) {
    char target[128], link[128], error[NPY_ERROR];
    snprintf(target, sizeof target, "%s", in_folder("target.npy"));
    snprintf(link, sizeof link, "%s", in_folder("link.npy"));
    outfile file;
    ck_assert(outfile_open(&file, target, error) && outfile_commit(&file, error));
    ck_assert_int_eq(symlink("target.npy", link), 0);
    ck_assert(outfile_same(target, link));
    ck_assert(outfile_open(&file, link, error) && outfile_write(&file, "abc", 3, error) &&
              outfile_commit(&file, error));
    struct stat status;
    ck_assert_int_eq(lstat(link, &status), 0);
    ck_assert(S_ISLNK(status.st_mode));
    ck_assert_int_eq(stat(target, &status), 0);
    ck_assert_int_eq((int)status.st_size, 3);
}
END_TEST

START_TEST(same_file_is_recognised) {
    char a[128], roundabout[160];
    snprintf(a, sizeof a, "%s", in_folder("new.npy"));
    snprintf(roundabout, sizeof roundabout, "%s/./new.npy", folder);
    ck_assert(outfile_same(a, roundabout)); /* neither exists */
    ck_assert(!outfile_same(a, in_folder("other.npy")));
    outfile file;
    char error[NPY_ERROR];
    ck_assert(outfile_open(&file, a, error) && outfile_commit(&file, error));
    ck_assert(outfile_same(a, roundabout));
    ck_assert_int_eq(link(a, in_folder("other.npy")), 0);
    ck_assert(outfile_same(a, in_folder("other.npy")));
    ck_assert(!outfile_same("/dev/null", "/dev/null")); /* two outputs may be thrown away */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("npy");
    TCase *tcase = tcase_create("npy");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, accepts, 0, (int)(sizeof accepted / sizeof *accepted));
    tcase_add_loop_test(tcase, refuses, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_test(tcase, refuses_every_cut);
    tcase_add_test(tcase, refuses_what_is_no_npy);
    tcase_add_test(tcase, every_half_is_exact);
    tcase_add_test(tcase, doubles_round_to_nearest);
    tcase_add_test(tcase, writes_what_it_reads);
    tcase_add_test(tcase, outputs_are_whole_or_absent);
    tcase_add_test(tcase, outputs_that_cannot_be);
    tcase_add_test(tcase, links_are_followed);
    tcase_add_test(tcase, same_file_is_recognised);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
