/* What there is to know of a device, for people and reports. */
#ifndef CLI_DEVICE_INFO_H
#define CLI_DEVICE_INFO_H

#include "session.h"
#include "tuning_file.h"

/* Everything that the driver and, where it is usable, the library say. */
json_t *device_describe(const device_entry *device, const session_request *request);

const char *device_class_name(clfavor_device_class device_class);
/* A row in one line. */
json_t *device_row(const clfavor_tuning *row);

#endif
