/* Entries: a header, what the program depends on as text, its binary, and a checksum of all that. They are written
 * under another name and renamed, so that a reader sees a whole one or none; whatever is not as it should be is as good
 * as absent. */
#define _POSIX_C_SOURCE 200809L /* mkstemp, dirent, futimens */
#define XXH_INLINE_ALL
#include "cache.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <xxhash.h>

#define FORMAT        "clfavor program 1\n"
#define SUFFIX        ".clbin"
#define TEMPORARY     "clfavor-XXXXXX"
#define DEFAULT_LIMIT ((uint64_t)256 << 20)
#define STALE_SECONDS 3600 /* a temporary file of that age has lost its writer */

typedef struct entry_header {
    char format[24]; /* FORMAT, then zeros */
    uint64_t identity_size, binary_size;
} entry_header;

/* folder/name, for free(). */
static char *path_of(const char *folder, const char *name, const char *suffix) {
    size_t size = strlen(folder) + strlen(name) + strlen(suffix) + 2;
    char *path = malloc(size);
    if (path)
        snprintf(path, size, "%s/%s%s", folder, name, suffix);
    return path;
}

clfavor_status clfavor_cache_open(clfavor_context *context, const clfavor_context_desc *desc) {
    if (!desc->cache_dir || !*desc->cache_dir)
        return CLFAVOR_SUCCESS;
    char name[128] = "";
    cl_platform_id platform = NULL;
    clfavor_status status = clfavor_check_cl(
        context, clGetDeviceInfo(context->device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL),
        "clGetDeviceInfo");
    if (!status)
        clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof name, name, NULL);
    if (status)
        return status;
    if (!desc->cache_always && strcmp(name, "Portable Computing Language") == 0) {
        clfavor_log(context, CLFAVOR_LOG_INFO, "%s keeps compiled programs itself: %s stays unused", name,
                    desc->cache_dir);
        return CLFAVOR_SUCCESS;
    }
    size_t size = strlen(desc->cache_dir) + 1;
    if (!(context->cache_dir = malloc(size)))
        return CLFAVOR_OUT_OF_MEMORY;
    memcpy(context->cache_dir, desc->cache_dir, size);
    context->cache_limit = desc->cache_limit ? desc->cache_limit : DEFAULT_LIMIT;
    return CLFAVOR_SUCCESS;
}

void clfavor_cache_close(clfavor_context *context) {
    free(context->cache_dir);
}

void clfavor_cache_identify(const clfavor_context *context, const char *source, size_t size, const char *options,
                            clfavor_cache_identity *identity) {
    *identity = (clfavor_cache_identity){0};
    if (!context->cache_dir)
        return;
    enum { FACTS = 6 };
    static const cl_device_info of_device[] = {CL_DEVICE_NAME, CL_DEVICE_VENDOR, CL_DEVICE_VERSION, CL_DRIVER_VERSION};
    char facts[FACTS][256] = {{0}};
    cl_platform_id platform = NULL;
    for (int i = 0; i < 4; ++i)
        if (clGetDeviceInfo(context->device, of_device[i], sizeof facts[i], facts[i], NULL) != CL_SUCCESS)
            return;
    if (clGetDeviceInfo(context->device, CL_DEVICE_PLATFORM, sizeof platform, &platform, NULL) != CL_SUCCESS ||
        clGetPlatformInfo(platform, CL_PLATFORM_NAME, sizeof facts[4], facts[4], NULL) != CL_SUCCESS ||
        clGetPlatformInfo(platform, CL_PLATFORM_VERSION, sizeof facts[5], facts[5], NULL) != CL_SUCCESS)
        return;
    XXH128_hash_t of_source = XXH3_128bits(source, size);
    size_t capacity = strlen(options) + FACTS * sizeof facts[0] + 128;
    if (!(identity->text = malloc(capacity)))
        return;
    identity->size =
        (size_t)snprintf(identity->text, capacity,
                         "device %s\nvendor %s\nversion %s\ndriver %s\nplatform %s\nversion %s\n"
                         "source %016llx%016llx\noptions %s\n",
                         facts[0], facts[1], facts[2], facts[3], facts[4], facts[5],
                         (unsigned long long)of_source.high64, (unsigned long long)of_source.low64, options);
    XXH128_hash_t name = XXH3_128bits(identity->text, identity->size);
    snprintf(identity->name, sizeof identity->name, "%016llx%016llx", (unsigned long long)name.high64,
             (unsigned long long)name.low64);
}

/* ------------------------------------------------------------------------------------------------------- reading */

