/* The peers of the benchmark: those that there are give what a double computation of the same formula gives, and a
 * Python process that fails in any way costs its peers and a note, never more.
 *
 * Tolerance, as in test_clblast.c: an exponent is off by at most eps (sqrt(d) + 4) S with S = sum |w_l x_l| + |x|^2,
 * sums of n and m positive terms add eps sqrt(n) and eps sqrt(m), exp, log and divisions 16 eps; so a term is within
 *     t = eps (16 + sqrt(n) + sqrt(m) + (sqrt(d) + 4) (S_q + S_k)),
 * and, V being positive, every element of O within 2 t of itself. Exact attention: sum |q_l k_l| / sqrt(d) <= S_q +
 * S_k, so that the same t holds. */
#define _GNU_SOURCE /* mkdtemp, setenv */
#include "support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <peers.h>

static test_device device;
static char folder[256]; /* for TMPDIR: must be empty after every close */
static char python[512]; /* the interpreter that the caller chose; empty: none */
static char notes[8192];
static size_t note_count;

static void take_note(void *user, const char *line) {
    ck_assert_ptr_eq(user, &notes);
    ck_assert_ptr_null(strchr(line, '\n'));
    size_t used = strlen(notes);
    snprintf(notes + used, sizeof notes - used, "%s\n", line);
    ++note_count;
}

