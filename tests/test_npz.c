/* The program's .npz archives: round trips, NumPy's own bytes, what is refused, and damage anywhere. */
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../cli/npy.c"
#include "../cli/outfile.c"
#include "../cli/npz.c"
#include "npz_numpy.h"

static char path[64];

static void setup(void) {
    snprintf(path, sizeof path, "/tmp/clfavor-npz-XXXXXX");
    int descriptor = mkstemp(path);
    ck_assert_int_ge(descriptor, 0);
    close(descriptor);
}

static void teardown(void) {
    ck_assert_int_eq(unlink(path), 0);
}

static void store(const void *bytes, size_t size) {
    int descriptor = open(path, O_WRONLY | O_CREAT, 0600); /* not O_TRUNC, which may wait for the disk */
    EXPECT(descriptor >= 0);
    EXPECT(write(descriptor, bytes, size) == (ssize_t)size);
    EXPECT(ftruncate(descriptor, (off_t)size) == 0);
    EXPECT(close(descriptor) == 0);
}

/* The file's bytes; the caller frees them. */
static unsigned char *fetch(size_t *size) {
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    unsigned char *bytes = test_alloc(1 << 21, 1);
    *size = fread(bytes, 1, 1 << 21, file);
    ck_assert_int_eq(fclose(file), 0);
    return bytes;
}

static bool write_all(const npz_array *arrays, size_t count, char error[NPY_ERROR]) {
    outfile file;
    ck_assert_msg(outfile_open(&file, path, error), "%s", error);
    if (npz_write(&file, arrays, count, error))
        return outfile_commit(&file, error);
    outfile_discard(&file);
    return false;
}

static void expect_refusal(const char *message) {
    npz in;
    char error[NPY_ERROR] = "";
    ck_assert_msg(!npz_read(&in, path, error), "%s", message);
    ck_assert_msg(strstr(error, message) && !strchr(error, '\n'), "'%s' -> '%s'", message, error);
    ck_assert_ptr_null(in.arrays);
    ck_assert_uint_eq(in.count, 0);
}

/* An archive of one entry with these bytes. */
static void store_entry(const char *name, const void *bytes, size_t size, int method) {
    zip_t *archive = zip_open(path, ZIP_CREATE | ZIP_TRUNCATE, NULL);
    ck_assert_ptr_nonnull(archive);
    zip_int64_t index = zip_file_add(archive, name, zip_source_buffer(archive, bytes, size, 0), 0);
    ck_assert_int_eq(index, 0);
    ck_assert_int_eq(zip_set_file_compression(archive, 0, method, 0), 0);
    ck_assert_int_eq(zip_close(archive), 0);
}

/* A .npy entry "a" with this dictionary and `data` bytes of 0xff. */
static void store_npy(const char *dictionary, size_t data) {
    unsigned char bytes[512] = "\x93NUMPY\x01";
    size_t length = strlen(dictionary);
    bytes[8] = (unsigned char)length;
    memcpy(bytes + 10, dictionary, length);
    memset(bytes + 10 + length, 255, data);
    store_entry("a.npy", bytes, 10 + length + data, ZIP_CM_DEFLATE);
}

/* Sets `width` bytes of every local and central header of the archive, little-endian. */
static void patch(unsigned char *bytes, size_t size, size_t local, size_t central, unsigned width, uint64_t value) {
    for (size_t i = 0; i + 4 <= size; ++i) {
        size_t at = memcmp(bytes + i, "PK\3\4", 4) == 0 ? local : memcmp(bytes + i, "PK\1\2", 4) == 0 ? central : 0;
        for (unsigned b = 0; at && b < width; ++b)
            bytes[i + at + b] = (unsigned char)(value >> (8 * b) & 255);
    }
}

#define METHOD          8, 10, 2
#define COMPRESSED_SIZE 18, 20, 4
#define SIZE            22, 24, 4

static const double reals[6] = {0.1, -0.0, 1e-320, INFINITY, 3, 4};
static const uint64_t wholes[2] = {UINT64_MAX, 5};
static const double pi = 3.14159;
static const npz_array samples[] = {
    {"w", NPZ_F64, 2, {2, 3}, reals},
    {"state/n", NPZ_U64, 1, {2}, wholes},
    {"pi", NPZ_F64, 0, {0}, &pi},
    {"\xcf\x80", NPZ_U64, 0, {0}, wholes},
    {"deep", NPZ_F64, 8, {1, 1, 3, 1, 1, 1, 2, 1}, reals},
};
#define SAMPLES (sizeof samples / sizeof *samples)

