#include "options.h"

#include <argp.h>
#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fitting.h"
#include "message.h"

enum {
    KEY_Q = 256, /* above every character: no short options */
    KEY_K,
    KEY_V,
    KEY_X,
    KEY_OUT,
    KEY_OUT_SCALE,
    KEY_ROLE,
    KEY_LSE,
    KEY_LSE_SIGN,
    KEY_MAP,
    KEY_FEATURES,
    KEY_PROJECTION,
    KEY_SEED,
    KEY_PROJECTION_OUT,
    KEY_PROJECTION_IN,
    KEY_PER_HEAD,
    KEY_SCALE,
    KEY_CAUSAL,
    KEY_CHUNK,
    KEY_PIECES,
    KEY_EXACT,
    KEY_COMPARE,
    KEY_COMPARE_ROWS,
    KEY_DEVICE,
    KEY_REPEAT,
    KEY_JSON,
    KEY_FIT,
    KEY_FIT_METHOD,
    KEY_ESTIMATOR,
    KEY_TARGET_ERROR,
    KEY_EXACT_KEYS,
    KEY_SAMPLE,
    KEY_METHODS,
    KEY_CORRECT,
    KEY_BEST_OF,
    KEY_ALLOW_LEAK,
    KEY_HELP
};

#define OPTION(name, key, arg, text)                                                                                   \
    { name, key, arg, 0, text, 0 }

#define ESTIMATOR_OPTIONS                                                                                              \
    OPTION("map", KEY_MAP, "MAP",                                                                                      \
           "positive (default), hyperbolic, trig, trig-phase, gaussian, relu or elu (which has no projection)"),       \
        OPTION("features", KEY_FEATURES, "M",                                                                          \
               "Rows of the projection, 1 to 65536 (default 256); hyperbolic, trig and gaussian make 2M features"),    \
        OPTION("projection", KEY_PROJECTION, "KIND",                                                                   \
               "orthogonal (default: Haar blocks, chi norms), orthogonal-pairs (w and -w), simplex, iid or "           \
               "orthogonal-fixed-norm (biased)"),                                                                      \
        OPTION("seed", KEY_SEED, "S", "64 bits (default 0); the same seed gives the same projection everywhere"),      \
        OPTION("projection-out", KEY_PROJECTION_OUT, "FILE",                                                           \
               "Write W as float64 [m, d] or [heads, m, d], and the phases to FILE with .phase.npy for .npy"),         \
        OPTION("projection-in", KEY_PROJECTION_IN, "FILE",                                                             \
               "Read W instead of drawing it, and the phases where their file exists"),                                \
        OPTION("projection-per-head", KEY_PER_HEAD, 0, "An independent W for each K/V head (default: one for all)"),   \
        OPTION("scale", KEY_SCALE, "X", "Softmax scale, finite and > 0 (default 1/sqrt(d))"),                          \
        OPTION("estimator", KEY_ESTIMATOR, "FILE",                                                                     \
               "Use an estimator that `clfavor fit' wrote; its features, projection and seed are the defaults")

#define COMMON_OPTIONS                                                                                                 \
    OPTION("device", KEY_DEVICE, "SEL",                                                                                \
           "P:D as `clfavor devices' lists them, or a part of a name (default: $CLFAVOR_DEVICE, else the first GPU, "  \
           "else the first usable device)"),                                                                           \
        OPTION("json", KEY_JSON, 0, "One JSON object on stdout instead of `key: value' lines"),                        \
        OPTION("help", KEY_HELP, 0, "Show this help"), {                                                               \
        0                                                                                                              \
    }

#define FIT_OPTIONS                                                                                                    \
    OPTION("fit-method", KEY_FIT_METHOD, "NAME",                                                                       \
           "attention (default), or for comparison plain, oprf, shift, diagonal, full or sderf"),                      \
        OPTION("exact-keys", KEY_EXACT_KEYS, "T",                                                                      \
               "Treat the T heaviest keys of each head exactly; they count among the M rows of --features. Default "   \
               "with a fit: half of M, more where there are few keys; none with --causal"),                            \
        OPTION("sample", KEY_SAMPLE, "N",                                                                              \
               "Queries a head to fit with (default 256 to 1024, fewer where keys are many)")

