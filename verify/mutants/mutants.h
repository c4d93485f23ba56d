/* The variant's own: which bug is on. Entry 0 is the hook; clfavor_mutant 0 means none. */
#ifndef VERIFY_MUTANTS_H
#define VERIFY_MUTANTS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct clfavor_mutant_entry {
    const char *name, *suite, *class_name, *file, *text;
    const char *from, *to; /* of kernels; "" otherwise */
} clfavor_mutant_entry;

extern const clfavor_mutant_entry clfavor_mutants[];
extern const size_t clfavor_mutants_count;
extern int clfavor_mutant;

/* "none" switches all off. false: there is no such mutant. */
bool clfavor_mutant_select(const char *name);
/* For kernel_load.c's hook: replaces the text of the bug that is on in an assembled kernel. */
void clfavor_mutate_kernel(char **text, size_t *size);

#endif