START_TEST(round_trip) {
    npz in;
    char error[NPY_ERROR] = "";
    ck_assert_msg(write_all(samples, SAMPLES, error), "%s", error);
    ck_assert_msg(npz_read(&in, path, error), "%s", error);
    ck_assert_uint_eq(in.count, SAMPLES);
    for (size_t i = 0; i < SAMPLES; ++i) {
        const npz_array *array = npz_find(&in, samples[i].name);
        ck_assert_ptr_eq(array, &in.arrays[i]);
        ck_assert_int_eq(array->type, samples[i].type);
        ck_assert_uint_eq(array->rank, samples[i].rank);
        ck_assert_int_eq(memcmp(array->shape, samples[i].shape, array->rank * sizeof(uint64_t)), 0);
        ck_assert_int_eq(memcmp(array->data, samples[i].data, (size_t)element_count(array) * 8), 0);
    }
    ck_assert_ptr_null(npz_find(&in, "none"));
    ck_assert_ptr_null(npz_find(&in, "w.npy"));
    ck_assert(npz_checksum(in.arrays, in.count) == npz_checksum(samples, SAMPLES));
    npz_free(&in);
    ck_assert_ptr_null(npz_find(&in, "w"));
    npz_free(&in); /* nothing happens */
}
END_TEST

START_TEST(same_arrays_same_bytes) {
    static const char *const zones[] = {"UTC0", "EST5EDT", "NZST-12NZDT"};
    unsigned char *bytes[3];
    size_t sizes[3];
    char error[NPY_ERROR];
    const char *zone = getenv("TZ");
    char *before = zone ? strdup(zone) : NULL;
    for (int i = 0; i < 3; ++i) {
        ck_assert_int_eq(setenv("TZ", zones[i], 1), 0);
        ck_assert(write_all(samples, SAMPLES, error));
        bytes[i] = fetch(&sizes[i]);
        ck_assert_uint_eq(sizes[i], sizes[0]);
        ck_assert_int_eq(memcmp(bytes[i], bytes[0], sizes[0]), 0);
    }
    ck_assert_int_eq(before ? setenv("TZ", before, 1) : unsetenv("TZ"), 0);
    free(before);
    for (int i = 0; i < 3; ++i)
        free(bytes[i]);
}
END_TEST

START_TEST(reads_numpy_stored) {
    const double want[] = {1.5, -2.0, INFINITY, 1e-320};
    npz in;
    char error[NPY_ERROR] = "";
    store(numpy_stored, sizeof numpy_stored);
    ck_assert_msg(npz_read(&in, path, error), "%s", error);
    ck_assert_uint_eq(in.count, 2);
    const npz_array *w = npz_find(&in, "w"), *n = npz_find(&in, "n");
    ck_assert(w && w->type == NPZ_F64 && w->rank == 2 && w->shape[0] == 2 && w->shape[1] == 2);
    ck_assert_int_eq(memcmp(w->data, want, sizeof want), 0);
    ck_assert(n && n->type == NPZ_U64 && n->rank == 0 && *(const uint64_t *)n->data == 7);
    npz_free(&in);
}
END_TEST

START_TEST(reads_numpy_deflated) {
    const double want[] = {0.5, -1.25};
    npz in;
    char error[NPY_ERROR] = "";
    store(numpy_deflated, sizeof numpy_deflated);
    ck_assert_msg(npz_read(&in, path, error), "%s", error);
    ck_assert_uint_eq(in.count, 4);
    const npz_array *f = npz_find(&in, "f"), *i = npz_find(&in, "i"), *l = npz_find(&in, "l"), *u = npz_find(&in, "u");
    ck_assert(f && f->type == NPZ_F64 && f->rank == 1 && f->shape[0] == 2);
    ck_assert_int_eq(memcmp(f->data, want, sizeof want), 0);
    ck_assert(i && i->type == NPZ_U64 && ((const uint64_t *)i->data)[0] == 1);
    ck_assert(((const uint64_t *)i->data)[1] == INT32_MAX);
    ck_assert(l && l->type == NPZ_U64 && l->rank == 2 && *(const uint64_t *)l->data == INT64_MAX);
    ck_assert(u && u->type == NPZ_U64 && *(const uint64_t *)u->data == UINT32_MAX);
    npz_free(&in);
}
END_TEST

