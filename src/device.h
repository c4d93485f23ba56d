/* What a device is called, and what its compiler can be asked for. */
#ifndef CLFAVOR_DEVICE_H
#define CLFAVOR_DEVICE_H

#include "context.h"

/* Whether `part` is in `text`, whatever the case. */
bool clfavor_contains(const char *text, const char *part);

/* Fills in the context's vendor, name and architecture. */
clfavor_status clfavor_device_names(clfavor_context *context);

/* And sub_group and limits_registers. */
void clfavor_device_compiler(clfavor_context *context);

#endif
