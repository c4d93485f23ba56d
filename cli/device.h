/* The OpenCL devices of the machine, and which one a selector means. */
#ifndef CLI_DEVICE_H
#define CLI_DEVICE_H

#include <stdbool.h>
#include <stddef.h>

#include <clfavor/clfavor.h>

#define DEVICE_TEXT 256

typedef struct device_entry {
    cl_platform_id platform;
    cl_device_id id;
    unsigned platform_index, device_index; /* P:D */
    cl_device_type type;
    char name[DEVICE_TEXT], platform_name[DEVICE_TEXT], version[DEVICE_TEXT];
    char problem[DEVICE_TEXT]; /* why it cannot be used; "" if it can */
} device_entry;

/* All devices of all platforms, at least one; free(*out). Returns CLI_OK or an error that was printed. */
int device_list(device_entry **out, size_t *count);

/* The index of the device that selector (NULL: $CLFAVOR_DEVICE, else the default) means, and why, for a person.
 * Returns CLI_OK or an error that was printed. */
int device_choose(const device_entry *devices, size_t count, const char *selector, size_t *chosen,
                  char why[DEVICE_TEXT]);

#endif