#define ARRAY(descr, shape) "{'descr': " descr ", 'fortran_order': False, 'shape': " shape "}"

static const struct {
    const char *dictionary;
    size_t data;
    const char *message; /* a part of it */
} refused[] = {
    {ARRAY("'<f2'", "(2,)"), 4, ":a.npy' has dtype '<f2', expected float64"},
    {ARRAY("'>f8'", "(2,)"), 16, "dtype '>f8'"},
    {ARRAY("'|b1'", "(2,)"), 2, "dtype '|b1'"},
    {ARRAY("'<\nf8'", "(2,)"), 16, "dtype '<?f8'"},
    {ARRAY("'|O'", "()"), 8, "dtype '|O'"},
    {ARRAY("[('a', '<f8')]", "(2,)"), 16, "structured dtype"},
    {ARRAY("'<i8'", "(2,)"), 16, "holds -1 as its element 0"},
    {ARRAY("'<i4'", "(2,)"), 8, "holds -1 as its element 0"},
    {ARRAY("'<f8'", "(0,)"), 0, "axis of length 0"},
    {ARRAY("'<f8'", "(3,)"), 16, "takes 24 bytes, it has 16"},
    {ARRAY("'<f8'", "(2,)"), 17, "1 bytes after the data"},
    {ARRAY("'<f8'", "(4294967296, 4294967296)"), 8, "impossible shape"},
    {ARRAY("'<f8'", "(2305843009213693952,)"), 8, "impossible shape"},
    {ARRAY("'<f8'", "(1152921504606846976,)"), 8, "takes 9223372036854775808 bytes, it has 8"},
    {"{'descr': '<f8', 'fortran_order': True, 'shape': (2, 2)}", 32, "Fortran order"},
    {"{}", 8, "broken header"},
};

START_TEST(refuses_entries) {
    store_npy(refused[_i].dictionary, refused[_i].data);
    expect_refusal(refused[_i].message);
}
END_TEST

