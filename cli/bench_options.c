#include "bench_options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

/* So that no size overflows 64 bits. */
#define MOST_HEADS 65536u
#define MOST_N     (1u << 24)

enum {
    KEY_SHAPE = 256,
    KEY_CAUSAL,
    KEY_BIDIRECTIONAL,
    KEY_SWEEP,
    KEY_OPERATION,
    KEY_MAP,
    KEY_PEERS,
    KEY_FITTED,
    KEY_REPEATS,
    KEY_JSON,
    KEY_REPORT,
    KEY_DEVICE,
    KEY_CLASS,
    KEY_BACKEND,
    KEY_TUNING,
    KEY_KERNEL_DIR,
    KEY_HELP
};

static const struct argp_option table[] = {
    OPTION("shape", KEY_SHAPE, "H,n,d,m",
           "Heads, tokens, head dimension and rows of the projection (default 8,4096,64,256); may be given again, and "
           "all shapes then take turns"),
    OPTION("causal", KEY_CAUSAL, 0, "Causal only (default: both)"),
    OPTION("bidirectional", KEY_BIDIRECTIONAL, 0, "Bidirectional only (default: both)"),
    OPTION("sweep", KEY_SWEEP, 0,
           "1 and 8 heads x n 512 to 65536 x d 32, 64, 128 x m 64 to 512, both kinds, and the worst case; minutes"),
    OPTION("operation", KEY_OPERATION, "NAME", "attention (default), exact, features-query or features-key"),
    OPTION("map", KEY_MAP, "MAP", "positive (default), hyperbolic, trig, trig-phase, gaussian, relu or elu"),
    OPTION("peers", KEY_PEERS, 0,
           "Also run other implementations that are there, on the same inputs in turns, and "
           "compare their results with ours"),
    OPTION("fitted", KEY_FITTED, 0,
           "Also run, in the same rounds, features as a fit makes them, and half of them with half exact keys; plain "
           "ones stand beside them"),
    OPTION("repeats", KEY_REPEATS, "R", "Rounds (default 30); with --sweep at most so many a shape (default 12)"),
    OPTION("json", KEY_JSON, "FILE", "Write everything as JSON"),
    OPTION("report", KEY_REPORT, "FILE", "Write one self-contained HTML page with plots"),
    OPTION("device", KEY_DEVICE, "SEL", OPTIONS_DEVICE),
    OPTION("class", KEY_CLASS, "CLASS", "Kernels to measure: cpu, gpu or auto (default: by the device)"),
    OPTION("backend", KEY_BACKEND, "NAME",
           "How the gpu class does attention: fused, staged, clblast or auto (default: as the tuning row says); may be "
           "given again, and all then take turns"),
    OPTION("tuning", KEY_TUNING, "FILE", OPTIONS_TUNING),
    OPTION("kernel-dir", KEY_KERNEL_DIR, "DIR", "Read the kernels from this folder, for work on them"),
    OPTION("help", KEY_HELP, 0, "Show this help"),
    {0}};

static const char doc[] =
    "Times of the library's operations as fractions of what the device can do, measured in turns in one run.\v"
    "The peak is the largest of three loops of fused multiply-adds and, on a CPU, of OpenBLAS sgemm. Useful flops a "
    "token and head are 4 F d + 4 m d for F features (8 d m for plain ones): none for padding, masked pairs or work "
    "done twice. The roofline's bound counts exponentials and memory too. docs/bench.md tells what every figure is. "
    "Exit status 0: done, 1: the work failed, or a peer's result is not ours.";

int bench_parse_shape(const char *text, bench_shape **shapes, size_t *count) {
    uint64_t part[4];
    const uint64_t most[4] = {MOST_HEADS, MOST_N, CLFAVOR_MAX_DIM, CLFAVOR_MAX_FEATURES};
    const char *at = text;
    bool good = true;
    for (int i = 0; i < 4 && good; ++i) {
        char *end;
        errno = 0;
        good = *at >= '0' && *at <= '9';
        part[i] = good ? strtoull(at, &end, 10) : 0;
        good = good && !errno && part[i] >= 1 && part[i] <= most[i] && *end == (i < 3 ? ',' : '\0');
        at = good ? end + 1 : at;
    }
    if (!good)
        return cli_error(CLI_USAGE,
                         "--shape expects H,n,d,m, such as 8,4096,64,256, of at most %u heads, %u tokens, d = %u and "
                         "m = %u, got '%s'",
                         MOST_HEADS, MOST_N, CLFAVOR_MAX_DIM, CLFAVOR_MAX_FEATURES, text);
    bench_shape *grown = realloc(*shapes, (*count + 1) * sizeof *grown);
    if (!grown)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    *shapes = grown;
    grown[(*count)++] = (bench_shape){part[0], part[1], (uint32_t)part[2], (uint32_t)part[3]};
    return CLI_OK;
}

static int parse_operation(bench_arguments *a, const char *text) {
    static const char *const names[] = {"attention", "exact", "features-query", "features-key"};
    int found = options_name("operation", text, "attention, exact, features-query or features-key", names, 4);
    a->operation = (clfavor_operation)found;
    return found < 0 ? CLI_USAGE : CLI_OK;
}

static int parse_backend(bench_arguments *a, const char *text) {
    clfavor_backend backend;
    int status = options_backend(text, &backend);
    bool known = false;
    for (size_t i = 0; i < a->backend_count; ++i)
        known |= a->backends[i] == backend;
    if (!status && !known)
        a->backends[a->backend_count++] = backend;
    return status;
}

