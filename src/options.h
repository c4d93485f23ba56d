/* The one place that writes -D strings. Integers and hex float bits only, so that no locale can change them. */
#ifndef CLFAVOR_OPTIONS_H
#define CLFAVOR_OPTIONS_H

#include "common.h"

typedef struct clfavor_options {
    char text[1024];
    size_t used;
    bool overflow;
} clfavor_options;

void clfavor_options_init(clfavor_options *options);
/* -D name=value; refusing to define a name twice is a programming error that sets overflow. */
void clfavor_option(clfavor_options *options, const char *name, uint64_t value);
/* name=value: an option of a vendor's compiler. */
void clfavor_compiler_option(clfavor_options *options, const char *name, uint64_t value);

#endif
