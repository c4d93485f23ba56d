/* Files of records survive whatever a killed process, a full disk or a hand leaves in them: every whole record is read,
 * nothing else, and what is no such file is left alone. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "records.h"

#define FINGERPRINT 0x0123456789abcdefu
#define SEED        77u
#define HEADER      32 /* bytes; a record has 32 and its doubles */

/* Bits that must come back as they are. A double that looks like a header is no header. */
static const struct {
    uint64_t key;
    uint32_t block, count;
    double values[5];
} written[] = {{11, 0, 3, {1.5, -0.0, 5e-324}},
               {~0ull, 4294967295u, 0, {0}},
               {12, 7, 5, {INFINITY, -INFINITY, NAN, 1e308, 0.1}},
               {11, 1, 1, {2.754846225688444e-71 /* 'CVH1' at its end */}}};
#define RECORDS (int)(sizeof written / sizeof *written)

static char folder[64], error[512];
static bool mismatch;

static void setup(void) {
    snprintf(folder, sizeof folder, "/tmp/clfavor-records-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    mismatch = false;
    error[0] = 0;
}

static void teardown(void) {
    DIR *directory = opendir(folder);
    ck_assert_ptr_nonnull(directory);
    for (struct dirent *entry = readdir(directory); entry; entry = readdir(directory)) {
        char path[512];
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] != '.')
            ck_assert_int_eq(unlink(path), 0);
    }
    closedir(directory);
    ck_assert_int_eq(rmdir(folder), 0);
}

