#include "options.h"

#include <argp.h>
#include <errno.h>
#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fitting.h"
#include "message.h"
#include "options_table.h"

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

int options_backend(const char *text, clfavor_backend *backend) {
    static const char *const backends[] = {"auto", "fused", "staged", "clblast"};
    int found = options_name("backend", text, "fused, staged, clblast or auto", backends, 4);
    *backend = (clfavor_backend)found;
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
    const struct argp_option *entry = options_texts[o->command].table;
    while (entry->key != key)
        ++entry;
    return *text ? CLI_OK
                 : cli_error(CLI_USAGE, "%s: --%s expects a name, got an empty one", options_texts[o->command].name,
                             entry->name);
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
        TEXT(KEY_TUNING, tuning);
        TEXT(KEY_ESTIMATOR, estimator);
#undef TEXT
    case KEY_MAP:
    case KEY_PROJECTION:
    case KEY_ROLE:
        return parse_choice(o, key, arg);
    case KEY_FEATURES:
        return options_u32("features", arg, CLFAVOR_MAX_FEATURES, &o->features);
    case KEY_CLASS:
        return options_class(arg, &o->device_class);
    case KEY_BACKEND:
        return options_backend(arg, &o->backend);
    case KEY_SEED:
        o->seed_given = true;
        return options_unsigned("seed", arg, 0, UINT64_MAX, &o->seed);
    case KEY_SCALE:
        return parse_positive("scale", arg, &o->scale);
    case KEY_TARGET_ERROR:
        return parse_positive("target-error", arg, &o->target_error);
    case KEY_EXACT_KEYS: {
        uint64_t count = 0;
        o->exact_auto = o->command == COMMAND_RUN && strcmp(arg, "auto") == 0;
        int status = o->exact_auto ? CLI_OK : options_unsigned("exact-keys", arg, 0, CLFAVOR_MAX_FEATURES, &count);
        o->exact_keys = (uint32_t)count;
        o->exact_keys_given = !o->exact_auto;
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
        return cli_error(CLI_USAGE, "%s: unexpected argument '%s'; see `clfavor %s --help`",
                         options_texts[o->command].name, arg, options_texts[o->command].name);
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
    if ((o->exact_keys || o->exact_auto) && o->map != CLFAVOR_MAP_POSITIVE && o->map != CLFAVOR_MAP_HYPERBOLIC)
        return cli_error(CLI_USAGE, "--exact-keys goes with --map positive or hyperbolic, with --fit and --estimator");
    if (o->fit && o->causal && !o->allow_leak)
        return cli_error(CLI_USAGE, "--fit with --causal would tell earlier rows of later ones through the parameters: "
                                    "fit other data with `clfavor fit' and give --estimator, or say "
                                    "--allow-future-leak");
    if (o->exact_auto && (o->causal || o->exact || o->projection_in || o->target_error != 0))
        return cli_error(CLI_USAGE, "--exact-keys auto does not go with --causal, --exact, --projection-in or "
                                    "--target-error; leave one of them out");
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
    *o = (options){.command = command, .compare_rows = command == COMMAND_ADVISE ? 0 : 4096};
    const options_text *text = &options_texts[command];
    const options_parser parser = {text->name, text->doc, text->table, KEY_HELP, take_option};
    int status = options_read(&parser, argc, argv, o);
    return status ? status : check(o);
}