static const struct argp_option run_options[] = {
    OPTION("q", KEY_Q, "FILE", "Queries, .npy [n, d], [H, n, d] or [B, H, n, d]; float32, float16 or float64"),
    OPTION("k", KEY_K, "FILE", "Keys: H may be a divisor of the queries' and n another unless --causal"),
    OPTION("v", KEY_V, "FILE", "Values: as the keys, the last axis may differ"),
    OPTION("out", KEY_OUT, "FILE", "Write O, float32"),
    OPTION("lse", KEY_LSE, "FILE", "Write log |sum_j A_ij|, float32 [.., n]"),
    OPTION("lse-sign", KEY_LSE_SIGN, "FILE", "Write the sign of that sum: +1, 0 or -1"),
    OPTION("causal", KEY_CAUSAL, 0, "Row i sees keys 0 to i only"),
    OPTION("chunk", KEY_CHUNK, "C", "Tokens a chunk (default: chosen)"),
    OPTION("pieces", KEY_PIECES, "P", "Parts that a head is split into (default: chosen)"),
    OPTION("exact", KEY_EXACT, 0, "Exact softmax attention, not random features"),
    OPTION("compare", KEY_COMPARE, 0,
           "Also compute exact attention on evenly spaced query rows and print the relative error |O-E|/|E| "
           "(Frobenius) of each head, the median, and that of answering the mean of the values that a row sees"),
    OPTION("compare-rows", KEY_COMPARE_ROWS, "N|all", "Rows a head for --compare, which it implies (default 4096)"),
    OPTION("repeat", KEY_REPEAT, "R", "One warm-up, then R runs; seconds is their median (default: one cold run)"),
    ESTIMATOR_OPTIONS,
    OPTION("fit", KEY_FIT, 0,
           "Fit the estimator to these q, k and v first: several times less error with the same M. The default of "
           "--projection becomes simplex or orthogonal-pairs, and some of the M rows become exact keys"),
    FIT_OPTIONS,
    OPTION("best-of", KEY_BEST_OF, "N",
           "Draw N projections (seeds S to S + N - 1) and keep for each K/V head the one that errs least on 256 query "
           "rows: 5 to 15 % less error with 4. Not with --causal"),
    OPTION("correct-values", KEY_CORRECT, 0,
           "Correct the values by what the answers to 256 sampled queries lack: about half the error at small M in the "
           "same time, but biased towards those queries; lse stays as it is. Not with --causal"),
    OPTION("target-error", KEY_TARGET_ERROR, "E",
           "With --fit: the smallest M whose predicted error is at most E, or a clear statement that none does"),
    OPTION("allow-future-leak", KEY_ALLOW_LEAK, 0,
           "With --fit and --causal: accept that parameters fitted to the whole sequence tell earlier rows of later "
           "ones"),
    COMMON_OPTIONS};

static const struct argp_option fit_options[] = {
    OPTION("q", KEY_Q, "FILE", "Queries, .npy [n, d], [H, n, d] or [B, H, n, d]; float32, float16 or float64"),
    OPTION("k", KEY_K, "FILE", "Keys: H may be a divisor of the queries', and n another"),
    OPTION("v", KEY_V, "FILE", "Values: as the keys, the last axis may differ; better with them than without"),
    OPTION("out", KEY_OUT, "FILE", "Write the estimator, .npz"),
    OPTION("features", KEY_FEATURES, "M", "Rows that a run with it has by default, exact keys included (default 256)"),
    FIT_OPTIONS,
    OPTION("projection", KEY_PROJECTION, "KIND",
           "That a run with it has by default: simplex (default for up to d rows besides exact keys), "
           "orthogonal-pairs (default for more), orthogonal or iid"),
    OPTION("seed", KEY_SEED, "S", "Of the projection and of the samples (default 0)"),
    OPTION("scale", KEY_SCALE, "X", "Softmax scale, finite and > 0 (default 1/sqrt(d))"),
    OPTION("json", KEY_JSON, 0, "One JSON object on stdout instead of `key: value' lines"),
    OPTION("help", KEY_HELP, 0, "Show this help"),
    {0}};

