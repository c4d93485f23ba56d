#include "zip.h"

#include <string.h>

/* Offsets of fields: APPNOTE.TXT, 4.3.7 and 4.3.12. */
enum { LOCAL_SIZE = 30, LOCAL_CRC = 14, CENTRAL_SIZE = 46, CENTRAL_METHOD = 10, CENTRAL_CRC = 16, CENTRAL_PACKED = 20 };

static uint32_t field(const uint8_t *at, unsigned bytes) {
    uint32_t value = 0;
    while (bytes--)
        value = value << 8 | at[bytes];
    return value;
}

static uint32_t crc_of(const uint8_t *bytes, size_t size) {
    uint32_t crc = UINT32_MAX;
    for (size_t i = 0; i < size; ++i) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; ++bit)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

/* Where the data of a stored entry begin that the directory has at `at`, and how many; 0: there is none. */
static size_t data_of(const uint8_t *bytes, size_t size, size_t at, size_t *count) {
    if (size - at < CENTRAL_SIZE || memcmp(bytes + at, "PK\1\2", 4) != 0 || field(bytes + at + CENTRAL_METHOD, 2) != 0)
        return 0;
    size_t local = field(bytes + at + 42, 4);
    *count = field(bytes + at + CENTRAL_PACKED, 4);
    if (local > size || size - local < LOCAL_SIZE || memcmp(bytes + local, "PK\3\4", 4) != 0)
        return 0;
    size_t start = local + LOCAL_SIZE + field(bytes + local + 26, 2) + field(bytes + local + 28, 2);
    return start <= size && *count <= size - start ? start : 0;
}

void fuzz_zip_mend(uint8_t *bytes, size_t size) {
    size_t count;
    for (size_t at = 0; at + CENTRAL_SIZE <= size; ++at) {
        size_t start = data_of(bytes, size, at, &count);
        if (!start)
            continue;
        uint32_t crc = crc_of(bytes + start, count);
        uint8_t *local = bytes + field(bytes + at + 42, 4);
        memcpy(bytes + at + CENTRAL_CRC, &crc, sizeof crc);
        memcpy(local + LOCAL_CRC, &crc, sizeof crc);
    }
}

size_t fuzz_zip_last(const uint8_t *bytes, size_t size) {
    size_t count, end = 0;
    for (size_t at = 0; at + CENTRAL_SIZE <= size; ++at) {
        size_t start = data_of(bytes, size, at, &count);
        if (start && start + count > end)
            end = start + count;
    }
    return end;
}
