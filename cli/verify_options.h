/* What the command line of `clfavor verify` asks for. */
#ifndef CLI_VERIFY_OPTIONS_H
#define CLI_VERIFY_OPTIONS_H

#include "options.h"
#include "verify.h"

typedef struct verify_arguments {
    verify_level level;
    uint64_t seed;
    double alpha;
    const char **selection, **resume; /* suites; files of records */
    size_t selection_count, resume_count;
    uint32_t shard, shards; /* shards 0: not given */
    uint32_t workers, calibrate;
    const char *junit, *json, *report;
    const char *q, *k, *v; /* a user's own data */
    const char *device, *tuning;
    clfavor_device_class device_class;
    bool level_given, seed_given, seed_random, list, mutants, causal;
    const char *mutant; /* the variant only: one mutant, by name */
} verify_arguments;

/* As options_parse; free with verify_arguments_free in any case. */
int verify_arguments_parse(verify_arguments *a, int argc, char **argv);
void verify_arguments_free(verify_arguments *a);

#endif
