/* The one place that writes -D strings. */
#include "options.h"

#include <inttypes.h>
#include <stdio.h>

void clfavor_options_init(clfavor_options *options) {
    memset(options, 0, sizeof *options);
}

static void append(clfavor_options *options, const char *define, const char *name, uint64_t value) {
    char prefix[64], text[96];
    int prefix_size = snprintf(prefix, sizeof prefix, "%s%s=", define, name);
    int size = snprintf(text, sizeof text, "%s%" PRIu64 " ", prefix, value);
    if (prefix_size < 0 || (size_t)prefix_size >= sizeof prefix || size < 0 ||
        options->used + (size_t)size >= sizeof options->text || strstr(options->text, prefix)) {
        options->overflow = true;
        return;
    }
    memcpy(options->text + options->used, text, (size_t)size + 1);
    options->used += (size_t)size;
}

void clfavor_option(clfavor_options *options, const char *name, uint64_t value) {
    append(options, "-D", name, value);
}

void clfavor_compiler_option(clfavor_options *options, const char *name, uint64_t value) {
    append(options, "", name, value);
}
