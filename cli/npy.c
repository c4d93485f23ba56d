#include "npy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the files are little-endian and read as they are");

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

bool npy_reject(char error[NPY_ERROR], const char *path, const char *format, ...) {
    int used = snprintf(error, NPY_ERROR, "'%.200s' ", path);
    va_list args;
    va_start(args, format);
    vsnprintf(error + used, NPY_ERROR - (size_t)used, format, args);
    va_end(args);
    for (char *at = error; *at; ++at) /* names and dtypes come from files: still one line, and nothing for a terminal */
        if ((unsigned char)*at < ' ' || *at == '\x7f')
            *at = '?';
    return false;
}

/* ------------------------------------------------------------------------------------------------- header's literal */

typedef struct cursor {
    const char *at, *end;
} cursor;

static void skip_spaces(cursor *c) {
    while (c->at < c->end && (*c->at == ' ' || *c->at == '\t' || *c->at == '\n'))
        ++c->at;
}

static bool take(cursor *c, const char *token) {
    skip_spaces(c);
    size_t length = strlen(token);
    if ((size_t)(c->end - c->at) < length || memcmp(c->at, token, length) != 0)
        return false;
    c->at += length;
    return true;
}

static bool take_string(cursor *c, char *text, size_t size) {
    skip_spaces(c);
    if (c->at == c->end || (*c->at != '\'' && *c->at != '"'))
        return false;
    char quote = *c->at++;
    size_t used = 0;
    while (c->at < c->end && *c->at != quote) {
        if (*c->at == '\\' || *c->at == '\0' || used + 1 == size)
            return false;
        text[used++] = *c->at++;
    }
    if (c->at == c->end)
        return false;
    ++c->at;
    text[used] = '\0';
    return true;
}

static bool take_number(cursor *c, uint64_t *number) {
    skip_spaces(c);
    const char *start = c->at;
    *number = 0;
    for (; c->at < c->end && *c->at >= '0' && *c->at <= '9'; ++c->at)
        if (__builtin_mul_overflow(*number, 10u, number) ||
            __builtin_add_overflow(*number, (uint64_t)(*c->at - '0'), number))
            return false;
    return c->at > start;
}

/* "()", "(3,)", "(3, 4)", "(3, 4,)" */
static bool take_shape(cursor *c, npy_header *header) {
    if (!take(c, "("))
        return false;
    header->rank = 0;
    bool comma = true;
    while (!take(c, ")")) {
        if (!comma || header->rank == NPY_MAX_RANK || !take_number(c, &header->shape[header->rank]))
            return false;
        ++header->rank;
        comma = take(c, ",");
    }
    return header->rank != 1 || comma; /* (3) is a number in Python */
}

static bool parse_literal(npy_header *header, cursor c, const char *path, char error[NPY_ERROR]) {
    static const char broken[] = "has a broken header, expected {'descr': ..., 'fortran_order': False, 'shape': (...)}";
    char key[16];
    unsigned seen = 0;
    bool comma = true;
    if (!take(&c, "{"))
        return npy_reject(error, path, broken);
    while (!take(&c, "}")) {
        unsigned bit;
        if (!comma || !take_string(&c, key, sizeof key) || !take(&c, ":"))
            return npy_reject(error, path, broken);
        if (strcmp(key, "descr") == 0) {
            bit = 1;
            skip_spaces(&c);
            if (c.at < c.end && (*c.at == '[' || *c.at == '('))
                return npy_reject(error, path, "has a structured dtype, expected a plain array of numbers");
            if (!take_string(&c, header->descr, sizeof header->descr))
                return npy_reject(error, path, broken);
        } else if (strcmp(key, "fortran_order") == 0) {
            bit = 2;
            header->fortran = take(&c, "True");
            if (!header->fortran && !take(&c, "False"))
                return npy_reject(error, path, broken);
        } else if (strcmp(key, "shape") == 0) {
            bit = 4;
            if (!take_shape(&c, header))
                return npy_reject(error, path,
                                  "has a broken shape in its header, expected whole numbers, at most %u axes",
                                  NPY_MAX_RANK);
        } else {
            return npy_reject(error, path, broken);
        }
        if (seen & bit)
            return npy_reject(error, path, broken);
        seen |= bit;
        comma = take(&c, ",");
    }
    skip_spaces(&c);
    if (seen != 7 || c.at != c.end)
        return npy_reject(error, path, broken);
    return true;
}

/* ---------------------------------------------------------------------------------------------------------- reading */

