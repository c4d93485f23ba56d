/* What the command line asks for, checked as far as it can be without opening a file. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include <argp.h>
#include <stdbool.h>
#include <stdint.h>

#include <clfavor/clfavor.h>

typedef enum subcommand { COMMAND_RUN, COMMAND_FEATURES, COMMAND_DEVICES } subcommand;

typedef enum role { ROLE_NONE, ROLE_QUERY, ROLE_KEY } role;

#define OPTIONS_EXIT (-1) /* --help was answered: nothing is left to do */

typedef struct options {
    subcommand command;
    int status; /* CLI_OK, an exit code or OPTIONS_EXIT */
    const char *q, *k, *v, *x;
    const char *out, *out_scale, *lse, *lse_sign;
    const char *projection_in, *projection_out;
    const char *device;
    role role;
    clfavor_map map;
    clfavor_projection_kind projection;
    uint32_t features;              /* M; 0: not given */
    uint32_t chunk, pieces, repeat; /* 0: not given */
    uint64_t seed, compare_rows;
    double scale; /* 0: not given */
    bool map_given, projection_given, seed_given, projection_per_head;
    bool causal, exact, compare, json;
} options;

#define OPTIONS_DEFAULT_FEATURES 256u

/* argv[0] is the subcommand's name. Answers --help on stdout; says on stderr what is wrong. Returns status. */
int options_parse(options *o, subcommand command, int argc, char **argv);

const char *options_map_name(clfavor_map map);

/* --- for subcommands with a parser of their own --- */

/* Runs argp; *status is what the parser leaves behind, CLI_OK at first. Returns it, or an error that was printed. */
int options_argp(const struct argp *argp, const char *command, int argc, char **argv, void *input, const int *status);
/* For ARGP_KEY_ERROR: the word before state->next is unknown, ambiguous, lacks its value or has one too many. */
int options_refuse_word(const char *command, const struct argp_option *entry, const struct argp_state *state);
int options_help(const struct argp_state *state);
/* Reads a whole number; says what was expected. */
int options_unsigned(const char *name, const char *text, uint64_t low, uint64_t high, uint64_t *value);
/* The same from 1 to high. */
int options_u32(const char *name, const char *text, uint32_t high, uint32_t *value);
int options_map(const char *text, clfavor_map *map);
int options_class(const char *text, clfavor_device_class *device_class);
/* The index of text in names, or -1 after saying what was expected. */
int options_name(const char *name, const char *text, const char *expected, const char *const *names, int count);

#endif
