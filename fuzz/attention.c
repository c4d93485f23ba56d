/* Random calls: valid ones give what the double reference gives, the same bits in any layout and of fewer rows; a call
 * or a plan with one thing broken is refused as it should be, and touches nothing. A case is a function of seed and
 * number, and what is compiled (configuration) of seed and number / GROUP, so that most cases find their programs
 * built. Usage: fuzz_attention [--seed S] [--case N] [--count N] [--seconds T] */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "attention_bound.h"
#include "attention_broken.h"
#include "support_layouts.h"

enum { GROUP = 100, DRAWS = 1 << 10, CASE_SECONDS = 300 };

static struct {
    uint64_t seed, first, count, number;
    double seconds;
    test_case c; /* the one that runs */
    int class;
    unsigned long long refused, cancelled, rows;
} run = {.seed = 1, .count = UINT64_MAX};
static char replay[128]; /* what a signal handler prints */
static size_t replay_size;
static test_device device;
static clfavor_context *contexts[2];
static const clfavor_device_class classes[2] = {CLFAVOR_CLASS_CPU, CLFAVOR_CLASS_GPU};

/* ---------------------------------------------------------------------------------------------------------- drawing */

typedef struct stream {
    uint64_t next;
} stream;

/* A number below `bound`. */
static uint32_t draw(stream *s, uint32_t bound) {
    return (uint32_t)(test_uniform(run.seed, s->next++) * bound);
}

/* 1 to most, small ones as likely as large ones. */
static uint32_t draw_size(stream *s, uint32_t most) {
    return 1 + draw(s, 1 + draw(s, most));
}

typedef struct configuration {
    test_case c; /* what is compiled */
    int class;   /* index */
    bool exact_keys, corrections;
} configuration;

static configuration draw_configuration(uint64_t number) {
    stream s = {(UINT64_C(1) << 63) + number / GROUP * DRAWS};
    configuration k = {.class = (int)draw(&s, 2)};
    test_case *c = &k.c;
    c->d = draw_size(&s, 40);
    c->dv = draw_size(&s, 40);
    c->causal = draw(&s, 2);
    c->exact = draw(&s, 8) == 0;
    c->map = c->exact ? CLFAVOR_MAP_POSITIVE : (clfavor_map)draw(&s, 8);
    c->chunk = draw(&s, 2) ? draw_size(&s, 200) : 0;
    if (k.class && !c->exact)
        c->backend = (clfavor_backend)draw(&s, 4);
    bool exponential =
        c->map == CLFAVOR_MAP_POSITIVE || c->map == CLFAVOR_MAP_HYPERBOLIC || c->map == CLFAVOR_MAP_EXPONENTIAL;
    if (exponential && !c->exact && !c->causal) {
        k.exact_keys = draw(&s, 2);
        k.corrections = draw(&s, 3) == 0;
    }
    return k;
}

/* All of a case, and the arrays that it points to. */
typedef struct problem {
    configuration k;
    test_case c;
    test_general general;
    uint32_t *keys;
    float *corrections;
    test_inputs in;
} problem;

static void draw_shape(stream *s, test_case *c) {
    c->m = c->map == CLFAVOR_MAP_ELU ? c->d : draw_size(s, 64);
    c->batch = draw_size(s, 2);
    c->heads_kv = draw_size(s, 3);
    c->heads = c->heads_kv * draw_size(s, 3);
    c->n = draw_size(s, 200);
    c->n_k = c->causal ? c->n : draw_size(s, 200);
    const uint32_t sets[] = {1, 1, (uint32_t)c->heads_kv, (uint32_t)c->heads};
    c->sets = c->map == CLFAVOR_MAP_ELU ? 1 : sets[draw(s, 4)];
    c->pieces = draw(s, 2) ? draw_size(s, 5) : 0;
    c->max_n = draw(s, 2) ? 0 : (c->n > c->n_k ? c->n : c->n_k) + draw(s, 1000);
    c->workspace_limit = draw(s, 3) ? 0 : (size_t)1024 << draw(s, 10);
    static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_IID,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS, CLFAVOR_PROJECTION_SIMPLEX};
    c->projection = kinds[draw(s, 5)];
    static const double sigmas[] = {0.1, 0.5, 1, 2};
    c->sigma = sigmas[draw(s, test_is_signed(c->map) ? 2 : 4)]; /* so that most sums do not cancel */
    c->seed = draw(s, UINT32_MAX);
}

