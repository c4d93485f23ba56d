/* Deliberate bugs: trying them all, and, in the variant that has them, switching one on. */
#ifndef CLI_VERIFY_MUTANTS_H
#define CLI_VERIFY_MUTANTS_H

#include "verify_options.h"

/* Adds what the mutants came to to the result. Returns CLI_OK or an error that was printed. */
int verify_mutants_run(const verify_arguments *a, verify_result *result);

/* name: of --mutant, or NULL. "list" prints them all and returns OPTIONS_EXIT. In the program without bugs name is NULL
 * and nothing is done. */
int verify_mutants_select(const char *name);

#endif