bool npy_parse(npy_header *header, const void *data, size_t size, const char *path, char error[NPY_ERROR]) {
    const unsigned char *bytes = data;
    memset(header, 0, sizeof *header);
    if (size == 0)
        return npy_reject(error, path, "is empty, expected a .npy file");
    if (memcmp(bytes, magic, size < sizeof magic ? size : sizeof magic) != 0)
        return npy_reject(error, path, "is no .npy file (it does not begin with \\x93NUMPY); write it with numpy.save");
    unsigned version = size > 6 ? bytes[6] : 1;
    if (version < 1 || version > 3 || (size > 7 && bytes[7] != 0))
        return npy_reject(error, path, "has .npy version %u.%u, expected 1.0, 2.0 or 3.0", version,
                          size > 7 ? bytes[7] : 0u);
    size_t start = version == 1 ? 10 : 12, length = 0;
    if (size >= start)
        for (size_t i = start; i-- > 8;)
            length = length << 8 | bytes[i];
    if (size < start || size - start < length)
        return npy_reject(error, path, "is cut off in its header: it has %zu bytes; copy or save it again", size);
    header->start = start + length;
    const char *literal = (const char *)bytes + start;
    return parse_literal(header, (cursor){literal, literal + length}, path, error);
}

bool npy_count(unsigned rank, const uint64_t *shape, unsigned item, uint64_t *count, const char *path,
               char error[NPY_ERROR]) {
    uint64_t size = 1;
    for (unsigned i = 0; i < rank; ++i)
        if (shape[i] == 0)
            return npy_reject(error, path, "has an axis of length 0 (%s), expected at least one element",
                              npy_shape_text(rank, shape));
        else if (__builtin_mul_overflow(size, shape[i], &size))
            return npy_reject(error, path, "has an impossible shape, %s", npy_shape_text(rank, shape));
    *count = size;
    if (__builtin_mul_overflow(size, (uint64_t)item, &size))
        return npy_reject(error, path, "has an impossible shape, %s", npy_shape_text(rank, shape));
    return true;
}

bool npy_check(const npy_header *header, size_t size, unsigned item, uint64_t *count, const char *path,
               char error[NPY_ERROR]) {
    if (header->fortran)
        return npy_reject(error, path, "is in Fortran order, expected C order; save it with numpy.ascontiguousarray");
    if (!npy_count(header->rank, header->shape, item, count, path, error))
        return false;
    uint64_t need = *count * item, have = size - header->start;
    if (have < need)
        return npy_reject(error, path,
                          "is cut off: its shape %s takes %" PRIu64 " bytes, it has %" PRIu64 "; copy or save it again",
                          npy_shape_text(header->rank, header->shape), need, have);
    if (have > need)
        return npy_reject(error, path, "has %" PRIu64 " bytes after the data of its shape %s, expected none",
                          have - need, npy_shape_text(header->rank, header->shape));
    return true;
}

static bool check_dtype(npy_array *array, const char *descr, const char *path, char error[NPY_ERROR]) {
    static const char want[] = "float32 ('<f4'), float16 ('<f2') or float64 ('<f8')";
    if (strcmp(descr, "<f4") == 0)
        array->dtype = NPY_F32;
    else if (strcmp(descr, "<f2") == 0)
        array->dtype = NPY_F16;
    else if (strcmp(descr, "<f8") == 0)
        array->dtype = NPY_F64;
    else if (descr[0] == '>')
        return npy_reject(error, path, "is big-endian ('%s'), expected %s; save it with astype('<f4')", descr, want);
    else if (strchr(descr, 'O'))
        return npy_reject(error, path, "holds Python objects ('%s'), expected %s", descr, want);
    else
        return npy_reject(error, path, "has dtype '%s', expected %s; save it with astype('<f4')", descr, want);
    return true;
}

/* Everything but the mapping: bytes [0, size) are the file. */
static bool parse(npy_array *array, const void *bytes, size_t size, const char *path, char error[NPY_ERROR]) {
    npy_header header;
    if (!npy_parse(&header, bytes, size, path, error) || !check_dtype(array, header.descr, path, error) ||
        !npy_check(&header, size, (unsigned)array->dtype, &array->count, path, error))
        return false;
    array->rank = header.rank;
    memcpy(array->shape, header.shape, sizeof array->shape);
    array->data = (const char *)bytes + header.start;
    return true;
}

int npy_open_regular(const char *path, uint64_t *size, char error[NPY_ERROR]) {
    int descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* O_NONBLOCK: a pipe is refused, not waited for */
    if (descriptor < 0) {
        npy_reject(error, path, "cannot be opened: %s", strerror(errno));
        return -1;
    }
    struct stat status;
    if (fstat(descriptor, &status) != 0)
        npy_reject(error, path, "cannot be read: %s", strerror(errno));
    else if (!S_ISREG(status.st_mode))
        npy_reject(error, path, "is not a regular file; save it to one first");
    else if ((uint64_t)status.st_size > SIZE_MAX)
        npy_reject(error, path, "is larger than this program can address");
    else {
        *size = (uint64_t)status.st_size;
        return descriptor;
    }
    close(descriptor);
    return -1;
}