static void draw_problem(problem *p, stream *s, uint64_t number) {
    *p = (problem){.k = draw_configuration(number)};
    p->c = p->k.c;
    draw_shape(s, &p->c);
    uint64_t states = p->c.sets > p->c.heads_kv ? p->c.sets : p->c.heads_kv;
    if (p->c.map == CLFAVOR_MAP_EXPONENTIAL) {
        p->general = test_general_create(p->c.m, p->c.d, p->c.sets);
        p->c.exponential = &p->general.desc;
    }
    p->in = test_inputs_create(&p->c);
    if (p->k.exact_keys) {
        p->c.exact_count = draw_size(s, 40);
        p->c.exact_keys = p->keys = test_choose_keys(&p->c, p->c.exact_count);
    }
    if (p->k.corrections) {
        p->c.features = p->c.map == CLFAVOR_MAP_HYPERBOLIC ? 2 * p->c.m : p->c.m;
        size_t count = (size_t)(p->c.batch * states * (p->c.features + p->c.exact_count)) * p->c.dv;
        p->c.corrections = p->corrections = test_normals(p->c.seed, count, 0.3);
    }
}

static void problem_free(problem *p) {
    test_inputs_free(&p->in);
    test_general_free(&p->general);
    free(p->keys);
    free(p->corrections);
}

/* ---------------------------------------------------------------------------------------------------------- layouts */

enum { Q, K, V, O, LSE, SIGN, TENSORS };

/* Any order of the axes, gaps, a start that only a float's alignment has. */
static void draw_strides(stream *s, test_layout *at) {
    uint64_t *const strides[3] = {&at->stride_batch, &at->stride_head, &at->stride_token};
    const uint64_t extents[3] = {at->batch, at->heads, at->n};
    uint64_t step = at->last + draw(s, 2) * draw(s, 9);
    uint32_t first = draw(s, 3), turn = 1 + draw(s, 2);
    for (uint32_t i = 0; i < 3; ++i) {
        uint32_t axis = (first + i * turn) % 3;
        *strides[axis] = step;
        step = step * extents[axis] + draw(s, 2) * draw(s, 9);
    }
    at->start = draw(s, 2) * draw(s, 9);
}

static void dense_layouts(const test_case *c, test_layout at[TENSORS]) {
    at[Q] = test_layout_dense(c->batch, c->heads, c->n, c->d);
    at[K] = test_layout_dense(c->batch, c->heads_kv, c->n_k, c->d);
    at[V] = test_layout_dense(c->batch, c->heads_kv, c->n_k, c->dv);
    at[O] = test_layout_dense(c->batch, c->heads, c->n, c->dv);
    at[LSE] = at[SIGN] = test_layout_dense(c->batch, c->heads, c->n, 1);
}

/* Strides of all tensors; inputs may repeat axes, for which their dense values are changed. */
static void draw_layouts(stream *s, problem *p, test_layout at[TENSORS]) {
    float *const values[3] = {p->in.q, p->in.k, p->in.v};
    dense_layouts(&p->c, at);
    for (int t = 0; t < TENSORS; ++t) {
        uint32_t axes = t < O && draw(s, 4) == 0 ? draw(s, 8) : 0;
        if (axes)
            test_layout_repeat(values[t], &at[t], axes & 1, axes & 2, axes & 4);
        draw_strides(s, &at[t]);
        at[t].stride_batch = axes & 1 ? 0 : at[t].stride_batch;
        at[t].stride_head = axes & 2 ? 0 : at[t].stride_head;
        at[t].stride_token = axes & 4 ? 0 : at[t].stride_token;
    }
}

static void expect_same_bits(test_call *call, const test_inputs *in, const test_outputs *expected,
                             const test_layout at[TENSORS]) {
    const float *values[TENSORS] = {in->q, in->k, in->v};
    const float *right[TENSORS] = {NULL, NULL, NULL, expected->o, expected->lse, expected->sign};
    clfavor_attention_args args = call->args;
    clfavor_tensor *tensors[TENSORS] = {&args.q, &args.k, &args.v, &args.o, &args.lse, &args.sign};
    test_buffer buffers[TENSORS];
    for (int t = 0; t < TENSORS; ++t) {
        buffers[t] = test_scatter(&device, values[t], &at[t]);
        *tensors[t] = test_layout_tensor(&buffers[t], &at[t]);
    }
    cl_command_queue queue = device.out_of_order && call->c.seed % 2 ? device.out_of_order : device.queue;
    clfavor_status status = clfavor_enqueue_attention(call->plan, &args, queue, 0, NULL, NULL);
    ck_assert_msg(!status, "in another layout: %s, %s", clfavor_status_name(status), device.log);
    for (int t = O; t < TENSORS; ++t) {
        float *got = test_gather(&device, &buffers[t], &at[t]);
        ck_assert_msg(!memcmp(got, right[t], at[t].batch * at[t].heads * at[t].n * at[t].last * sizeof *got),
                      "output %d differs from the dense run's bits", t - O);
        free(got);
    }
    for (int t = 0; t < TENSORS; ++t)
        test_buffer_release(&buffers[t]);
}

