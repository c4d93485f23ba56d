#include "verify_mutants.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "message.h"
#include "progress.h"
#ifdef CLFAVOR_MUTANTS
#include "mutants.h"
#endif

/* The variant lies beside this program. */
int verify_mutants_run(const verify_arguments *a, verify_result *result) {
    static const char name[] = "clfavor-mutants";
    char path[4096], error[512] = "";
    ssize_t length = readlink("/proc/self/exe", path, sizeof path - sizeof name);
    path[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(path, '/');
    strcpy(slash ? slash + 1 : path, name);
    if (access(path, X_OK) != 0)
        return cli_error(CLI_FAILED,
                         "the variant with deliberate bugs, '%s', is not there; build it with "
                         "`cmake --build build --target clfavor_mutants`, it is never installed",
                         path);
    if (a->tuning && setenv("CLFAVOR_TUNING", a->tuning, 1) != 0) /* for the variant */
        return cli_error(CLI_FAILED, "host memory is exhausted");
    progress p;
    verify_mutants_options mutants = {.program = path,
                                      .device = a->device,
                                      .level = a->level,
                                      .seed = result->seed,
                                      .alpha = result->alpha,
                                      .selection = a->selection,
                                      .selection_count = a->selection_count,
                                      .progress = progress_share,
                                      .user = &p};
    progress_start(&p, "trying deliberate bugs", "parts", PROGRESS_PARTS);
    bool good = verify_run_mutants(&mutants, result, error);
    progress_stop(&p);
    return good ? CLI_OK : cli_error(CLI_FAILED, "%s", error[0] ? error : "host memory is exhausted");
}

#ifdef CLFAVOR_MUTANTS
static int list(void) {
    for (size_t i = 1; i < clfavor_mutants_count; ++i) {
        const clfavor_mutant_entry *m = &clfavor_mutants[i];
        printf("%s\t%s\t%s\t%s\t%s\n", m->name, m->suite, m->class_name, m->file, m->text);
    }
    return cli_flush() ? CLI_FAILED : OPTIONS_EXIT;
}

int verify_mutants_select(const char *name) {
    if (name && strcmp(name, "list") == 0)
        return list();
    if (clfavor_mutant_select(name ? name : "none"))
        return CLI_OK;
    return cli_error(CLI_USAGE, "--mutant expects list, none or a mutant's name, got '%s'", name);
}
#else
int verify_mutants_select(const char *name) {
    (void)name;
    return CLI_OK;
}
#endif