static const struct argp_option advise_options[] = {
    OPTION("q", KEY_Q, "FILE", "Queries, .npy [n, d], [H, n, d] or [B, H, n, d]; float32, float16 or float64"),
    OPTION("k", KEY_K, "FILE", "Keys: H may be a divisor of the queries', and n another"),
    OPTION("v", KEY_V, "FILE", "Values: as the keys, the last axis may differ"),
    OPTION("sample", KEY_SAMPLE, "N", "Queries a head to fit with (default 256 to 1024, fewer where keys are many)"),
    OPTION("seed", KEY_SEED, "S", "Of the projections and of the samples (default 0)"),
    OPTION("scale", KEY_SCALE, "X", "Softmax scale, finite and > 0 (default 1/sqrt(d))"),
    OPTION("target-error", KEY_TARGET_ERROR, "E", "The error that the advice is to meet (default 0.1)"),
    OPTION("compare-rows", KEY_COMPARE_ROWS, "N|all", "Query rows a head that errors are predicted on (default 64)"),
    OPTION("draws", KEY_REPEAT, "R", "Projections that errors are averaged over (default 3)"),
    OPTION("methods", KEY_METHODS, 0, "Also every other estimator: of the literature, and without exact keys"),
    OPTION("svg", KEY_OUT, "FILE", "Plot the errors against M"),
    COMMON_OPTIONS};

static const struct argp_option features_options[] = {
    OPTION("x", KEY_X, "FILE", "Queries or keys, .npy [n, d], [H, n, d] or [B, H, n, d]"),
    OPTION("out", KEY_OUT, "FILE", "Write the features, float32 [.., n, F]"),
    OPTION("out-scale", KEY_OUT_SCALE, "FILE",
           "Write their log scale: [.., n] for queries; [.., F] for keys, [.., 1] for trig, trig-phase and gaussian "
           "(default: the name of --out with .logscale.npy for .npy)"),
    OPTION("role", KEY_ROLE, "ROLE", "query or key"),
    ESTIMATOR_OPTIONS,
    COMMON_OPTIONS};

static const struct argp_option devices_options[] = {
    OPTION("json", KEY_JSON, 0, "One JSON object instead of text"), OPTION("help", KEY_HELP, 0, "Show this help"), {0}};

static const char run_doc[] =
    "Attention with random features, O_i = sum_j A_ij v_j / sum_j A_ij, or exact softmax attention.\v"
    "Reported: device, class, shape, map, features (M), seconds (from the END of a marker before to the END of a "
    "marker "
    "after, on an in-order profiling queue), wall_seconds (the host's clock around clFinish), tokens_per_second (B n / "
    "seconds, all heads together), relative_error, mean_value_error (the median over heads), workspace_bytes and "
    "build_seconds. A cold run may include work that the OpenCL runtime puts off until then: use --repeat to measure.";
static const char features_doc[] =
    "The feature matrix phi = features * exp(log scale) of queries or keys.\v"
    "With --projection-per-head each head of --x has its own W, as `run' draws them for K/V heads. For queries of more "
    "heads than the keys give the W of `run --projection-out' to --projection-in, with as many sets as K/V heads.";
static const char fit_doc[] =
    "Fits an estimator to queries and keys, for `clfavor run --estimator' on these or on other data.\v"
    "The file holds per K/V head the centres, the transforms and the proposal's width, with a version and a checksum; "
    "numpy.load reads it. Whatever it holds, the estimate of the kernel stays unbiased: a bad fit costs variance only. "
    "Which keys are exact is chosen anew for the data of each run.";
static const char advise_doc[] =
    "Says what to use for these queries, keys and values, and what it will cost and err.\v"
    "Errors |O - E|/|E| are those of the estimate on sampled query rows against their exact rows.";
static const char devices_doc[] = "Every OpenCL platform and device, its capabilities and kernel class, and which one "
                                  "would be chosen and why ($CLFAVOR_DEVICE counts).";

