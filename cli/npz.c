#include "npz.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define XXH_INLINE_ALL /* a state on the stack, whatever the version of the shared library */
#include <xxhash.h>
#include <zip.h>

#define WHERE 224 /* bytes of "archive:entry" in messages */

static const char suffix[] = ".npy";

static const struct dtype {
    char descr[4];
    npz_type type;
    unsigned size;
} dtypes[] = {
    {"<f8", NPZ_F64, 8}, {"<f4", NPZ_F64, 4}, {"<u8", NPZ_U64, 8},
    {"<u4", NPZ_U64, 4}, {"<i8", NPZ_U64, 8}, {"<i4", NPZ_U64, 4},
};

static void describe(char where[WHERE], const char *path, const char *entry) {
    snprintf(where, WHERE, "%.110s:%.80s", path, entry);
}

/* ---------------------------------------------------------------------------------------------------------- reading */

/* Elements [0, count) at `data`, widened to 8 bytes. */
static bool convert(const struct dtype *from, const char *data, uint64_t count, void *out, const char *where,
                    char error[NPY_ERROR]) {
    if (from->size == 8)
        memcpy(out, data, (size_t)count * 8);
    for (uint64_t i = 0; from->size == 4 && i < count; ++i) {
        uint32_t bits;
        memcpy(&bits, data + i * 4, sizeof bits);
        if (from->descr[1] == 'f') {
            float value;
            memcpy(&value, &bits, sizeof value);
            ((double *)out)[i] = (double)value;
        } else { /* the sign of an i4 reaches the upper half, where the test below sees it */
            ((uint64_t *)out)[i] = from->descr[1] == 'i' ? (uint64_t)(int64_t)(int32_t)bits : bits;
        }
    }
    for (uint64_t i = 0; from->descr[1] == 'i' && i < count; ++i)
        if (((uint64_t *)out)[i] >> 63)
            return npy_reject(error, where, "holds %" PRId64 " as its element %" PRIu64 ", expected no negative number",
                              (int64_t)((uint64_t *)out)[i], i);
    return true;
}

/* Bytes [0, size) are the entry's .npy file. */
static bool parse_entry(npz_array *array, const char *bytes, size_t size, const char *where, char error[NPY_ERROR]) {
    npy_header header;
    uint64_t count;
    if (!npy_parse(&header, bytes, size, where, error))
        return false;
    const struct dtype *from = NULL;
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; ++i)
        if (strcmp(header.descr, dtypes[i].descr) == 0)
            from = &dtypes[i];
    if (!from)
        return npy_reject(
            error, where,
            "has dtype '%s', expected float64 ('<f8'), float32 ('<f4') or integers of 4 or 8 bytes ('<u8', "
            "'<u4', '<i8', '<i4')",
            header.descr);
    if (!npy_check(&header, size, from->size, &count, where, error))
        return false;
    void *data = malloc((size_t)count * 8); /* count < size, which is limited */
    if (!data)
        return npy_reject(error, where, "does not fit the memory: %" PRIu64 " elements of 8 bytes", count);
    if (!convert(from, bytes + header.start, count, data, where, error)) {
        free(data);
        return false;
    }
    array->type = from->type;
    array->rank = header.rank;
    memcpy(array->shape, header.shape, sizeof array->shape);
    array->data = data;
    return true;
}

/* All of an entry, and not a byte more than it declares; its CRC is compared when its end is read. */
static bool read_entry(zip_t *archive, const zip_stat_t *entry, char *bytes, const char *where, char error[NPY_ERROR]) {
    zip_file_t *file = zip_fopen_index(archive, entry->index, 0);
    if (!file)
        return npy_reject(error, where, "cannot be read: %s", zip_strerror(archive));
    uint64_t used = 0;
    zip_int64_t got = 1;
    while (used < entry->size && (got = zip_fread(file, bytes + used, entry->size - used)) > 0)
        used += (uint64_t)got;
    char more;
    if (got > 0)
        got = zip_fread(file, &more, 1);
    bool good = false;
    if (got < 0)
        npy_reject(error, where, "is damaged: %s; copy or save the archive again", zip_file_strerror(file));
    else if (used < entry->size || got > 0)
        npy_reject(error, where, "has %s bytes than the %" PRIu64 " that the archive declares; save the archive again",
                   got > 0 ? "more" : "fewer", (uint64_t)entry->size);
    else
        good = true;
    zip_fclose(file);
    return good;
}

static bool load(npz_array *array, zip_t *archive, const zip_stat_t *entry, const char *path, char error[NPY_ERROR]) {
    char where[WHERE];
    describe(where, path, entry->name);
    size_t length = strlen(entry->name) - strlen(suffix);
    char *name = malloc(length + 1), *bytes = malloc((size_t)entry->size + 1);
    bool good = false;
    if (!name || !bytes)
        npy_reject(error, where, "does not fit the memory: %" PRIu64 " bytes", (uint64_t)entry->size);
    else
        good = read_entry(archive, entry, bytes, where, error) &&
               parse_entry(array, bytes, (size_t)entry->size, where, error);
    free(bytes);
    if (!good) {
        free(name);
        return false;
    }
    memcpy(name, entry->name, length);
    name[length] = '\0';
    array->name = name;
    return true;
}

