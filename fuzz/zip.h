/* Archives that were changed, made whole again. */
#ifndef FUZZ_ZIP_H
#define FUZZ_ZIP_H

#include <stddef.h>
#include <stdint.h>

/* Writes the CRC of what they hold now into all stored entries, here and in the directory. */
void fuzz_zip_mend(uint8_t *bytes, size_t size);
/* The end of the data of the entry that lies last, 0 if there is no such entry that is stored. */
size_t fuzz_zip_last(const uint8_t *bytes, size_t size);

#endif