static void setup(void) {
    test_open(&device);
    snprintf(python, sizeof python, "%s", getenv("CLFAVOR_BENCH_PYTHON") ? getenv("CLFAVOR_BENCH_PYTHON") : "");
    strcpy(folder, "/tmp/clfavor-test-peers-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("TMPDIR", folder, 1);
}
static void teardown(void) {
    ck_assert_int_eq(rmdir(folder), 0);
    test_close(&device);
}

static void expect_empty_folder(void) {
    DIR *open = opendir(folder);
    ck_assert_ptr_nonnull(open);
    for (struct dirent *entry; (entry = readdir(open));)
        ck_assert_msg(entry->d_name[0] == '.', "%s was left behind", entry->d_name);
    closedir(open);
}

static double seconds_now(void) {
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* --------------------------------------------------------------------------------------------------------- problems */

typedef struct problem {
    bench_inputs inputs;
    float *q, *k, *v;
    double *w;
} problem;

static problem make_problem(uint64_t heads, uint64_t n, uint32_t dim, uint32_t features, bool causal) {
    size_t count = (size_t)(heads * n * dim), values = (size_t)features * dim;
    problem p = {.q = test_normals(1, count, 1), .k = test_normals(2, count, 1), .v = test_normals(3, count, 1)};
    for (size_t i = 0; i < count; ++i)
        p.v[i] = fabsf(p.v[i]);
    p.w = test_alloc(values, sizeof *p.w);
    for (size_t i = 0; i < values; ++i)
        p.w[i] = test_normal(4, i);
    p.inputs = (bench_inputs){.heads = heads,
                              .n = n,
                              .dim = dim,
                              .features = features,
                              .causal = causal,
                              .q = p.q,
                              .k = p.k,
                              .v = p.v,
                              .w = p.w};
    return p;
}

static void free_problem(problem *p) {
    free(p->q);
    free(p->k);
    free(p->v);
    free(p->w);
}

static bench_peer **open_peers(const problem *p, unsigned threads, size_t *count) {
    notes[0] = '\0';
    note_count = 0;
    return bench_peers_open(&p->inputs, threads, device.context, device.device, take_note, &notes, count);
}

/* log phi(x)_r, without 1/sqrt(m). */
static double exponent(const bench_inputs *in, const float *x, size_t r) {
    double sum = 0, root = sqrt(sqrt(in->dim));
    for (size_t l = 0; l < in->dim; ++l) {
        double scaled = (double)x[l] / root;
        sum += in->w[r * in->dim + l] * scaled - scaled * scaled / 2;
    }
    return sum;
}

static double kernel(const bench_inputs *in, bench_computes computes, const float *q, const float *k) {
    double sum = 0;
    if (computes == BENCH_EXACT) {
        for (size_t l = 0; l < in->dim; ++l)
            sum += (double)q[l] * (double)k[l];
        return exp(sum / sqrt(in->dim));
    }
    for (size_t r = 0; r < in->features; ++r)
        sum += exp(exponent(in, q, r) + exponent(in, k, r));
    return sum;
}

static double *expected_output(const bench_inputs *in, bench_computes computes) {
    size_t d = in->dim, n = (size_t)in->n;
    double *o = test_alloc((size_t)in->heads * n * d, sizeof *o);
    for (size_t row = 0; row < in->heads * n; ++row) {
        size_t first = row / n * n, end = in->causal ? row + 1 : first + n;
        double sum = 0;
        for (size_t j = first; j < end; ++j) {
            double a = kernel(in, computes, in->q + row * d, in->k + j * d);
            sum += a;
            for (size_t l = 0; l < d; ++l)
                o[row * d + l] += a * (double)in->v[j * d + l];
        }
        for (size_t l = 0; l < d; ++l)
            o[row * d + l] /= sum;
    }
    return o;
}

/* The largest S of one side. */
static double magnitude(const bench_inputs *in, const float *x) {
    double worst = 0, root = sqrt(sqrt(in->dim));
    for (size_t i = 0; i < in->heads * in->n; ++i)
        for (size_t r = 0; r < in->features; ++r) {
            double sum = 0;
            for (size_t l = 0; l < in->dim; ++l) {
                double scaled = fabs((double)x[i * in->dim + l]) / root;
                sum += fabs(in->w[r * in->dim + l]) * scaled + scaled * scaled;
            }
            worst = fmax(worst, sum);
        }
    return worst;
}

static void run_peer(bench_peer *peer) {
    double seconds = bench_peer_run(peer);
    ck_assert_msg(seconds > 0 && isfinite(seconds), "%s took %g s: %s", bench_peer_name(peer), seconds, notes);
}

static void check_peer(bench_peer *peer, const bench_inputs *in) {
    const float *o = bench_peer_result(peer);
    ck_assert_ptr_nonnull(o);
    double t = 0x1p-24 * (16 + sqrt((double)in->n) + sqrt(in->features) +
                          (sqrt(in->dim) + 4) * (magnitude(in, in->q) + magnitude(in, in->k)));
    ck_assert_double_lt(t, 1e-3);
    double *expected = expected_output(in, bench_peer_computes(peer));
    for (size_t i = 0; i < in->heads * in->n * in->dim; ++i) {
        double error = fabs((double)o[i] - expected[i]) / expected[i];
        ck_assert_msg(error <= 2 * t, "%s: output[%zu] is %.9g, not %.9g (2 t = %.3g)", bench_peer_name(peer), i,
                      (double)o[i], expected[i], 2 * t);
    }
    free(expected);
}

static bench_peer *find(bench_peer *const *peers, size_t count, const char *name) {
    for (size_t i = 0; i < count; ++i)
        if (strcmp(bench_peer_name(peers[i]), name) == 0)
            return peers[i];
    return NULL;
}

static const struct {
    uint64_t heads, n;
    uint32_t dim, features;
    bool causal;
    unsigned threads;
} shapes[] = {
    {2, 70, 13, 37, false, 2}, {3, 520, 16, 48, false, 2}, {1, 70, 8, 16, false, 2}, {2, 1, 4, 3, false, 1},
    {2, 70, 13, 37, true, 2},  {3, 300, 16, 48, true, 2},  {1, 260, 8, 16, true, 2}, {2, 1, 4, 3, true, 1},
};

/* Every shape with the peers in C; the first two of each kind also with those that the interpreter has. */
START_TEST(equal_to_double) {
    problem p = make_problem(shapes[_i].heads, shapes[_i].n, shapes[_i].dim, shapes[_i].features, shapes[_i].causal);
    unsetenv("CLFAVOR_BENCH_TIMEOUT");
    if (_i % 4 >= 2)
        setenv("CLFAVOR_BENCH_PYTHON", "false", 1);
    else if (*python)
        setenv("CLFAVOR_BENCH_PYTHON", python, 1);
    else
        unsetenv("CLFAVOR_BENCH_PYTHON");
    size_t count;
    bench_peer **peers = open_peers(&p, shapes[_i].threads, &count);
#ifdef BENCH_OPENBLAS
    ck_assert_ptr_nonnull(find(peers, count, "openblas"));
#endif
#ifdef BENCH_CLBLAST
    ck_assert(!find(peers, count, "clblast") == p.inputs.causal);
#endif
    for (size_t i = 0; i < count; ++i)
        ck_assert_msg(!bench_peer_result(peers[i]), "%s has a result before it ran", bench_peer_name(peers[i]));
    for (size_t i = 0; i < 2 * count; ++i) /* in turns, as a benchmark does; the second must not see the first's rest */
        run_peer(peers[i % count]);
    for (size_t i = 0; i < count; ++i)
        check_peer(peers[i], &p.inputs);
    bench_peers_close(peers, count);
    expect_empty_folder();
    free_problem(&p);
}
END_TEST

/* -------------------------------------------------------------------------------------------------- bad interpreters
 */

#define LIST "read line; echo '{\"peers\": [{\"name\": \"fake\", \"computes\": \"exact\"}], \"missing\": []}'; "

static const struct {
    const char *script;
    const char *note; /* part of the only note about Python */
    bool opens;       /* there is a peer, whose run fails */
} bad[] = {
    {"echo 'No module of that name' >&2; exit 3", "No module of that name", false},
    {"sleep 1000", "no answer within", false},
    {"sleep 1000 & sleep 1000", "no answer within", false},
    {"exec <&-; sleep 1000", "no answer within", false},
    {"read line; echo garbage; sleep 1000", "'garbage'", false},
    {"read line; echo '[1]'; sleep 1000", "'[1]'", false},
    {"read line; while :; do printf 0123456789abcdef0123456789abcdef; done", "its answer has no end", false},
    {"printf '{}\\n{}\\n'; sleep 1000", "more than it was asked", false},
    {"read line; echo '{\"missing\": [\"x: pip install x\"]}'; read line", "x: pip install x", false},
    {"read line; echo '{\"peers\": 3, \"missing\": [7]}'; read line", "?", false},
    {LIST "exit 0", "fake: the Python process is given up", true},
    {LIST "read line; kill -9 $$", "it ended", true},
    {LIST "read line; sleep 1000", "no answer within", true},
    {LIST "read line; echo; sleep 1000", "fake: the Python process is given up", true},
    {LIST "read line; echo '{\"error\": \"MemoryError: 1\"}'; sleep 1000", "fake: MemoryError: 1", true},
    {LIST "read line; echo '{\"seconds\": -1}'; sleep 1000", "gave no time", true},
    {LIST "read line; echo '{\"seconds\": \"1\"}'; sleep 1000", "gave no time", true},
};

/* Makes the script the interpreter; the caller removes the file. */
static void use_script(char path[300], const char *text) {
    snprintf(path, 300, "%s.sh", folder); /* beside the folder, which is to be empty */
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "#!/bin/sh\n%s\n", text);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_eq(chmod(path, 0700), 0);
    setenv("CLFAVOR_BENCH_PYTHON", path, 1);
    setenv("CLFAVOR_BENCH_TIMEOUT", "60", 1);
}

START_TEST(bad_interpreter) {
    char path[300];
    use_script(path, bad[_i].script);
    if (strstr(bad[_i].note, "no answer")) /* elsewhere a busy machine must not look like a hang */
        setenv("CLFAVOR_BENCH_TIMEOUT", "3", 1);
    problem p = make_problem(1, 1, 2, 1, true);
    size_t count;
    double start = seconds_now();
    bench_peer **peers = open_peers(&p, 1, &count), *fake = find(peers, count, "fake");
    ck_assert_msg(!fake == !bad[_i].opens, "%s: %s", bad[_i].script, notes);
    if (fake) {
        ck_assert(isnan(bench_peer_run(fake)));
        size_t told = note_count;
        ck_assert_ptr_null(bench_peer_result(fake));
        if (!strstr(notes, "MemoryError") && !strstr(notes, "gave no time")) { /* there the process is still used */
            ck_assert(isnan(bench_peer_run(fake)));
            ck_assert_uint_eq(note_count, told); /* once is enough */
        }
    }
    bench_peers_close(peers, count);
    ck_assert_msg(strstr(notes, bad[_i].note), "%s: the notes are\n%s", bad[_i].script, notes);
    ck_assert_double_lt(seconds_now() - start, 100); /* of 1000 */
    expect_empty_folder();
    unlink(path);
    free_problem(&p);
}
END_TEST

START_TEST(no_interpreter) {
    setenv("CLFAVOR_BENCH_PYTHON", "/nonexistent/python3", 1);
    problem p = make_problem(1, 1, 2, 1, true);
    size_t count;
    bench_peer **peers = open_peers(&p, 1, &count);
    ck_assert_ptr_nonnull(strstr(notes, "'/nonexistent/python3' does not start"));
    bench_peers_close(peers, count);
    expect_empty_folder();
    free_problem(&p);
}
END_TEST

START_TEST(no_folder) {
    setenv("TMPDIR", "/nonexistent", 1);
    problem p = make_problem(1, 1, 2, 1, true);
    size_t count;
    bench_peer **peers = open_peers(&p, 1, &count);
    ck_assert_ptr_nonnull(strstr(notes, "TMPDIR"));
    bench_peers_close(peers, count);
    setenv("TMPDIR", folder, 1);
    free_problem(&p);
}
END_TEST

/* Exact attention of one token is its value. The script also sees to it that the child's environment is as promised. */
START_TEST(good_interpreter) {
    char path[300];
    setenv("OPENBLAS_CORETYPE", "Prescott", 1);
    use_script(path, LIST "cd \"$2\" || exit 1\n"
                          "while read command name; do case $command in\n"
                          "run) echo \"{\\\"seconds\\\": 0.${OPENBLAS_CORETYPE+9}25}\" ;;\n"
                          "result) cp v.f32 result.f32; echo '{\"written\": true}' ;;\n"
                          "*) echo '{}'; exit ;;\n"
                          "esac; done");
    problem p = make_problem(3, 1, 5, 2, true);
    size_t count;
    bench_peer **peers = open_peers(&p, 1, &count), *fake = find(peers, count, "fake");
    ck_assert_ptr_nonnull(fake);
    ck_assert_int_eq(bench_peer_computes(fake), BENCH_EXACT);
    ck_assert(bench_peer_run(fake) == 0.25);
    const float *o = bench_peer_result(fake);
    ck_assert_ptr_nonnull(o);
    ck_assert_mem_eq(o, p.v, 3 * 5 * sizeof *o);
    bench_peers_close(peers, count);
    expect_empty_folder();
    unlink(path);
    unsetenv("OPENBLAS_CORETYPE");
    free_problem(&p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("bench_peers");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, setup, teardown);
    tcase_add_loop_test(tcase, bad_interpreter, 0, (int)(sizeof bad / sizeof *bad));
    tcase_add_test(tcase, no_interpreter);
    tcase_add_test(tcase, no_folder);
    tcase_add_test(tcase, good_interpreter);
    tcase_add_loop_test(tcase, equal_to_double, 0, (int)(sizeof shapes / sizeof *shapes));
    suite_add_tcase(suite, tcase);
    return test_main(suite);
}
