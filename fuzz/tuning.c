/* Tuning databases: every row keeps to the bounds, what was read and is written again is the same, a refusal is one
 * line, and the library takes the rows or says which one is wrong. */
#include "../cli/message.h"
#include "../cli/tuning_file.h"
#include "context.h"
#include "fuzz.h"
#include "tuning.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fuzz_file input = {.descriptor = -1}, output = {.descriptor = -1};

/* The program's messages, counted in place of being printed. */
static unsigned errors, notes;
static char last[2048];

int cli_error(int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last, sizeof last, format, args);
    va_end(args);
    ++errors;
    return code;
}

void cli_note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(last, sizeof last, format, args);
    va_end(args);
    ++notes;
}

static bool same_text(const char *a, const char *b) {
    return a == b || (a && b && strcmp(a, b) == 0);
}

static void check_row(const clfavor_tuning *row) {
    for (size_t i = 0; i < TUNING_NUMBERS; ++i) {
        const tuning_number *number = &tuning_numbers[i];
        uint32_t value;
        memcpy(&value, (const char *)row + number->offset, sizeof value);
        FUZZ_EXPECT(!value || (value >= number->low && value <= number->high), "%s is %u", number->key, value);
    }
    FUZZ_EXPECT(row->device_class == CLFAVOR_CLASS_CPU || row->device_class == CLFAVOR_CLASS_GPU, "a class");
}

static void check_round_trip(const tuning_file *file) {
    tuning_file again;
    unsigned before = notes;
    char *text = json_dumps(file->root, JSON_INDENT(1));
    notes = 0;
    if (!text) /* memory is short */
        return;
    FUZZ_EXPECT(!tuning_file_read(&again, fuzz_put(&output, text, strlen(text))), "%s", last);
    FUZZ_EXPECT(notes == before && again.count == file->count, "%u notes, not %u", notes, before);
    for (size_t i = 0; i < file->count; ++i) {
        clfavor_tuning a = file->rows[i], b = again.rows[i];
        FUZZ_EXPECT(same_text(a.vendor, b.vendor) && same_text(a.architecture, b.architecture) &&
                        same_text(a.device, b.device),
                    "row %zu", i);
        a.vendor = a.architecture = a.device = b.vendor = b.architecture = b.device = NULL;
        FUZZ_EXPECT(memcmp(&a, &b, sizeof a) == 0, "row %zu", i);
    }
    tuning_file_close(&again);
    free(text);
}

static void count_line(void *user, clfavor_log_level level, const char *message) {
    *(unsigned *)user += level == CLFAVOR_LOG_ERROR;
    fuzz_expect_line(message, 1024);
}

/* A context is more than these checks need. */
static void check_library(const tuning_file *file) {
    for (int class = CLFAVOR_CLASS_CPU; class <= CLFAVOR_CLASS_GPU; ++class) {
        unsigned lines = 0;
        clfavor_context context = {.device_class = (clfavor_device_class) class,
                                   .log = count_line,
                                   .log_user = &lines,
                                   .vendor = "vendor",
                                   .name = "device",
                                   .architecture = "sm_80",
                                   .local_memory = 49152,
                                   .max_work_group = 1024};
        clfavor_status status = clfavor_tuning_choose(&context, file->rows, file->count);
        FUZZ_EXPECT(status ? status == CLFAVOR_INVALID_ARGUMENT && lines == 1 : lines == 0, "%s, %u lines",
                    clfavor_status_name(status), lines);
        if (!status) {
            char reason[160];
            const char *problem = clfavor_tuning_problem(&context.tuning);
            FUZZ_EXPECT(!problem, "%s", problem);
            clfavor_tuning_backend(&context, reason, sizeof reason);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    tuning_file file;
    errors = notes = 0;
    const char *path = fuzz_put(&input, data, size);
    int next = fuzz_next_descriptor();
    int code = tuning_file_read(&file, path);
    FUZZ_EXPECT(fuzz_next_descriptor() == next, "a descriptor is left");
    FUZZ_EXPECT(errors == (code != CLI_OK), "%u errors for code %d", errors, code);
    if (code == CLI_OK) {
        for (size_t i = 0; i < file.count; ++i)
            check_row(&file.rows[i]);
        check_library(&file);
        check_round_trip(&file);
    } else {
        FUZZ_EXPECT(last[0], "an error says why");
    }
    tuning_file_close(&file);
    return 0;
}
