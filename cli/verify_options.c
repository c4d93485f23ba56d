#include "verify_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

enum {
    KEY_LEVEL = 256,
    KEY_SUITE,
    KEY_LIST,
    KEY_SEED,
    KEY_ALPHA,
    KEY_JUNIT,
    KEY_JSON,
    KEY_REPORT,
    KEY_RESUME,
    KEY_SHARD,
    KEY_MUTANTS,
    KEY_MUTANT,
    KEY_CALIBRATE,
    KEY_WORKERS,
    KEY_CLASS,
    KEY_DEVICE,
    KEY_TUNING,
    KEY_Q,
    KEY_K,
    KEY_V,
    KEY_CAUSAL,
    KEY_HELP
};

static const struct argp_option table[] = {
    OPTION("level", KEY_LEVEL, "LEVEL",
           "quick (default; under a minute), full (minutes) or nightly (hours): finds a "
           "relative bias of 1 %, 0.2 % or 0.05 %"),
    OPTION("suite", KEY_SUITE, "NAME",
           "Only this suite, or these jobs of it, such as mean/d6/iid (may be given again)"),
    OPTION("list", KEY_LIST, 0, "List suites and jobs of the level, and run nothing"),
    OPTION("seed", KEY_SEED, "S", "64 bits (default 0), or random: drawn, and written on stderr"),
    OPTION("alpha", KEY_ALPHA, "A", "Probability of any false alarm in the whole level (default 1e-6)"),
    OPTION("junit", KEY_JUNIT, "FILE", "Write JUnit XML"),
    OPTION("json", KEY_JSON, "FILE", "Write everything as JSON"),
    OPTION("report", KEY_REPORT, "FILE", "Write one self-contained HTML page with plots"),
    OPTION("resume", KEY_RESUME, "FILE",
           "Keep records of what is done in FILE, and take what it holds; may be given "
           "again for further files that are only read, such as other shards'"),
    OPTION("shard", KEY_SHARD, "I/N", "Do the I-th of N parts of the work (1 to N); give each its own --resume file"),
    OPTION("workers", KEY_WORKERS, "N", "Threads that draw and judge (default: one a processor and one more)"),
    OPTION("mutants", KEY_MUTANTS, 0, "Run the suites against deliberate bugs: every one must be found"),
    OPTION("calibrate", KEY_CALIBRATE, "RUNS",
           "Repeat law and mean checks at reduced size with random seeds and alpha "
           "(default 1e-3) each, and count the false alarms"),
    OPTION("q", KEY_Q, "FILE", "Your own queries: what features do for them (with --k, and --v)"),
    OPTION("k", KEY_K, "FILE", "Your own keys"),
    OPTION("v", KEY_V, "FILE", "Your own values (default: random signs)"),
    OPTION("causal", KEY_CAUSAL, 0, "With --q and --k: row i sees keys 0 to i only"),
    OPTION("class", KEY_CLASS, "CLASS", "Kernels to verify: cpu, gpu or auto (default: by the device)"),
    OPTION("device", KEY_DEVICE, "SEL", "P:D as `clfavor devices' lists them, or a part of a name"),
    OPTION("tuning", KEY_TUNING, "FILE", OPTIONS_TUNING),
#ifdef CLFAVOR_MUTANTS
    OPTION("mutant", KEY_MUTANT, "NAME", "This deliberate bug is in"),
#endif
    OPTION("help", KEY_HELP, 0, "Show this help"),
    {0}};

static const char doc[] =
    "Checks by statistics that the library's estimators are what they claim to be, through the kernels of the device.\v"
    "Every statistical check has the same share of --alpha, whatever is selected. With the default seed a run repeats "
    "exactly; nothing is ever tried again until it passes. Exit status 0: every check passed, 1: one failed.";

static int parse_alpha(const char *text, double *alpha) {
    char *end;
    errno = 0;
    *alpha = strtod(text, &end);
    if (end == text || *end || !(*alpha > 0.0 && *alpha < 0.5) || *alpha < 1e-200 || errno)
        return cli_error(CLI_USAGE, "--alpha expects a number above 0 and below 0.5, got '%s'", text);
    return CLI_OK;
}

static int parse_level(const char *text, verify_level *level) {
    const char *const levels[] = {verify_level_name(VERIFY_QUICK), verify_level_name(VERIFY_FULL),
                                  verify_level_name(VERIFY_NIGHTLY)};
    int found = options_name("level", text, "quick, full or nightly", levels, 3);
    *level = (verify_level)found;
    return found < 0 ? CLI_USAGE : CLI_OK;
}