static int take(void *arguments, int key, char *text, struct argp_state *state) {
    bench_arguments *a = arguments;
    if (text && !*text)
        return cli_error(CLI_USAGE, "bench: %s expects a value, got an empty one", state->argv[state->next - 1]);
    switch (key) {
#define TEXT(KEY, field)                                                                                               \
    case KEY:                                                                                                          \
        a->field = text;                                                                                               \
        return CLI_OK
#define FLAG(KEY, field)                                                                                               \
    case KEY:                                                                                                          \
        a->field = true;                                                                                               \
        return CLI_OK
        TEXT(KEY_JSON, json);
        TEXT(KEY_REPORT, report);
        TEXT(KEY_DEVICE, device);
        TEXT(KEY_KERNEL_DIR, kernel_dir);
        TEXT(KEY_TUNING, tuning);
        FLAG(KEY_CAUSAL, causal);
        FLAG(KEY_BIDIRECTIONAL, bidirectional);
        FLAG(KEY_SWEEP, sweep);
        FLAG(KEY_PEERS, peers);
        FLAG(KEY_FITTED, fitted);
#undef TEXT
#undef FLAG
    case KEY_SHAPE:
        return bench_parse_shape(text, &a->shapes, &a->shape_count);
    case KEY_OPERATION:
        return parse_operation(a, text);
    case KEY_MAP:
        a->map_given = true;
        return options_map(text, &a->map);
    case KEY_REPEATS:
        return options_u32("repeats", text, 1000000, &a->repeats);
    case KEY_CLASS:
        return options_class(text, &a->device_class);
    case KEY_BACKEND:
        return parse_backend(a, text);
    case KEY_HELP:
        return options_help(state);
    default: /* ARGP_KEY_ARG */
        return cli_error(CLI_USAGE, "bench: unexpected argument '%s'; see `clfavor bench --help`", text);
    }
}

static int check(const bench_arguments *a) {
    bool attention = a->operation == CLFAVOR_OP_ATTENTION, exact = a->operation == CLFAVOR_OP_EXACT;
    if (a->sweep && a->shape_count)
        return cli_error(CLI_USAGE, "bench: --sweep has shapes of its own; leave --shape out");
    if (a->sweep && (a->causal || a->bidirectional))
        return cli_error(CLI_USAGE, "bench: --sweep measures both kinds; leave --causal and --bidirectional out");
    if (a->sweep && exact)
        return cli_error(CLI_USAGE, "bench: exact attention at a sweep's lengths takes hours; give it each --shape");
    if (a->peers && (a->sweep || !attention || a->map != CLFAVOR_MAP_POSITIVE))
        return cli_error(CLI_USAGE, "bench: --peers goes with the attention of positive features and --shape only");
    if (a->fitted && (a->sweep || !attention || a->map != CLFAVOR_MAP_POSITIVE))
        return cli_error(CLI_USAGE, "bench: --fitted goes with the attention of positive features and --shape only");
    if (exact && a->map_given)
        return cli_error(CLI_USAGE, "bench: exact attention has no features; leave --map out");
    if (a->backend_count && !attention)
        return cli_error(CLI_USAGE, "bench: only attention with features has back ends; leave --backend out");
    if (a->backend_count > 1 && a->sweep)
        return cli_error(CLI_USAGE, "bench: --sweep measures one back end; give --backend once");
    if (!attention && !exact && (a->causal || a->bidirectional))
        return cli_error(CLI_USAGE, "bench: features are neither causal nor bidirectional; leave these out");
    return CLI_OK;
}

/* One shape, causal or not, one back end: the map, and beside it what --fitted adds. */
static void list_kind(bench_arguments *a, const bench_shape *shape, bool causal, clfavor_backend backend) {
    bench_work work = {a->operation, a->map, *shape, causal, 0, backend};
    a->work[a->work_count++] = work;
    if (!a->fitted)
        return;
    work.exact_keys = causal ? 0 : shape->features / 2;
    if (work.exact_keys && work.exact_keys <= shape->n)
        a->work[a->work_count++] = work;
    work.map = CLFAVOR_MAP_EXPONENTIAL;
    if (work.exact_keys && work.exact_keys <= shape->n)
        a->work[a->work_count++] = work;
    work.exact_keys = 0;
    a->work[a->work_count++] = work;
}

static int list(bench_arguments *a) {
    static const bench_shape usual = {8, 4096, 64, 256};
    const bench_shape *shapes = a->shape_count ? a->shapes : &usual;
    size_t count = a->shape_count ? a->shape_count : 1;
    bool attention = a->operation == CLFAVOR_OP_ATTENTION || a->operation == CLFAVOR_OP_EXACT;
    bool both = attention && a->causal == a->bidirectional;
    size_t backends = a->backend_count ? a->backend_count : 1; /* the first is AUTO where none was given */
    a->work = calloc(8 * count * backends, sizeof *a->work);
    if (!a->work)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    for (size_t i = 0; i < count; ++i)
        for (int causal = 0; causal < 2; ++causal)
            for (size_t b = 0; b < backends; ++b)
                if (both || causal == a->causal)
                    list_kind(a, &shapes[i], causal != 0, a->backends[b]);
    return CLI_OK;
}

int bench_arguments_parse(bench_arguments *a, int argc, char **argv) {
    *a = (bench_arguments){0};
    static const options_parser parser = {"bench", doc, table, KEY_HELP, take};
    int status = options_read(&parser, argc, argv, a);
    if (!status)
        status = check(a);
    return status ? status : list(a);
}

void bench_arguments_free(bench_arguments *a) {
    free(a->shapes);
    free(a->work);
}
