/* What the command line asks for, checked as far as it can be without opening a file. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

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

#endif