static bool is_poison(const float *values, size_t count) {
    const cl_uint poison = TEST_POISON;
    while (count && memcmp(&values[count - 1], &poison, sizeof poison) == 0)
        --count;
    return count == 0;
}

/* Fewer entries of the batch and fewer rows: those have the bits that they had beside the others, which stay as they
 * were. */
static void expect_same_start(stream *s, test_call *call, const test_outputs *expected) {
    const test_case *c = &call->c;
    clfavor_attention_args args = call->args;
    args.batch = draw_size(s, (uint32_t)c->batch);
    args.n = draw_size(s, (uint32_t)c->n);
    args.n_k = c->causal ? args.n : c->n_k;
    test_call_poison(call);
    clfavor_status status = clfavor_enqueue_attention(call->plan, &args, device.queue, 0, NULL, NULL);
    ck_assert_msg(!status, "of fewer rows: %s, %s", clfavor_status_name(status), device.log);
    test_outputs got = test_call_read(call);
    for (size_t row = 0; row < got.rows; ++row) {
        bool asked = row % c->n < args.n && row / c->n / c->heads < args.batch;
        const float *o = got.o + row * c->dv;
        bool good = asked ? memcmp(o, expected->o + row * c->dv, c->dv * sizeof *o) == 0 &&
                                memcmp(&got.lse[row], &expected->lse[row], sizeof *o) == 0 &&
                                memcmp(&got.sign[row], &expected->sign[row], sizeof *o) == 0
                          : is_poison(o, c->dv) && is_poison(&got.lse[row], 1) && is_poison(&got.sign[row], 1);
        if (!good)
            ck_abort_msg("row %zu of a call with batch %llu, n %llu", row, (unsigned long long)args.batch,
                         (unsigned long long)args.n);
    }
    test_outputs_free(&got);
}

/* --------------------------------------------------------------------------------------------------------- refusals */

static clfavor_plan_desc plan_desc_of(const test_case *c) {
    clfavor_plan_desc desc = test_plan_desc(c);
    desc.features = c->m; /* elu: d, which may be said */
    return desc;
}

/* Whether there is a plan for the case: tight workspaces, and CLBlast where it was left out, may be refused. */
static bool is_possible(const problem *p) {
    clfavor_plan_desc desc = plan_desc_of(&p->c);
    clfavor_plan *plan;
    clfavor_status status = clfavor_plan_create(&plan, contexts[p->k.class], &desc);
    clfavor_plan_destroy(plan);
    if (!status)
        return true;
    bool allowed = (status == CLFAVOR_WORKSPACE && desc.workspace_limit) ||
                   (status == CLFAVOR_UNSUPPORTED && desc.backend == CLFAVOR_BACKEND_CLBLAST);
    ck_assert_msg(allowed, "a valid plan: %s, %s", clfavor_status_name(status), device.log);
    test_refused(&device, status, status, "");
    ++run.refused;
    return false;
}

static void expect_plan_refused(stream *s, const problem *p) {
    clfavor_plan_desc desc = plan_desc_of(&p->c);
    fuzz_breakage wrong =
        fuzz_break_plan(&p->c, !p->k.class, (int)draw(s, FUZZ_BROKEN_PLANS), draw(s, UINT32_MAX), &desc);
    if (!wrong.expected)
        return;
    test_log_clear(&device);
    clfavor_plan *plan = (clfavor_plan *)&device;
    clfavor_status status = clfavor_plan_create(&plan, contexts[p->k.class], &desc);
    ck_assert_msg(status == wrong.expected && !plan, "a plan with a broken %s: %s instead of %s", wrong.what,
                  clfavor_status_name(status), clfavor_status_name(wrong.expected));
    test_refused(&device, status, wrong.expected, "");
    ++run.refused;
}

static void expect_poison(const test_buffer *buffer, const char *what) {
    float *values = test_buffer_read(&device, buffer);
    ck_assert_msg(is_poison(values, buffer->count), "a refused call (%s) wrote an output", what);
    free(values);
}