static const char *const map_names[] = {"positive", "hyperbolic", "trig", "trig-phase",
                                        "gaussian", "relu",       "elu",  "exponential"};

const char *options_map_name(clfavor_map map) {
    return map_names[map];
}

/* ------------------------------------------------------------------------------------------------------------ values
 */

static bool read_unsigned(const char *text, uint64_t *number) {
    bool good = *text != '\0';
    *number = 0;
    for (const char *c = text; *c && good; ++c)
        good = *c >= '0' && *c <= '9' && !__builtin_mul_overflow(*number, 10u, number) &&
               !__builtin_add_overflow(*number, (uint64_t)(*c - '0'), number);
    return good;
}

int options_unsigned(const char *name, const char *text, uint64_t low, uint64_t high, uint64_t *value) {
    uint64_t number;
    if (!read_unsigned(text, &number) || number < low || number > high)
        return cli_error(CLI_USAGE, "--%s expects a whole number from %llu to %llu, got '%s'", name,
                         (unsigned long long)low, (unsigned long long)high, text);
    *value = number;
    return CLI_OK;
}

int options_u32(const char *name, const char *text, uint32_t high, uint32_t *value) {
    uint64_t number = 0;
    int status = options_unsigned(name, text, 1, high, &number);
    *value = (uint32_t)number;
    return status;
}

static int parse_rows(const char *text, uint64_t *rows) {
    *rows = UINT64_MAX;
    if (strcmp(text, "all") == 0 || (read_unsigned(text, rows) && *rows > 0))
        return CLI_OK;
    return cli_error(CLI_USAGE, "--compare-rows expects a whole number above 0, or all, got '%s'", text);
}

static int parse_positive(const char *name, const char *text, double *value) {
    char *end;
    *value = strtod(text, &end);
    bool blank = *text == ' ' || (*text >= '\t' && *text <= '\r'); /* which strtod skips */
    if (end == text || *end || blank || !(*value > 0) || *value > (double)FLT_MAX)
        return cli_error(CLI_USAGE, "--%s expects a finite number above 0, at most %g (float32), got '%s'", name,
                         (double)FLT_MAX, text);
    return CLI_OK;
}

int options_name(const char *name, const char *text, const char *expected, const char *const *names, int count) {
    for (int i = 0; i < count; ++i)
        if (strcmp(text, names[i]) == 0)
            return i;
    cli_error(CLI_USAGE, "--%s expects %s, got '%s'", name, expected, text);
    return -1;
}

int options_map(const char *text, clfavor_map *map) {
    int found =
        options_name("map", text, "positive, hyperbolic, trig, trig-phase, gaussian, relu or elu", map_names, 7);
    *map = (clfavor_map)found;
    return found < 0 ? CLI_USAGE : CLI_OK;
}

int options_class(const char *text, clfavor_device_class *device_class) {
    static const char *const classes[] = {"auto", "cpu", "gpu"};
    int found = options_name("class", text, "cpu, gpu or auto", classes, 3);
    *device_class = (clfavor_device_class)found;
    return found < 0 ? CLI_USAGE : CLI_OK;
}

static int parse_choice(options *o, int key, const char *text) {
    static const char *const names[] = {"orthogonal", "orthogonal-pairs", "simplex", "iid", "orthogonal-fixed-norm"};
    static const clfavor_projection_kind kinds[] = {CLFAVOR_PROJECTION_ORTHOGONAL, CLFAVOR_PROJECTION_ORTHOGONAL_PAIRS,
                                                    CLFAVOR_PROJECTION_SIMPLEX, CLFAVOR_PROJECTION_IID,
                                                    CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM};
    static const char *const roles[] = {"query", "key"};
    int found;
    if (key == KEY_MAP) {
        o->map_given = true;
        return options_map(text, &o->map);
    }
    if (key == KEY_PROJECTION) {
        found = options_name("projection", text, "orthogonal, orthogonal-pairs, simplex, iid or orthogonal-fixed-norm",
                             names, 5);
        o->projection = found < 0 ? CLFAVOR_PROJECTION_ORTHOGONAL : kinds[found];
        o->projection_given = true;
    } else {
        found = options_name("role", text, "query or key", roles, 2);
        o->role = found == 0 ? ROLE_QUERY : ROLE_KEY;
    }
    return found < 0 ? CLI_USAGE : CLI_OK;
}