static unsigned char *read_all(int file, size_t *size) {
    struct stat facts;
    if (fstat(file, &facts) || !S_ISREG(facts.st_mode) || facts.st_size < (off_t)sizeof(entry_header))
        return NULL;
    *size = (size_t)facts.st_size;
    unsigned char *bytes = malloc(*size);
    size_t got = 0;
    while (bytes && got < *size) {
        ssize_t more = read(file, bytes + got, *size - got);
        if (more < 0 && errno == EINTR)
            continue;
        if (more <= 0)
            break;
        got += (size_t)more;
    }
    if (got == *size)
        return bytes;
    free(bytes);
    return NULL;
}

bool clfavor_cache_parse(const unsigned char *bytes, size_t size, clfavor_cache_view *view) {
    static const char format[sizeof((entry_header *)0)->format] = FORMAT;
    entry_header header;
    uint64_t checksum;
    if (size < sizeof header + sizeof checksum)
        return false;
    size_t rest = size - sizeof header - sizeof checksum;
    memcpy(&header, bytes, sizeof header);
    memcpy(&checksum, bytes + size - sizeof checksum, sizeof checksum);
    if (memcmp(header.format, format, sizeof format) != 0 || header.identity_size > rest ||
        header.binary_size != rest - header.identity_size || !header.binary_size ||
        checksum != XXH3_64bits(bytes, size - sizeof checksum))
        return false;
    view->identity = (const char *)bytes + sizeof header;
    view->identity_size = (size_t)header.identity_size;
    view->binary = bytes + sizeof header + view->identity_size;
    view->binary_size = (size_t)header.binary_size;
    return true;
}

static cl_program build_binary(const clfavor_context *context, const clfavor_cache_view *view, const char *options) {
    cl_int code, accepted = CL_SUCCESS;
    const unsigned char *binary = view->binary;
    cl_program program =
        clCreateProgramWithBinary(context->cl, 1, &context->device, &view->binary_size, &binary, &accepted, &code);
    if (code == CL_SUCCESS && accepted == CL_SUCCESS)
        code = clBuildProgram(program, 1, &context->device, options, NULL, NULL);
    if (program && (code != CL_SUCCESS || accepted != CL_SUCCESS)) {
        clReleaseProgram(program);
        return NULL;
    }
    return program;
}

cl_program clfavor_cache_load(const clfavor_context *context, const clfavor_cache_identity *identity,
                              const char *options) {
    if (!identity->text)
        return NULL;
    char *path = path_of(context->cache_dir, identity->name, SUFFIX);
    if (!path)
        return NULL;
    cl_program program = NULL;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        size_t size = 0;
        unsigned char *bytes = read_all(file, &size);
        clfavor_cache_view view;
        if (bytes && clfavor_cache_parse(bytes, size, &view) && view.identity_size == identity->size &&
            memcmp(view.identity, identity->text, identity->size) == 0)
            program = build_binary(context, &view, options);
        futimens(file, NULL); /* what is used stays longest; a folder that is only read may refuse */
        free(bytes);
        close(file);
        clfavor_log(context, CLFAVOR_LOG_INFO, "cache: %s %s", program ? "hit" : "an entry that can't be used,", path);
    } else {
        clfavor_log(context, CLFAVOR_LOG_INFO, "cache: miss, %s", path);
    }
    free(path);
    return program;
}

/* ------------------------------------------------------------------------------------------------------- writing */

