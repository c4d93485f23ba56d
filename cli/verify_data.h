/* `clfavor verify --q F --k F [--v F]`: what random features do for a user's own data. */
#ifndef CLI_VERIFY_DATA_H
#define CLI_VERIFY_DATA_H

#include "inputs.h"
#include "own_data.h"
#include "verify_options.h"

/* Does all of it, opening the device too. Returns an exit code; errors were printed. */
int verify_data(const verify_arguments *a);

/* --- verify_data_report.c --- */

typedef struct verify_data_report {
    const verify_arguments *arguments;
    const session *session;
    const run_shape *shape;
    const verify_own_result *result;
    double wall_seconds;
} verify_data_report;

/* The table and the sentences on stdout. Returns CLI_OK or an error that was printed. */
int verify_data_print(const verify_data_report *report);
/* The same as JSON text, which the caller frees; NULL when memory is exhausted. */
char *verify_data_json(const verify_data_report *report);

#endif