/* ------------------------------------------------------------------------------------------------------------ parser
 */

static const struct argp_option *table(subcommand command) {
    static const struct argp_option *const tables[] = {run_options, features_options, devices_options, fit_options,
                                                       advise_options};
    return tables[command];
}

static const char *const names[] = {"run", "features", "devices", "fit", "advise"};

static int refuse_word(const char *command, const struct argp_option *entry, const struct argp_state *state) {
    const char *word = state->next > 0 ? state->argv[state->next - 1] : "";
    const char *name = word + strspn(word, "-");
    size_t length = strcspn(name, "=");
    for (; entry->name; ++entry)
        if (strlen(entry->name) == length && memcmp(entry->name, name, length) == 0)
            return cli_error(CLI_USAGE, entry->arg ? "%s: --%s expects a value, got none" : "%s: --%s takes no value",
                             command, entry->name);
    return cli_error(CLI_USAGE, "%s: unknown option '%s'; see `clfavor %s --help`", command, word, command);
}

static int parse_text(const options *o, int key, const char *text) {
    const struct argp_option *entry = table(o->command);
    while (entry->key != key)
        ++entry;
    return *text ? CLI_OK
                 : cli_error(CLI_USAGE, "%s: --%s expects a name, got an empty one", names[o->command], entry->name);
}

static int take_option(void *arguments, int key, char *arg, struct argp_state *state) {
    options *o = arguments;
    switch (key) {
#define TEXT(KEY, field)                                                                                               \
    case KEY:                                                                                                          \
        o->field = arg;                                                                                                \
        return parse_text(o, key, arg)
        TEXT(KEY_Q, q);
        TEXT(KEY_K, k);
        TEXT(KEY_V, v);
        TEXT(KEY_X, x);
        TEXT(KEY_OUT, out);
        TEXT(KEY_OUT_SCALE, out_scale);
        TEXT(KEY_LSE, lse);
        TEXT(KEY_LSE_SIGN, lse_sign);
        TEXT(KEY_PROJECTION_IN, projection_in);
        TEXT(KEY_PROJECTION_OUT, projection_out);
        TEXT(KEY_DEVICE, device);
        TEXT(KEY_ESTIMATOR, estimator);
#undef TEXT
    case KEY_MAP:
    case KEY_PROJECTION:
    case KEY_ROLE:
        return parse_choice(o, key, arg);
    case KEY_FEATURES:
        return options_u32("features", arg, CLFAVOR_MAX_FEATURES, &o->features);
    case KEY_SEED:
        o->seed_given = true;
        return options_unsigned("seed", arg, 0, UINT64_MAX, &o->seed);
    case KEY_SCALE:
        return parse_positive("scale", arg, &o->scale);
    case KEY_TARGET_ERROR:
        return parse_positive("target-error", arg, &o->target_error);
    case KEY_EXACT_KEYS: {
        uint64_t count = 0;
        int status = options_unsigned("exact-keys", arg, 0, CLFAVOR_MAX_FEATURES, &count);
        o->exact_keys = (uint32_t)count;
        o->exact_keys_given = true;
        return status;
    }
    case KEY_SAMPLE:
        return options_u32("sample", arg, 1u << 20, &o->sample);
    case KEY_FIT_METHOD: {
        int found = options_name("fit-method", arg, "attention, plain, oprf, shift, diagonal, full or sderf",
                                 fitting_methods, 7);
        o->fit_method = (clfavor_fit_method)found;
        return found < 0 ? CLI_USAGE : CLI_OK;
    }
    case KEY_FIT:
        o->fit = true;
        return CLI_OK;
    case KEY_ALLOW_LEAK:
        o->allow_leak = true;
        return CLI_OK;
    case KEY_BEST_OF:
        return options_u32("best-of", arg, 64, &o->best_of);
    case KEY_CORRECT:
        o->correct = true;
        return CLI_OK;
    case KEY_METHODS:
        o->methods = true;
        return CLI_OK;
    case KEY_CHUNK:
        return options_u32("chunk", arg, UINT32_MAX, &o->chunk);
    case KEY_PIECES:
        return options_u32("pieces", arg, UINT32_MAX, &o->pieces);
    case KEY_REPEAT:
        return options_u32(o->command == COMMAND_ADVISE ? "draws" : "repeat", arg, 1000000, &o->repeat);
    case KEY_COMPARE_ROWS:
        o->compare = true;
        return parse_rows(arg, &o->compare_rows);
    case KEY_PER_HEAD:
        o->projection_per_head = true;
        return CLI_OK;
    case KEY_CAUSAL:
        o->causal = true;
        return CLI_OK;
    case KEY_EXACT:
        o->exact = true;
        return CLI_OK;
    case KEY_COMPARE:
        o->compare = true;
        return CLI_OK;
    case KEY_JSON:
        o->json = true;
        return CLI_OK;
    case KEY_HELP:
        return options_help(state);
    default: /* ARGP_KEY_ARG */
        return cli_error(CLI_USAGE, "%s: unexpected argument '%s'; see `clfavor %s --help`", names[o->command], arg,
                         names[o->command]);
    }
}