static bool write_all(int file, const void *bytes, size_t size) {
    for (const char *at = bytes; size;) {
        ssize_t done = write(file, at, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return false;
        at += done;
        size -= (size_t)done;
    }
    return true;
}

/* The folder and those above it. */
static void make_folder(const char *folder) {
    char *path = path_of(folder, "", "");
    for (char *slash = path ? strchr(path + 1, '/') : NULL; slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* open() tells whether it is there */
        *slash = '/';
    }
    free(path);
}

typedef struct kept_file {
    char name[64];
    struct timespec used;
    uint64_t size;
} kept_file;

static int older(const void *a, const void *b) {
    const struct timespec *x = &((const kept_file *)a)->used, *y = &((const kept_file *)b)->used;
    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

/* Removes what was not used for longest until the rest keeps to the bound, and what writers left behind. */
static void prune(const clfavor_context *context) {
    DIR *folder = opendir(context->cache_dir);
    if (!folder)
        return;
    kept_file *files = NULL;
    size_t count = 0, capacity = 0;
    uint64_t total = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        const char *dot = strrchr(entry->d_name, '.');
        bool kept = dot && strcmp(dot, SUFFIX) == 0;
        bool temporary = strncmp(entry->d_name, TEMPORARY, 8) == 0 && strlen(entry->d_name) == strlen(TEMPORARY);
        struct stat facts;
        size_t length = strlen(entry->d_name);
        if ((!kept && !temporary) || length >= sizeof files->name ||
            fstatat(dirfd(folder), entry->d_name, &facts, AT_SYMLINK_NOFOLLOW) || !S_ISREG(facts.st_mode))
            continue;
        if (temporary) {
            if (time(NULL) - facts.st_mtime > STALE_SECONDS)
                unlinkat(dirfd(folder), entry->d_name, 0);
            continue;
        }
        if (count == capacity) {
            kept_file *grown = realloc(files, (capacity = 2 * capacity + 64) * sizeof *files);
            if (!grown)
                break;
            files = grown;
        }
        kept_file *file = &files[count++];
        memcpy(file->name, entry->d_name, length + 1);
        file->used = facts.st_mtim;
        file->size = (uint64_t)facts.st_size;
        total += file->size;
    }
    if (total > context->cache_limit)
        qsort(files, count, sizeof *files, older);
    for (size_t i = 0; i < count && total > context->cache_limit; ++i)
        if (!unlinkat(dirfd(folder), files[i].name, 0) || errno == ENOENT)
            total -= files[i].size;
    free(files);
    closedir(folder);
}

/* The device's binary of a program, for free(); NULL if the driver has none, or memory is short. A program has all
 * devices of the OpenCL context, whichever it was built for. */
static unsigned char *binary_of(const clfavor_context *context, cl_program program, size_t *size) {
    cl_uint devices = 0, own = 0;
    if (clGetProgramInfo(program, CL_PROGRAM_NUM_DEVICES, sizeof devices, &devices, NULL) != CL_SUCCESS || !devices)
        return NULL;
    cl_device_id *ids = calloc(devices, sizeof *ids);
    size_t *sizes = calloc(devices, sizeof *sizes);
    unsigned char **binaries = calloc(devices, sizeof *binaries), *bytes = NULL; /* NULL: not wanted */
    if (ids && sizes && binaries &&
        clGetProgramInfo(program, CL_PROGRAM_DEVICES, devices * sizeof *ids, ids, NULL) == CL_SUCCESS &&
        clGetProgramInfo(program, CL_PROGRAM_BINARY_SIZES, devices * sizeof *sizes, sizes, NULL) == CL_SUCCESS) {
        while (own + 1 < devices && ids[own] != context->device)
            ++own;
        *size = sizes[own];
        if (ids[own] == context->device && *size && (binaries[own] = bytes = malloc(*size)) &&
            clGetProgramInfo(program, CL_PROGRAM_BINARIES, devices * sizeof *binaries, binaries, NULL) != CL_SUCCESS) {
            free(bytes);
            bytes = NULL;
        }
    }
    free(ids);
    free(sizes);
    free(binaries);
    return bytes;
}

unsigned char *clfavor_cache_entry(const clfavor_cache_identity *identity, const void *binary, size_t binary_size,
                                   size_t *size) {
    const entry_header header = {FORMAT, identity->size, binary_size};
    uint64_t checksum;
    *size = sizeof header + identity->size + binary_size + sizeof checksum;
    unsigned char *bytes = malloc(*size), *at = bytes;
    if (!bytes)
        return NULL;
    memcpy(at, &header, sizeof header);
    memcpy(at += sizeof header, identity->text, identity->size);
    memcpy(at += identity->size, binary, binary_size);
    checksum = XXH3_64bits(bytes, *size - sizeof checksum);
    memcpy(at + binary_size, &checksum, sizeof checksum);
    return bytes;
}

bool clfavor_cache_write(clfavor_context *context, const clfavor_cache_identity *identity, const void *binary,
                         size_t binary_size) {
    size_t size = 0;
    unsigned char *bytes = clfavor_cache_entry(identity, binary, binary_size, &size);
    char *path = path_of(context->cache_dir, identity->name, SUFFIX),
         *temporary = path_of(context->cache_dir, TEMPORARY, "");
    bool good = bytes && path && temporary && size <= context->cache_limit;
    if (good) {
        make_folder(context->cache_dir);
        int file = mkstemp(temporary), code;
        good = file >= 0 && write_all(file, bytes, size);
        code = errno;
        if (file >= 0 && close(file) && good) {
            code = errno;
            good = false;
        }
        if (good && rename(temporary, path)) {
            code = errno;
            good = false;
        }
        if (!good && file >= 0)
            unlink(temporary);
        char reason[128];
        if (good)
            clfavor_log(context, CLFAVOR_LOG_INFO, "cache: kept %zu bytes as %s", size, path);
        else
            clfavor_log(context, CLFAVOR_LOG_WARNING, "cache: %s could not be written: %s", path,
                        strerror_r(code, reason, sizeof reason) ? "for an unknown reason" : reason);
        if (good)
            prune(context);
        else
            context->cache_limit = 0;
    }
    free(bytes);
    free(path);
    free(temporary);
    return good;
}

void clfavor_cache_store(clfavor_context *context, const clfavor_cache_identity *identity, cl_program program) {
    size_t size = 0;
    unsigned char *binary = identity->text ? binary_of(context, program, &size) : NULL;
    if (binary)
        clfavor_cache_write(context, identity, binary, size);
    free(binary);
}