static const char *in_folder(const char *name) {
    static char paths[4][128];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

typedef struct bytes {
    unsigned char data[4096];
    size_t size;
} bytes;

static const char *store(const char *name, const bytes *b) {
    const char *path = in_folder(name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(b->data, 1, b->size, file), b->size);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static bytes load(const char *path) {
    bytes b;
    FILE *file = fopen(path, "rb");
    ck_assert_ptr_nonnull(file);
    b.size = fread(b.data, 1, sizeof b.data, file);
    ck_assert_uint_lt(b.size, sizeof b.data);
    fclose(file);
    return b;
}

static void append_bytes(bytes *b, const void *data, size_t size) {
    ck_assert_uint_le(b->size + size, sizeof b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static bool holds(const char *path, const bytes *expected) {
    bytes b = load(path);
    return b.size == expected->size && memcmp(b.data, expected->data, b.size) == 0;
}

/* Which of written[] were read, in order; -1: none of them. */
typedef struct seen {
    int order[64], count;
} seen;

static void see(void *user, uint64_t key, uint32_t block, const double *values, uint32_t count) {
    seen *s = user;
    int which = -1;
    for (int i = 0; i < RECORDS; ++i)
        if (written[i].key == key && written[i].block == block && written[i].count == count &&
            memcmp(written[i].values, values, count * sizeof *values) == 0)
            which = i;
    ck_assert_int_lt(s->count, 64);
    s->order[s->count++] = which;
}

static bool open_records(verify_records *records, const char *path, seen *s) {
    *s = (seen){.count = 0};
    mismatch = false;
    return verify_records_open(records, path, FINGERPRINT, SEED, see, s, error, &mismatch);
}

static bool read_records(const char *path, seen *s) {
    *s = (seen){.count = 0};
    mismatch = false;
    return verify_records_read(path, FINGERPRINT, see, s, error, &mismatch);
}

static void append(verify_records *records, int i) {
    ck_assert(
        verify_records_append(records, written[i].key, written[i].block, written[i].values, written[i].count, error));
}

/* Records 0 .. count - 1, and then one more where it is not -1. */
static bool saw(const seen *s, int count, int more) {
    bool good = s->count == count + (more >= 0);
    for (int i = 0; good && i < s->count; ++i)
        good = s->order[i] == (i < count ? i : more);
    return good;
}

/* The file of all records. */
static bytes whole_file(void) {
    verify_records records;
    seen s;
    const char *path = in_folder("whole");
    ck_assert_msg(open_records(&records, path, &s), "%s", error);
    for (int i = 0; i < RECORDS; ++i)
        append(&records, i);
    verify_records_close(&records);
    return load(path);
}

static size_t end_of(int record) {
    size_t end = HEADER;
    for (int i = 0; i <= record; ++i)
        end += 32 + 8 * written[i].count;
    return end;
}

/* How many whole records so many bytes hold. */
static int whole_in(size_t size) {
    int count = 0;
    while (count < RECORDS && end_of(count) <= size)
        ++count;
    return count;
}

START_TEST(what_is_written_is_read) {
    verify_records records;
    seen s;
    uint64_t seed = 1;
    bytes all = whole_file();
    ck_assert_uint_eq(all.size, end_of(RECORDS - 1));
    ck_assert(read_records(in_folder("whole"), &s) && saw(&s, RECORDS, -1));
    ck_assert(open_records(&records, in_folder("whole"), &s) && saw(&s, RECORDS, -1));
    append(&records, 2);
    verify_records_close(&records);
    ck_assert(read_records(in_folder("whole"), &s) && saw(&s, RECORDS, 2));
    ck_assert(verify_records_seed(in_folder("whole"), &seed) && seed == SEED);
    ck_assert(!verify_records_seed(in_folder("none"), &seed));
    /* No file, nothing written. */
    ck_assert_int_eq(records.descriptor, -1);
    append(&records, 0);
    verify_records_close(&records);
}
END_TEST

START_TEST(cut_anywhere) {
    bytes all = whole_file();
    for (size_t size = 0; size <= all.size; ++size) {
        bytes part = all;
        part.size = size;
        const char *path = store("cut", &part);
        int count = whole_in(size);
        verify_records records;
        uint64_t seed = 0;
        seen s;
        ck_assert(verify_records_seed(path, &seed) == (size >= HEADER));
        ck_assert_msg(read_records(path, &s) && saw(&s, count, -1), "read at %zu: %s", size, error);
        ck_assert(holds(path, &part)); /* reading changes nothing */
        ck_assert_msg(open_records(&records, path, &s) && saw(&s, count, -1), "open at %zu: %s", size, error);
        part.size = count ? end_of(count - 1) : HEADER; /* a header again where it was cut */
        part = all.size < part.size ? all : part;
        ck_assert_msg(holds(path, &part), "a torn tail is left at %zu", size);
        append(&records, 2);
        verify_records_close(&records);
        ck_assert_msg(read_records(path, &s) && saw(&s, count, 2), "after %zu", size);
    }
}
END_TEST

/* One bit: the header's are seen at once, a record's cost that record alone. */
START_TEST(any_bit_flipped) {
    bytes all = whole_file();
    for (size_t bit = 0; bit < 8 * all.size; ++bit) {
        bytes spoilt = all;
        spoilt.data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        const char *path = store("flipped", &spoilt);
        verify_records records;
        seen s;
        if (bit / 8 < HEADER) {
            ck_assert_msg(!open_records(&records, path, &s) && mismatch && s.count == 0, "bit %zu", bit);
            ck_assert(holds(path, &spoilt));
            continue;
        }
        int lost = whole_in(bit / 8);
        ck_assert_msg(open_records(&records, path, &s), "bit %zu: %s", bit, error);
        ck_assert_int_eq(s.count, RECORDS - 1);
        for (int i = 0; i < s.count; ++i)
            ck_assert_msg(s.order[i] == (i < lost ? i : i + 1), "bit %zu: record %d", bit, i);
        append(&records, lost);
        verify_records_close(&records);
        ck_assert(read_records(path, &s) && s.count == RECORDS && s.order[RECORDS - 1] == lost);
    }
}
END_TEST

/* cat of two shards, the first of which was killed while it wrote. */
START_TEST(joined_files) {
    bytes all = whole_file();
    for (size_t size = HEADER; size <= all.size; ++size) {
        bytes joined = all;
        joined.size = size;
        append_bytes(&joined, all.data, all.size);
        const char *path = store("joined", &joined);
        seen s;
        int count = whole_in(size);
        ck_assert_msg(read_records(path, &s), "%zu: %s", size, error);
        ck_assert_int_eq(s.count, count + RECORDS);
        for (int i = 0; i < s.count; ++i)
            ck_assert_int_eq(s.order[i], i < count ? i : i - count);
    }
}
END_TEST

/* Bytes that begin like records, with counts of all kinds, between those that are. */
START_TEST(rubbish_between_records) {
    static const unsigned char rubbish[] = "CVR1CVR1CVR1\0\0\0\0CVR1\1\0\0\0\377\377\377\377CVH1CVR1CCVVRR11";
    bytes all = whole_file(), mixed = {.size = 0};
    append_bytes(&mixed, all.data, HEADER);
    for (int i = 0; i < RECORDS; ++i) {
        append_bytes(&mixed, rubbish, sizeof rubbish);
        append_bytes(&mixed, all.data + (i ? end_of(i - 1) : HEADER), 32 + 8 * written[i].count);
    }
    seen s;
    ck_assert(read_records(store("mixed", &mixed), &s) && saw(&s, RECORDS, -1));
}
END_TEST

START_TEST(another_run) {
    verify_records records;
    seen s = {.count = 0};
    bytes all = whole_file(), joined = all;
    const char *path = in_folder("whole");
    ck_assert(!verify_records_open(&records, path, FINGERPRINT + 1, SEED, see, &s, error, &mismatch));
    ck_assert(mismatch && s.count == 0 && holds(path, &all) && strstr(error, path) && strstr(error, "another run"));
    mismatch = false;
    ck_assert(!verify_records_read(path, FINGERPRINT + 1, see, &s, error, &mismatch));
    ck_assert(mismatch && s.count == 0);
    /* Another run's file joined behind one of ours. */
    const char *other = in_folder("other");
    ck_assert(verify_records_open(&records, other, FINGERPRINT + 1, SEED, see, &s, error, &mismatch));
    verify_records_close(&records);
    bytes second = load(other);
    append_bytes(&joined, second.data, second.size);
    ck_assert(!read_records(store("joined", &joined), &s) && mismatch);
}
END_TEST

START_TEST(no_records) {
    static const char *const texts[] = {"{\"not\": \"records\", \"but\": \"a report of some other program\"}\n", "x",
                                        "CVH2", "CVR1 without a header, and long enough to have had one\n",
                                        "CVH1, but what follows is not the rest of a header\n"};
    bytes text = {.size = 0};
    append_bytes(&text, texts[_i], strlen(texts[_i]));
    const char *path = store("text", &text);
    verify_records records;
    uint64_t seed;
    seen s;
    ck_assert(!open_records(&records, path, &s) && mismatch && s.count == 0);
    ck_assert(strstr(error, path) && strstr(error, "no records"));
    ck_assert(!read_records(path, &s) && mismatch);
    ck_assert(!verify_records_seed(path, &seed));
    ck_assert(holds(path, &text));
}
END_TEST

START_TEST(one_writer) {
    verify_records first, second;
    seen s;
    const char *path = in_folder("shared");
    ck_assert(open_records(&first, path, &s));
    ck_assert(!open_records(&second, path, &s));
    ck_assert(strstr(error, path) && strstr(error, "in use"));
    verify_records_close(&second); /* of what was not opened: nothing */
    append(&first, 0);
    ck_assert(read_records(path, &s) && saw(&s, 1, -1)); /* reading needs no lock */
    verify_records_close(&first);
    ck_assert(open_records(&second, path, &s) && saw(&s, 1, -1));
    verify_records_close(&second);
}
END_TEST

START_TEST(no_plain_file) {
    verify_records records;
    seen s;
    const char *path = in_folder("none/file");
    ck_assert(!open_records(&records, path, &s) && strstr(error, path) && strstr(error, strerror(ENOENT)));
    ck_assert(!read_records(path, &s) && mismatch && strstr(error, strerror(ENOENT)));
    ck_assert(!open_records(&records, folder, &s) && strstr(error, folder) && strstr(error, strerror(EISDIR)));
    ck_assert(!read_records(folder, &s) && mismatch && strstr(error, "plain file"));
    ck_assert(!open_records(&records, "/dev/null", &s) && mismatch && strstr(error, "plain file"));
    ck_assert_int_eq(records.descriptor, -1);
}
END_TEST

START_TEST(a_file_that_is_only_read) {
    bytes all = whole_file();
    all.size -= 5; /* a torn tail, which stays */
    const char *path = store("read-only", &all);
    ck_assert_int_eq(chmod(path, 0444), 0);
    struct stat before, after;
    seen s;
    ck_assert_int_eq(stat(path, &before), 0);
    ck_assert(read_records(path, &s) && saw(&s, RECORDS - 1, -1));
    ck_assert_int_eq(stat(path, &after), 0);
    ck_assert(holds(path, &all) && before.st_mtime == after.st_mtime && before.st_mode == after.st_mode);
    verify_records records;
    if (geteuid() != 0) /* root may write it */
        ck_assert(!open_records(&records, path, &s) && strstr(error, strerror(EACCES)));
}
END_TEST

/* A disk that is full in the middle of a record: reported, and what comes when there is room again is not lost. */
START_TEST(full_disk) {
    struct rlimit old, limit;
    verify_records records;
    seen s;
    const char *path = in_folder("full");
    ck_assert(open_records(&records, path, &s));
    append(&records, 0);
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    limit = old;
    limit.rlim_cur = end_of(0) + 41;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    bool good =
        verify_records_append(&records, written[2].key, written[2].block, written[2].values, written[2].count, error);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, handler);
    ck_assert(!good && strstr(error, path) && strstr(error, strerror(EFBIG)));
    ck_assert_uint_eq(load(path).size, end_of(0) + 41);
    append(&records, 1);
    verify_records_close(&records);
    ck_assert(read_records(path, &s) && saw(&s, 2, -1));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("verify_records");
    TCase *tcase = tcase_create("verify_records");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, what_is_written_is_read);
    tcase_add_test(tcase, cut_anywhere);
    tcase_add_test(tcase, any_bit_flipped);
    tcase_add_test(tcase, joined_files);
    tcase_add_test(tcase, rubbish_between_records);
    tcase_add_test(tcase, another_run);
    tcase_add_loop_test(tcase, no_records, 0, 5);
    tcase_add_test(tcase, one_writer);
    tcase_add_test(tcase, no_plain_file);
    tcase_add_test(tcase, a_file_that_is_only_read);
    tcase_add_test(tcase, full_disk);
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