START_TEST(refuses_archives) {
    store("", 0);
    expect_refusal("is empty");
    store("this is no archive, only text", 29);
    expect_refusal("is no whole .npz file");
    store("\x93NUMPY\1\0", 8);
    expect_refusal("is no whole .npz file");
    store("PK\5\6\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22);
    expect_refusal("holds 0 arrays");
    store_entry("a.npy", "", 0, ZIP_CM_STORE);
    expect_refusal(":a.npy' is empty");
    store_entry("a.npy", "text", 4, ZIP_CM_STORE);
    expect_refusal(":a.npy' is no .npy file");
    store_entry("a.txt", "text", 4, ZIP_CM_STORE);
    expect_refusal(":a.txt' is no array");
    store_entry(".npy", "text", 4, ZIP_CM_STORE);
    expect_refusal(":.npy' is no array");
    npz in;
    char error[NPY_ERROR];
    ck_assert(!npz_read(&in, "/nowhere/a.npz", error) && strstr(error, "cannot be opened"));
    ck_assert(!npz_read(&in, "/tmp", error) && strstr(error, "not a regular file"));
}
END_TEST

START_TEST(refuses_duplicates) {
    const npz_array twice[] = {samples[0], samples[1], samples[0]};
    const npz_array pair[] = {{"left", NPZ_F64, 0, {0}, &pi}, {"rite", NPZ_F64, 0, {0}, &pi}};
    char error[NPY_ERROR];
    ck_assert(!write_all(twice, 3, error));
    ck_assert_ptr_nonnull(strstr(error, ":w' cannot be written: File already exists"));
    ck_assert(write_all(pair, 2, error));
    size_t size;
    unsigned char *bytes = fetch(&size);
    for (size_t i = 0; i + 4 <= size; ++i)
        if (memcmp(bytes + i, "rite", 4) == 0)
            memcpy(bytes + i, "left", 4);
    store(bytes, size);
    free(bytes);
    expect_refusal(":left.npy' is there twice");
}
END_TEST

static void expect_patched(const unsigned char *from, size_t size, size_t local, size_t central, unsigned width,
                           uint64_t value, const char *message) {
    unsigned char *bytes = test_alloc(size, 1);
    memcpy(bytes, from, size);
    patch(bytes, size, local, central, width, value);
    store(bytes, size);
    free(bytes);
    expect_refusal(message);
}

START_TEST(refuses_what_sizes_cannot_be) {
    char error[NPY_ERROR];
    size_t size;
    ck_assert(write_all(samples, 1, error));
    unsigned char *bytes = fetch(&size);
    expect_patched(bytes, size, SIZE, 0xfffffffe, "more than 1073741824 bytes: it declares 4294967294");
    expect_patched(bytes, size, SIZE, 1 << 30, "declares 1073741824 bytes from 176");
    expect_patched(bytes, size, SIZE, 175, "declares 175 bytes from 176");
    expect_patched(bytes, size, COMPRESSED_SIZE, 1 << 30, "declares 176 bytes from 1073741824");
    expect_patched(bytes, size, METHOD, 12, "compressed by method 12");
    free(bytes);

    static const unsigned char zeros[1000];
    store_entry("a.npy", zeros, sizeof zeros, ZIP_CM_DEFLATE);
    bytes = fetch(&size);
    expect_patched(bytes, size, SIZE, 1 << 30, "which cannot be");
    expect_patched(bytes, size, SIZE, 999, "has more bytes than the 999");
    expect_patched(bytes, size, SIZE, 1001, "has fewer bytes than the 1001");
    free(bytes);
}
END_TEST

/* Two entries that may each be 600 MiB by their compressed size, as bombs are. */
START_TEST(refuses_too_much_together) {
    const size_t elements = 90000;
    double *zeros = test_alloc(elements, sizeof *zeros);
    const npz_array pair[] = {{"a", NPZ_F64, 1, {elements}, zeros}, {"b", NPZ_F64, 1, {elements}, zeros}};
    char error[NPY_ERROR];
    size_t size;
    ck_assert(write_all(pair, 2, error));
    free(zeros);
    unsigned char *bytes = fetch(&size);
    patch(bytes, size, METHOD, ZIP_CM_DEFLATE);
    patch(bytes, size, SIZE, 600u << 20);
    store(bytes, size);
    free(bytes);
    expect_refusal(":b.npy' brings the archive to more than 1073741824 bytes");
}
END_TEST

START_TEST(refuses_to_write) {
    static const struct {
        npz_array array;
        const char *message;
    } cases[] = {
        {{"", NPZ_F64, 0, {0}, &pi}, "a name"},
        {{"a", NPZ_F64, 9, {1}, &pi}, "at most 8 axes"},
        {{"a", NPZ_F64, 2, {1, 0}, &pi}, "axis of length 0"},
        {{"a", NPZ_F64, 2, {UINT64_MAX, 2}, &pi}, "impossible shape"},
        {{"a", NPZ_F64, 1, {UINT64_MAX / 8}, &pi}, "more than 1073741824 bytes"},
        {{"a", NPZ_F64, 1, {1 << 27}, &pi}, "more than 1073741824 bytes"}, /* with its header */
        {{"\xff\xfe", NPZ_F64, 0, {0}, &pi}, "cannot be written"},
    };
    char error[NPY_ERROR];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        const npz_array arrays[] = {samples[0], cases[i].array};
        ck_assert_msg(!write_all(arrays, 2, error), "%s", cases[i].message);
        ck_assert_msg(strstr(error, cases[i].message) && !strchr(error, '\n'), "%s", error);
    }
    ck_assert(!write_all(samples, 0, error));
    ck_assert_ptr_nonnull(strstr(error, "0 arrays"));
    if (access("/dev/full", W_OK) == 0) {
        outfile file;
        ck_assert(outfile_open(&file, "/dev/full", error));
        ck_assert(!npz_write(&file, samples, SAMPLES, error));
        ck_assert_ptr_nonnull(strstr(error, "cannot write"));
        outfile_discard(&file);
    }
}
END_TEST

static int open_descriptors(void) {
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;
    while (directory && readdir(directory))
        ++count;
    if (directory)
        closedir(directory);
    return count;
}

/* What can still be read must be what was written: data, types and shapes have a CRC, names and the number of entries
 * have none. */
static void read_damaged(const unsigned char *bytes, size_t size, const npz_array *want, size_t count,
                         bool may_be_good) {
    npz in;
    char error[NPY_ERROR] = "";
    store(bytes, size);
    if (!npz_read(&in, path, error)) {
        EXPECT(error[0] != '\0' && !strchr(error, '\n') && !in.arrays);
        return;
    }
    EXPECT(may_be_good && in.count == count);
    for (size_t i = 0; i < in.count; ++i) {
        npz_array renamed = in.arrays[i];
        renamed.name = want[i].name;
        EXPECT(npz_checksum(&renamed, 1) == npz_checksum(&want[i], 1));
    }
    npz_free(&in);
}