static void expect_call_refused(stream *s, test_call *call) {
    clfavor_attention_args args = call->args;
    cl_command_queue queue = device.queue;
    cl_uint num_events = 0;
    cl_event event = (cl_event)&device;
    fuzz_breakage wrong =
        fuzz_break_args(call, (int)draw(s, FUZZ_BROKEN_ARGS), draw(s, UINT32_MAX), &args, &queue, &num_events);
    if (!wrong.expected)
        return;
    test_log_clear(&device);
    test_call_poison(call);
    clfavor_status status = clfavor_enqueue_attention(call->plan, &args, queue, num_events, NULL, &event);
    ck_assert_msg(status == wrong.expected && !event, "a call with %s broken: %s instead of %s", wrong.what,
                  clfavor_status_name(status), clfavor_status_name(wrong.expected));
    test_refused(&device, status, wrong.expected, "");
    expect_poison(&call->o, wrong.what);
    expect_poison(&call->lse, wrong.what);
    expect_poison(&call->sign, wrong.what);
    ++run.refused;
}

/* ------------------------------------------------------------------------------------------------------------ cases */

static void check_case(uint64_t number) {
    stream s = {number * DRAWS};
    test_layout at[TENSORS];
    test_log_clear(&device);
    problem p;
    draw_problem(&p, &s, number);
    run.c = p.c;
    run.class = p.k.class;
    draw_layouts(&s, &p, at);
    if (is_possible(&p)) {
        test_call call = test_call_create(&device, contexts[p.k.class], &p.c, &p.in);
        ck_assert(!p.c.workspace_limit || call.info.workspace_size <= p.c.workspace_limit);
        test_outputs first = test_call_run(&call);
        test_reference reference = test_run_reference(&p.c, &p.in);
        run.cancelled += fuzz_expect_close(&p.c, &p.general, &p.in, &first, &reference);
        run.rows += first.rows;
        expect_same_bits(&call, &p.in, &first, at);
        expect_same_start(&s, &call, &first);
        expect_call_refused(&s, &call);
        test_reference_free(&reference);
        test_outputs_free(&first);
        test_call_release(&call);
    }
    expect_plan_refused(&s, &p);
    problem_free(&p);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

START_TEST(all_cases) {
    double start = now();
    for (run.number = run.first; run.number - run.first < run.count; ++run.number) {
        if (run.seconds > 0 && now() - start >= run.seconds)
            break;
        replay_size = (size_t)snprintf(replay, sizeof replay, "replay: fuzz_attention --seed %llu --case %llu\n",
                                       (unsigned long long)run.seed, (unsigned long long)run.number);
        alarm(CASE_SECONDS);
        check_case(run.number);
    }
    alarm(0);
}
END_TEST

/* A crash, an abort of the runtime, or a case that does not end. */
static void on_signal(int number) {
    ssize_t ignored = write(STDOUT_FILENO, replay, replay_size);
    (void)ignored;
    signal(number, SIG_DFL);
    raise(number);
}

static void set_up(void) {
    static const int numbers[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGALRM};
    test_open(&device);
    for (int i = 0; i < 2; ++i)
        contexts[i] = test_context(&device, classes[i]);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; ++i)
        signal(numbers[i], on_signal);
}

static void tear_down(void) {
    for (int i = 0; i < 2; ++i)
        clfavor_context_destroy(contexts[i]);
    test_close(&device);
}

static int report(SRunner *runner) {
    TestResult **failures = srunner_failures(runner);
    int failed = srunner_ntests_failed(runner);
    for (int i = 0; i < failed; ++i)
        printf("%s%s; %s, back end %d, %u exact keys\n", replay, tr_msg(failures[i]),
               test_case_name(&run.c, classes[run.class]), (int)run.c.backend, run.c.exact_count);
    free(failures);
    if (!failed)
        printf("%llu cases, %llu refusals, %llu of %llu rows cancel\n", (unsigned long long)(run.number - run.first),
               run.refused, run.cancelled, run.rows);
    return failed != 0;
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        char *end;
        uint64_t whole = strtoull(value, &end, 0);
        if (!*value || *end || *value == '-') {
            fprintf(stderr, "fuzz_attention: %s wants a whole number\n", argv[i]);
            return 2;
        }
        if (strcmp(argv[i], "--seed") == 0)
            run.seed = whole;
        else if (strcmp(argv[i], "--count") == 0)
            run.count = whole;
        else if (strcmp(argv[i], "--seconds") == 0)
            run.seconds = (double)whole;
        else if (strcmp(argv[i], "--case") == 0)
            run.first = whole, run.count = 1;
        else
            return fprintf(stderr, "fuzz_attention: %s is unknown\n", argv[i]), 2;
    }
    Suite *suite = suite_create("fuzz_attention");
    TCase *tcase = tcase_create("all");
    tcase_set_timeout(tcase, 0);
    tcase_add_unchecked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, all_cases);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_set_fork_status(runner, CK_NOFORK);
    srunner_run_all(runner, CK_SILENT);
    int code = report(runner);
    fflush(stdout);
    if (code) /* what the case that failed holds is no leak */
        _exit(code);
    srunner_free(runner);
    return code;
}