static int require(const char *who, const char *name, const char *value) {
    return value ? CLI_OK : cli_error(CLI_USAGE, "%s needs --%s; see `clfavor %s --help`", who, name, who);
}

/* What goes with --fit, --estimator and --exact-keys. */
static int check_fit(const options *o) {
    const char *what = o->fit ? "--fit" : o->estimator ? "--estimator" : "--exact-keys";
    if (o->fit && o->estimator)
        return cli_error(CLI_USAGE, "--fit and --estimator contradict each other; leave one of them out");
    if (!o->fit && (o->target_error != 0 || o->sample || o->allow_leak || o->fit_method))
        return cli_error(CLI_USAGE, "%s belongs to --fit; give that too",
                         o->target_error != 0 ? "--target-error"
                         : o->allow_leak      ? "--allow-future-leak"
                         : o->sample          ? "--sample"
                                              : "--fit-method");
    if (o->exact && (o->fit || o->estimator || o->exact_keys))
        return cli_error(CLI_USAGE, "%s does not go with --exact, which estimates nothing; leave one of them out",
                         what);
    if ((o->fit || o->estimator) && o->map_given && o->map != CLFAVOR_MAP_POSITIVE)
        return cli_error(CLI_USAGE, "%s makes positive features of its own; leave --map out", what);
    if (o->best_of && (o->causal || o->exact || o->projection_in || o->map == CLFAVOR_MAP_ELU))
        return cli_error(CLI_USAGE,
                         "--best-of chooses projections by queries of the whole sequence: it does not go with "
                         "--causal, --exact, --projection-in or --map elu; leave one of them out");
    if (o->correct && (o->causal || o->exact))
        return cli_error(CLI_USAGE, o->causal ? "--correct-values does not go with --causal: the corrections depend on "
                                                "later queries; leave one of them out"
                                              : "--correct-values does not go with --exact, which lacks nothing; leave "
                                                "one of them out");
    if (o->correct && o->map != CLFAVOR_MAP_POSITIVE && o->map != CLFAVOR_MAP_HYPERBOLIC)
        return cli_error(CLI_USAGE,
                         "--correct-values goes with --map positive or hyperbolic, with --fit and --estimator");
    if (o->exact_keys && o->map != CLFAVOR_MAP_POSITIVE && o->map != CLFAVOR_MAP_HYPERBOLIC)
        return cli_error(CLI_USAGE, "--exact-keys goes with --map positive or hyperbolic, with --fit and --estimator");
    if (o->fit && o->causal && !o->allow_leak)
        return cli_error(CLI_USAGE, "--fit with --causal would tell earlier rows of later ones through the parameters: "
                                    "fit other data with `clfavor fit' and give --estimator, or say "
                                    "--allow-future-leak");
    if (o->target_error != 0 && (o->features || o->exact_keys_given || o->projection_in))
        return cli_error(CLI_USAGE, "--target-error chooses M and the exact keys; leave --features, --exact-keys and "
                                    "--projection-in out");
    return CLI_OK;
}