START_TEST(damage) {
    static const struct {
        const unsigned char *bytes;
        size_t size;
    } files[] = {{NULL, 0}, {numpy_stored, sizeof numpy_stored}, {numpy_deflated, sizeof numpy_deflated}};
    char error[NPY_ERROR];
    size_t size = files[_i].size;
    if (files[_i].bytes)
        store(files[_i].bytes, size);
    else
        ck_assert(write_all(samples, 2, error));
    unsigned char *bytes = fetch(&size);
    npz whole;
    ck_assert(npz_read(&whole, path, error));
    int before = open_descriptors();
    for (size_t cut = 0; cut < size; ++cut)
        read_damaged(bytes, cut, whole.arrays, whole.count, false);
    for (size_t bit = 0; bit < 8 * size; ++bit) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        read_damaged(bytes, size, whole.arrays, whole.count, true);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    for (size_t i = 0; i < size; ++i) {
        bytes[i] ^= 255;
        read_damaged(bytes, size, whole.arrays, whole.count, true);
        bytes[i] ^= 255;
    }
    ck_assert_int_eq(open_descriptors(), before);
    npz_free(&whole);
    free(bytes);
}
END_TEST

START_TEST(checksum_sees_every_change) {
    double other[6];
    memcpy(other, reals, sizeof other);
    other[1] = 0.0; /* equal as a number, not as bits */
    const npz_array base = {"ab", NPZ_F64, 2, {2, 3}, reals};
    const npz_array changed[] = {
        {"ac", NPZ_F64, 2, {2, 3}, reals},    {"a", NPZ_F64, 2, {2, 3}, reals},  {"ab", NPZ_U64, 2, {2, 3}, reals},
        {"ab", NPZ_F64, 2, {3, 2}, reals},    {"ab", NPZ_F64, 1, {6}, reals},    {"ab", NPZ_F64, 3, {1, 2, 3}, reals},
        {"ab", NPZ_F64, 2, {2, 3}, other},    {"ab", NPZ_F64, 2, {2, 2}, reals}, {"", NPZ_F64, 2, {2, 3}, reals},
        {"ab", NPZ_F64, 3, {2, 3, 1}, reals},
    };
    uint64_t sums[2 + sizeof changed / sizeof *changed];
    size_t count = 0;
    sums[count++] = npz_checksum(&base, 1);
    sums[count++] = npz_checksum(&base, 0);
    for (size_t i = 0; i < sizeof changed / sizeof *changed; ++i)
        sums[count++] = npz_checksum(&changed[i], 1);
    for (size_t i = 0; i < count; ++i)
        for (size_t j = 0; j < i; ++j)
            ck_assert_uint_ne(sums[i], sums[j]);
    ck_assert_uint_eq(npz_checksum(&base, 1), sums[0]);
    const npz_array there[] = {samples[0], samples[1]}, back[] = {samples[1], samples[0]};
    ck_assert_uint_ne(npz_checksum(there, 2), npz_checksum(back, 2));
    /* files keep it, so it must stay what it is */
    const npz_array fixed = {"w", NPZ_U64, 1, {2}, wholes};
    ck_assert_uint_eq(npz_checksum(&fixed, 1), UINT64_C(16844744573543925947));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("npz");
    TCase *tcase = tcase_create("npz");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, round_trip);
    tcase_add_test(tcase, same_arrays_same_bytes);
    tcase_add_test(tcase, reads_numpy_stored);
    tcase_add_test(tcase, reads_numpy_deflated);
    tcase_add_loop_test(tcase, refuses_entries, 0, (int)(sizeof refused / sizeof *refused));
    tcase_add_test(tcase, refuses_archives);
    tcase_add_test(tcase, refuses_duplicates);
    tcase_add_test(tcase, refuses_what_sizes_cannot_be);
    tcase_add_test(tcase, refuses_too_much_together);
    tcase_add_test(tcase, refuses_to_write);
    tcase_add_loop_test(tcase, damage, 0, 3);
    tcase_add_test(tcase, checksum_sees_every_change);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
