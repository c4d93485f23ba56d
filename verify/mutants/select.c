#include "mutants.h"

#include <stdlib.h>
#include <string.h>

int clfavor_mutant;

bool clfavor_mutant_select(const char *name) {
    clfavor_mutant = 0;
    if (strcmp(name, "none") == 0)
        return true;
    for (size_t i = 1; i < clfavor_mutants_count; ++i)
        if (strcmp(clfavor_mutants[i].name, name) == 0)
            clfavor_mutant = (int)i;
    return clfavor_mutant != 0;
}

void clfavor_mutate_kernel(char **text, size_t *size) {
    const clfavor_mutant_entry *mutant = &clfavor_mutants[clfavor_mutant];
    if (!*text || !*mutant->from)
        return;
    char *at = strstr(*text, mutant->from); /* files that do not include the mutant's are left alone */
    if (!at)
        return;
    size_t before = (size_t)(at - *text), old = strlen(mutant->from), added = strlen(mutant->to);
    char *result = malloc(*size - old + added + 1);
    if (!result)
        return; /* the mutant then survives, and is reported */
    memcpy(result, *text, before);
    memcpy(result + before, mutant->to, added);
    memcpy(result + before + added, at + old, *size - before - old + 1);
    free(*text);
    *text = result;
    *size = *size - old + added;
}