bool npy_open(npy_array *array, const char *path, char error[NPY_ERROR]) {
    memset(array, 0, sizeof *array);
    uint64_t size;
    int descriptor = npy_open_regular(path, &size, error);
    if (descriptor < 0)
        return false;
    bool good = false;
    if (size == 0)
        good = parse(array, "", 0, path, error);
    else {
        array->map_size = (size_t)size;
        array->map = mmap(NULL, array->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, descriptor, 0);
        if (array->map == MAP_FAILED) {
            array->map = NULL;
            npy_reject(error, path, "cannot be mapped: %s", strerror(errno));
        } else {
            good = parse(array, array->map, array->map_size, path, error);
        }
    }
    close(descriptor);
    if (!good)
        npy_close(array);
    return good;
}

void npy_close(npy_array *array) {
    if (array->map)
        munmap(array->map, array->map_size);
    memset(array, 0, sizeof *array);
}

static float half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, mantissa = half & 1023u, bits;
    if (exponent == 0) { /* zero and subnormals: mantissa x 2^-24, exact in float */
        float magnitude = (float)mantissa * 0x1p-24f;
        memcpy(&bits, &magnitude, sizeof bits);
    } else {
        bits = (exponent == 31 ? 255u : exponent + 112u) << 23 | mantissa << 13;
    }
    bits |= sign;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

void npy_read_f32(const npy_array *array, uint64_t first, size_t count, float *out) {
    const char *at = array->data + first * (uint64_t)array->dtype;
    if (array->dtype == NPY_F32) {
        memcpy(out, at, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; ++i)
        if (array->dtype == NPY_F16) {
            uint16_t half;
            memcpy(&half, at + i * sizeof half, sizeof half);
            out[i] = half_to_float(half);
        } else {
            double value;
            memcpy(&value, at + i * sizeof value, sizeof value);
            out[i] = (float)value;
        }
}

void npy_read_f64(const npy_array *array, uint64_t first, size_t count, double *out) {
    if (array->dtype == NPY_F64) {
        memcpy(out, array->data + first * sizeof *out, count * sizeof *out);
        return;
    }
    for (size_t i = 0; i < count; ++i) {
        float value;
        npy_read_f32(array, first + i, 1, &value);
        out[i] = (double)value;
    }
}

/* ---------------------------------------------------------------------------------------------------------- writing */

size_t npy_format(unsigned char header[NPY_HEADER], const char *descr, unsigned rank, const uint64_t *shape) {
    char text[NPY_HEADER];
    int used = snprintf(text, sizeof text, "{'descr': '%.3s', 'fortran_order': False, 'shape': (", descr);
    for (unsigned i = 0; i < rank; ++i)
        used += snprintf(text + used, sizeof text - (size_t)used, i ? " %" PRIu64 "," : "%" PRIu64 ",", shape[i]);
    if (rank > 1)
        --used; /* the last comma, which only (3,) needs */
    used += snprintf(text + used, sizeof text - (size_t)used, "), }");
    size_t total = (10 + (size_t)used + 1 + 63) / 64 * 64, length = total - 10;
    memcpy(header, magic, sizeof magic);
    header[6] = 1;
    header[7] = 0;
    header[8] = (unsigned char)(length & 255);
    header[9] = (unsigned char)(length >> 8);
    memset(header + 10, ' ', length);
    memcpy(header + 10, text, (size_t)used);
    header[total - 1] = '\n';
    return total;
}

bool npy_create(outfile *file, const char *path, npy_dtype dtype, unsigned rank, const uint64_t *shape,
                char error[NPY_ERROR]) {
    unsigned char header[NPY_HEADER];
    size_t size = npy_format(header, dtype == NPY_F64 ? "<f8" : "<f4", rank, shape);
    if (!outfile_open(file, path, error))
        return false;
    if (outfile_write(file, header, size, error))
        return true;
    outfile_discard(file);
    return false;
}

const char *npy_shape_text(unsigned rank, const uint64_t *shape) {
    static char texts[4][NPY_MAX_RANK * 24];
    static unsigned next;
    char *text = texts[next++ % 4];
    size_t used = (size_t)snprintf(text, sizeof texts[0], "%s", rank ? "" : "a single number");
    for (unsigned i = 0; i < rank; ++i)
        used += (size_t)snprintf(text + used, sizeof texts[0] - used, i ? " x %" PRIu64 : "%" PRIu64, shape[i]);
    return text;
}