static int check(const options *o) {
    int status = CLI_OK;
    if (o->command == COMMAND_RUN) {
        (void)((status = require("run", "q", o->q)) || (status = require("run", "k", o->k)) ||
               (status = require("run", "v", o->v)) || (status = check_fit(o)));
    } else if (o->command == COMMAND_FIT) {
        (void)((status = require("fit", "q", o->q)) || (status = require("fit", "k", o->k)) ||
               (status = require("fit", "out", o->out)));
    } else if (o->command == COMMAND_ADVISE) {
        (void)((status = require("advise", "q", o->q)) || (status = require("advise", "k", o->k)) ||
               (status = require("advise", "v", o->v)));
    } else if (o->command == COMMAND_FEATURES) {
        (void)((status = require("features", "x", o->x)) || (status = require("features", "out", o->out)) ||
               (status = require("features", "role", o->role ? "" : NULL)));
    }
    if (status)
        return status;
    if ((o->fit || o->estimator || o->command == COMMAND_FIT) &&
        o->projection == CLFAVOR_PROJECTION_ORTHOGONAL_FIXED_NORM)
        return cli_error(CLI_USAGE,
                         "%s needs rows of normal length, which orthogonal-fixed-norm has not; give another "
                         "--projection",
                         o->fit         ? "--fit"
                         : o->estimator ? "--estimator"
                                        : "fit");
    if ((o->exact || o->map == CLFAVOR_MAP_ELU) && (o->projection_in || o->projection_out || o->projection_per_head))
        return cli_error(CLI_USAGE, "%s has no projection; leave --projection-in, -out and -per-head out",
                         o->exact ? "--exact" : "--map elu");
    return CLI_OK;
}

int options_help(const struct argp_state *state) {
    argp_help(state->root_argp, stdout, ARGP_HELP_LONG | ARGP_HELP_USAGE | ARGP_HELP_DOC, state->name);
    return cli_flush() ? CLI_FAILED : OPTIONS_EXIT;
}

/* What argp hands from call to call. */
typedef struct reading {
    const options_parser *parser;
    void *arguments;
    int status;
} reading;

static error_t parse_key(int key, char *text, struct argp_state *state) {
    reading *r = state->input;
    const options_parser *parser = r->parser;
    if (key == ARGP_KEY_ERROR) {
        if (r->status == CLI_OK)
            r->status = refuse_word(parser->command, parser->table, state);
        return 0;
    }
    if (key > parser->last_key) /* the others that argp calls with */
        return ARGP_ERR_UNKNOWN;
    r->status = parser->take(r->arguments, key, text, state);
    return r->status == CLI_OK ? 0 : EINVAL;
}

int options_read(const options_parser *parser, int argc, char **argv, void *arguments) {
    const struct argp argp = {parser->table, parse_key, NULL, parser->doc, NULL, NULL, NULL};
    reading r = {parser, arguments, CLI_OK};
    char name[32] = "clfavor ";
    strncat(name, parser->command, sizeof name - 9);
    argv[0] = name;
    error_t error =
        argp_parse(&argp, argc, argv, ARGP_NO_ERRS | ARGP_NO_HELP | ARGP_NO_EXIT | ARGP_LONG_ONLY, NULL, &r);
    argv[0] = NULL;
    if (r.status == CLI_OK && error)
        return cli_error(CLI_FAILED, "the command line cannot be read: %s", strerror(error));
    return r.status;
}

int options_parse(options *o, subcommand command, int argc, char **argv) {
    static const char *const docs[] = {run_doc, features_doc, devices_doc, fit_doc, advise_doc};
    *o = (options){.command = command, .compare_rows = command == COMMAND_ADVISE ? 0 : 4096};
    const options_parser parser = {names[command], docs[command], table(command), KEY_HELP, take_option};
    int status = options_read(&parser, argc, argv, o);
    return status ? status : check(o);
}