/* I of 1 .. N; 0 is the same part as N, for those who count from 0. */
static int parse_shard(const char *text, verify_arguments *a) {
    char *end, *last = NULL;
    unsigned long long i = 0, n = 0;
    bool good = *text >= '0' && *text <= '9';
    if (good) {
        i = strtoull(text, &end, 10);
        good = *end == '/' && end[1] >= '0' && end[1] <= '9';
    }
    if (good)
        n = strtoull(end + 1, &last, 10);
    if (!good || *last || n < 1 || n > 1000000 || i > n)
        return cli_error(CLI_USAGE, "--shard expects I/N with I from 1 to N, such as 2/4, got '%s'", text);
    a->shard = (uint32_t)(i % n);
    a->shards = (uint32_t)n;
    return CLI_OK;
}

static int append(const char ***list, size_t *count, const char *text) {
    const char **grown = realloc(*list, (*count + 1) * sizeof *grown);
    if (!grown)
        return cli_error(CLI_FAILED, "host memory is exhausted");
    *list = grown;
    grown[(*count)++] = text;
    return CLI_OK;
}

static int parse_seed(const char *text, verify_arguments *a) {
    a->seed_random = strcmp(text, "random") == 0;
    a->seed_given = true;
    if (a->seed_random || (*text >= '0' && *text <= '9'))
        return a->seed_random ? CLI_OK : options_unsigned("seed", text, 0, UINT64_MAX, &a->seed);
    return cli_error(CLI_USAGE, "--seed expects a whole number from 0 to 2^64 - 1, or random, got '%s'", text);
}

static int take(void *arguments, int key, char *text, struct argp_state *state) {
    verify_arguments *a = arguments;
    if (text && !*text)
        return cli_error(CLI_USAGE, "verify: %s expects a value, got an empty one", state->argv[state->next - 1]);
    switch (key) {
#define TEXT(KEY, field)                                                                                               \
    case KEY:                                                                                                          \
        a->field = text;                                                                                               \
        return CLI_OK
#define FLAG(KEY, field)                                                                                               \
    case KEY:                                                                                                          \
        a->field = true;                                                                                               \
        return CLI_OK
        TEXT(KEY_JUNIT, junit);
        TEXT(KEY_JSON, json);
        TEXT(KEY_REPORT, report);
        TEXT(KEY_DEVICE, device);
        TEXT(KEY_TUNING, tuning);
        TEXT(KEY_MUTANT, mutant);
        TEXT(KEY_Q, q);
        TEXT(KEY_K, k);
        TEXT(KEY_V, v);
        FLAG(KEY_LIST, list);
        FLAG(KEY_MUTANTS, mutants);
        FLAG(KEY_CAUSAL, causal);
#undef TEXT
#undef FLAG
    case KEY_LEVEL:
        a->level_given = true;
        return parse_level(text, &a->level);
    case KEY_SUITE:
        return append(&a->selection, &a->selection_count, text);
    case KEY_RESUME:
        return append(&a->resume, &a->resume_count, text);
    case KEY_SEED:
        return parse_seed(text, a);
    case KEY_ALPHA:
        return parse_alpha(text, &a->alpha);
    case KEY_SHARD:
        return parse_shard(text, a);
    case KEY_WORKERS:
        return options_u32("workers", text, 64, &a->workers);
    case KEY_CALIBRATE:
        return options_u32("calibrate", text, 10000000, &a->calibrate);
    case KEY_CLASS:
        return options_class(text, &a->device_class);
    case KEY_HELP:
        return options_help(state);
    default: /* ARGP_KEY_ARG */
        return cli_error(CLI_USAGE, "verify: unexpected argument '%s'; see `clfavor verify --help`", text);
    }
}

static int check(const verify_arguments *a) {
    bool own = a->q || a->k || a->v;
    if (own && !(a->q && a->k))
        return cli_error(CLI_USAGE, "verify: your own data need both --q and --k");
    if (a->causal && !own)
        return cli_error(CLI_USAGE, "verify: --causal belongs to --q and --k; the suites check both kinds");
    if (own && (a->shards || a->resume_count || a->mutants || a->calibrate || a->list || a->selection_count ||
                a->junit || a->report || a->level_given || a->alpha > 0.0 || a->workers))
        return cli_error(CLI_USAGE, "verify: --q and --k answer for your own data; of the options for suites only "
                                    "--seed, --json, --class, --device and --tuning go with them");
    if (a->shards > 1 && !a->resume_count)
        return cli_error(CLI_USAGE, "verify: --shard needs --resume FILE, where the shard's records go");
    if ((a->mutants || a->calibrate) && (a->shards || a->resume_count))
        return cli_error(CLI_USAGE, "verify: --shard and --resume do not go with --mutants or --calibrate");
    if (a->mutants && a->calibrate)
        return cli_error(CLI_USAGE, "verify: --mutants and --calibrate are two runs; give one of them");
    return CLI_OK;
}

int verify_arguments_parse(verify_arguments *a, int argc, char **argv) {
    *a = (verify_arguments){0};
    static const options_parser parser = {"verify", doc, table, KEY_HELP, take};
    int status = options_read(&parser, argc, argv, a);
    return status ? status : check(a);
}

void verify_arguments_free(verify_arguments *a) {
    free(a->selection);
    free(a->resume);
}
