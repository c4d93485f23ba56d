/* What the command line asks for, checked as far as it can be without opening a file. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include <clfavor/clfavor.h>

typedef enum subcommand { COMMAND_RUN, COMMAND_FEATURES, COMMAND_DEVICES, COMMAND_FIT, COMMAND_ADVISE } subcommand;

typedef enum role { ROLE_NONE, ROLE_QUERY, ROLE_KEY } role;

#define OPTIONS_EXIT (-1) /* --help was answered: nothing is left to do */

typedef struct options {
    subcommand command;
    const char *q, *k, *v, *x;
    const char *out, *out_scale, *lse, *lse_sign;
    const char *projection_in, *projection_out;
    const char *estimator;
    const char *device, *tuning;
    clfavor_device_class device_class;
    clfavor_backend backend;
    role role;
    clfavor_map map;
    clfavor_projection_kind projection;
    uint32_t features;              /* M; 0: not given */
    uint32_t chunk, pieces, repeat; /* 0: not given */
    uint64_t seed, compare_rows;
    double scale;                /* 0: not given */
    uint32_t exact_keys, sample; /* T; queries that a fit samples, 0: not given */
    uint32_t best_of;            /* draws to choose from; 0: not given */
    clfavor_fit_method fit_method;
    double target_error; /* 0: not given */
    bool map_given, projection_given, seed_given, projection_per_head;
    bool fit, exact_keys_given, exact_auto, allow_leak, methods, correct;
    bool causal, exact, compare, json;
} options;

#define OPTIONS_DEFAULT_FEATURES 256u

/* argv[0] is the subcommand's name. Answers --help on stdout; says on stderr what is wrong. Returns CLI_OK, an exit
 * code or OPTIONS_EXIT. */
int options_parse(options *o, subcommand command, int argc, char **argv);

const char *options_map_name(clfavor_map map);

/* --- for tables of options --- */

#define OPTION(name, key, arg, text)                                                                                   \
    { name, key, arg, 0, text, 0 }
#define OPTIONS_DEVICE                                                                                                 \
    "P:D as `clfavor devices' lists them, or a part of a name (default: $CLFAVOR_DEVICE, else the first GPU, "         \
    "else the first usable device)"
#define OPTIONS_TUNING "Tuning rows that `clfavor tune' wrote (default: $CLFAVOR_TUNING)"

/* --- for subcommands with a parser of their own --- */

typedef struct options_parser {
    const char *command, *doc;
    const struct argp_option *table;
    int last_key; /* of the table's; keys start at 256 */
    /* Takes one of these keys or a word that is no option. Returns CLI_OK, or the status to stop with. */
    int (*take)(void *arguments, int key, char *text, struct argp_state *state);
} options_parser;

/* Has the parser take everything. Returns the status of the first thing that was not CLI_OK; errors were printed. */
int options_read(const options_parser *parser, int argc, char **argv, void *arguments);
int options_help(const struct argp_state *state);
/* Reads a whole number; says what was expected. */
int options_unsigned(const char *name, const char *text, uint64_t low, uint64_t high, uint64_t *value);
/* The same from 1 to high. */
int options_u32(const char *name, const char *text, uint32_t high, uint32_t *value);
int options_map(const char *text, clfavor_map *map);
int options_backend(const char *text, clfavor_backend *backend);
int options_class(const char *text, clfavor_device_class *device_class);
/* The index of text in names, or -1 after saying what was expected. */
int options_name(const char *name, const char *text, const char *expected, const char *const *names, int count);

#endif
