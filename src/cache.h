/* Built programs in a folder, so that another process need not compile them again. */
#ifndef CLFAVOR_CACHE_H
#define CLFAVOR_CACHE_H

#include "context.h"

/* What a program depends on: its source, options, device, driver, platform and the format of entries. */
typedef struct clfavor_cache_identity {
    char *text; /* all of it but the source, of which it has a hash; NULL: this context has no cache */
    size_t size;
    char name[33]; /* of the entry */
} clfavor_cache_identity;

/* Takes the folder and the bound of the desc into the context. The cache stays off where the runtime has its own. */
clfavor_status clfavor_cache_open(clfavor_context *context, const clfavor_context_desc *desc);
void clfavor_cache_close(clfavor_context *context);

/* identity->text is for free(). Without a cache, or where memory is short: NULL. */
void clfavor_cache_identify(const clfavor_context *context, const char *source, size_t size, const char *options,
                            clfavor_cache_identity *identity);
/* The program, built; NULL if there is no entry, or one that can't be trusted or is not taken by the driver. */
cl_program clfavor_cache_load(const clfavor_context *context, const clfavor_cache_identity *identity,
                              const char *options);
/* A failure costs nothing but the entry, is told in the log, and is the last attempt. Under the context's lock. */
void clfavor_cache_store(clfavor_context *context, const clfavor_cache_identity *identity, cl_program program);
/* The part of it that writes. */
bool clfavor_cache_write(clfavor_context *context, const clfavor_cache_identity *identity, const void *binary,
                         size_t binary_size);

/* --- entries in memory --- */

typedef struct clfavor_cache_view {
    const char *identity;
    const unsigned char *binary;
    size_t identity_size, binary_size;
} clfavor_cache_view;

/* Whether the bytes are a whole entry; where its parts lie. */
bool clfavor_cache_parse(const unsigned char *bytes, size_t size, clfavor_cache_view *view);
/* All of an entry, for free(); NULL where memory is short. */
unsigned char *clfavor_cache_entry(const clfavor_cache_identity *identity, const void *binary, size_t binary_size,
                                   size_t *size);

#endif