/* What the archive declares about an entry, before anything is allocated for it. */
static bool inspect(zip_t *archive, zip_uint64_t index, uint64_t file_size, uint64_t *total, const char *path,
                    char error[NPY_ERROR]) {
    zip_stat_t entry;
    char where[WHERE];
    const zip_uint64_t need = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
    if (zip_stat_index(archive, index, 0, &entry) != 0 || (entry.valid & need) != need)
        return npy_reject(error, path, "has a broken entry %" PRIu64 ": %s", (uint64_t)index, zip_strerror(archive));
    describe(where, path, entry.name);
    size_t length = strlen(entry.name), ending = strlen(suffix);
    if (length <= ending || strcmp(entry.name + length - ending, suffix) != 0)
        return npy_reject(error, where, "is no array, expected names that end in .npy");
    if ((entry.valid & ZIP_STAT_ENCRYPTION_METHOD) && entry.encryption_method != ZIP_EM_NONE)
        return npy_reject(error, where, "is encrypted, expected a plain entry");
    if (entry.comp_method != ZIP_CM_STORE && entry.comp_method != ZIP_CM_DEFLATE)
        return npy_reject(error, where, "is compressed by method %u, expected 0 (stored) or 8 (deflate)",
                          (unsigned)entry.comp_method);
    if (__builtin_add_overflow(*total, (uint64_t)entry.size, total) || *total > NPZ_MAX_BYTES)
        return npy_reject(error, where, "brings the archive to more than %" PRIu64 " bytes: it declares %" PRIu64,
                          NPZ_MAX_BYTES, (uint64_t)entry.size);
    /* deflate makes 258 bytes of 2 bits at best */
    if (entry.comp_size > file_size ||
        (entry.comp_method == ZIP_CM_STORE ? entry.size != entry.comp_size : entry.size / 1032 > entry.comp_size))
        return npy_reject(error, where,
                          "declares %" PRIu64 " bytes from %" PRIu64 " in the archive, which cannot be; save it again",
                          (uint64_t)entry.size, (uint64_t)entry.comp_size);
    for (zip_uint64_t i = 0; i < index; ++i)
        if (strcmp(zip_get_name(archive, i, 0), entry.name) == 0)
            return npy_reject(error, where, "is there twice, expected different names");
    return true;
}

static bool load_all(npz *out, zip_t *archive, uint64_t file_size, const char *path, char error[NPY_ERROR]) {
    zip_int64_t entries = zip_get_num_entries(archive, 0);
    if (entries < 1 || entries > NPZ_MAX_ENTRIES)
        return npy_reject(error, path, "holds %" PRId64 " arrays, expected 1 to %u", (int64_t)entries, NPZ_MAX_ENTRIES);
    uint64_t total = 0;
    for (zip_uint64_t i = 0; i < (zip_uint64_t)entries; ++i)
        if (!inspect(archive, i, file_size, &total, path, error))
            return false;
    out->arrays = calloc((size_t)entries, sizeof *out->arrays);
    if (!out->arrays)
        return npy_reject(error, path, "does not fit the memory: %" PRId64 " entries", (int64_t)entries);
    for (; out->count < (size_t)entries; ++out->count) {
        zip_stat_t entry;
        if (zip_stat_index(archive, out->count, 0, &entry) != 0)
            return npy_reject(error, path, "cannot be read: %s", zip_strerror(archive));
        if (!load(&out->arrays[out->count], archive, &entry, path, error))
            return false;
    }
    return true;
}

bool npz_read(npz *out, const char *path, char error[NPY_ERROR]) {
    *out = (npz){NULL, 0};
    uint64_t size;
    int descriptor = npy_open_regular(path, &size, error);
    if (descriptor < 0)
        return false;
    int code;
    zip_t *archive = size == 0 ? NULL : zip_fdopen(descriptor, 0, &code); /* takes the descriptor unless it fails */
    if (!archive) {
        zip_error_t why;
        if (size == 0) {
            npy_reject(error, path, "is empty, expected a .npz file");
        } else {
            zip_error_init_with_code(&why, code);
            npy_reject(error, path, "is no whole .npz file (%s); copy it again or write it with numpy.savez",
                       zip_error_strerror(&why));
            zip_error_fini(&why);
        }
        close(descriptor);
        return false;
    }
    bool good = load_all(out, archive, size, path, error);
    zip_discard(archive);
    if (!good)
        npz_free(out);
    return good;
}

const npz_array *npz_find(const npz *in, const char *name) {
    for (size_t i = 0; i < in->count; ++i)
        if (strcmp(in->arrays[i].name, name) == 0)
            return &in->arrays[i];
    return NULL;
}

void npz_free(npz *in) {
    for (size_t i = 0; i < in->count; ++i) {
        free((void *)in->arrays[i].name);
        free((void *)in->arrays[i].data);
    }
    free(in->arrays);
    *in = (npz){NULL, 0};
}

/* ---------------------------------------------------------------------------------------------------------- writing */

