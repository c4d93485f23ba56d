/* What there is to know of a device, for people and reports. */
#ifndef CLI_DEVICE_INFO_H
#define CLI_DEVICE_INFO_H

#include <jansson.h>

#include "session.h"

/* Everything that the driver and, where it can be opened, the library say; *opened: what became of that. */
json_t *device_describe(const device_entry *device, const session_request *request, int *opened);

const char *device_class_name(clfavor_device_class device_class);
/* A row in one line. */
json_t *device_row(const clfavor_tuning *row);

#endif