static uint64_t element_count(const npz_array *array) {
    uint64_t count = 1;
    for (unsigned i = 0; i < array->rank; ++i)
        count *= array->shape[i];
    return count;
}

/* The archive refers to `header` and to the array until it is closed. */
static bool add(zip_t *archive, const npz_array *array, unsigned char header[NPY_HEADER], const char *path,
                uint64_t *total, char error[NPY_ERROR]) {
    char where[WHERE];
    describe(where, path, array->name);
    uint64_t count;
    if (array->name[0] == '\0' || array->rank > NPY_MAX_RANK)
        return npy_reject(error, where, "cannot be written: a name and at most %u axes expected, it has %u",
                          NPY_MAX_RANK, array->rank);
    if (!npy_count(array->rank, array->shape, 8, &count, where, error))
        return false;
    size_t size = npy_format(header, array->type == NPZ_F64 ? "<f8" : "<u8", array->rank, array->shape);
    if (count > NPZ_MAX_BYTES / 8 || (*total += count * 8 + size) > NPZ_MAX_BYTES)
        return npy_reject(error, where, "brings the archive to more than %" PRIu64 " bytes, which it may not exceed",
                          NPZ_MAX_BYTES);
    size_t length = strlen(array->name);
    char *name = malloc(length + sizeof suffix);
    if (!name)
        return npy_reject(error, where, "cannot be written: out of memory");
    memcpy(name, array->name, length);
    memcpy(name + length, suffix, sizeof suffix);
    const zip_buffer_fragment_t parts[] = {{header, size}, {(zip_uint8_t *)array->data, count * 8}};
    zip_source_t *source = zip_source_buffer_fragment(archive, parts, 2, 0);
    zip_int64_t index = source ? zip_file_add(archive, name, source, ZIP_FL_ENC_UTF_8) : -1;
    free(name);
    /* 1 January 1980, 0:00, as NumPy writes */
    if (index >= 0 && zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) == 0 &&
        zip_file_set_dostime(archive, (zip_uint64_t)index, 0, 1 << 5 | 1, 0) == 0)
        return true;
    npy_reject(error, where, "cannot be written: %s", zip_strerror(archive));
    if (index < 0)
        zip_source_free(source);
    return false;
}

static bool hand_over(zip_source_t *bytes, outfile *file, char error[NPY_ERROR]) {
    char block[16384];
    zip_int64_t got = -1;
    if (zip_source_open(bytes) == 0) {
        while ((got = zip_source_read(bytes, block, sizeof block)) > 0)
            if (!outfile_write(file, block, (size_t)got, error)) {
                zip_source_close(bytes);
                return false;
            }
        zip_source_close(bytes);
    }
    return got == 0 ||
           npy_reject(error, file->path, "cannot be written: %s", zip_error_strerror(zip_source_error(bytes)));
}

bool npz_write(outfile *file, const npz_array *arrays, size_t count, char error[NPY_ERROR]) {
    if (count < 1 || count > NPZ_MAX_ENTRIES)
        return npy_reject(error, file->path, "cannot be written: %zu arrays, expected 1 to %u", count, NPZ_MAX_ENTRIES);
    zip_error_t why;
    zip_error_init(&why);
    unsigned char *headers = malloc(count * NPY_HEADER);
    zip_source_t *bytes = zip_source_buffer_create(NULL, 0, 0, &why);
    zip_t *archive = bytes ? zip_open_from_source(bytes, ZIP_CREATE | ZIP_TRUNCATE, &why) : NULL;
    bool good = headers && archive;
    if (!good)
        npy_reject(error, file->path, "cannot be written: %s", headers ? zip_error_strerror(&why) : "out of memory");
    if (archive) {
        zip_source_keep(bytes); /* closing the archive takes one reference */
        uint64_t total = 0;
        for (size_t i = 0; good && i < count; ++i)
            good = add(archive, &arrays[i], headers + i * NPY_HEADER, file->path, &total, error);
        if (good && zip_close(archive) != 0)
            good = npy_reject(error, file->path, "cannot be written: %s", zip_strerror(archive));
        else if (good)
            archive = NULL;
        if (archive)
            zip_discard(archive);
        good = good && hand_over(bytes, file, error);
    }
    zip_source_free(bytes);
    free(headers);
    zip_error_fini(&why);
    return good;
}

/* --------------------------------------------------------------------------------------------------------- checksum */

uint64_t npz_checksum(const npz_array *arrays, size_t count) {
    XXH3_state_t state;
    XXH3_64bits_reset(&state);
    for (size_t i = 0; i < count; ++i) {
        const npz_array *array = &arrays[i];
        /* lengths come before what they measure, so that nothing moves from one part to the next unseen */
        const uint64_t parts[] = {strlen(array->name), array->type, array->rank};
        XXH3_64bits_update(&state, parts, sizeof parts);
        XXH3_64bits_update(&state, array->name, strlen(array->name));
        XXH3_64bits_update(&state, array->shape, array->rank * sizeof *array->shape);
        XXH3_64bits_update(&state, array->data, (size_t)element_count(array) * 8);
    }
    return XXH3_64bits_digest(&state);
}
