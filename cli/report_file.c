#include "report_file.h"

#include <stdlib.h>

#include "inputs.h"
#include "message.h"

int report_files_open(report_file *files, size_t count) {
    char error[OUTFILE_ERROR];
    for (size_t i = 0; i < count; ++i)
        for (size_t j = 0; j < i; ++j) {
            const char *const pair[] = {files[j].path, files[i].path};
            int status = inputs_check_paths(pair, 2, NULL, 0);
            if (status)
                return status;
        }
    for (size_t i = 0; i < count; ++i)
        if (files[i].path && !outfile_open(&files[i].file, files[i].path, error))
            return cli_error(CLI_FAILED, "%s", error);
    return CLI_OK;
}

static int write_one(report_file *report, const void *result) {
    char *text = NULL, error[OUTFILE_ERROR];
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    bool good = memory && report->write(result, memory);
    if (memory)
        good = fclose(memory) == 0 && good;
    int status = good ? CLI_OK : cli_error(CLI_FAILED, "host memory is exhausted");
    if (!status && !(outfile_write(&report->file, text, size, error) && outfile_commit(&report->file, error)))
        status = cli_error(CLI_FAILED, "%s", error);
    free(text);
    return status;
}

int report_files_write(report_file *files, size_t count, const void *result) {
    int status = CLI_OK;
    for (size_t i = 0; i < count && !status; ++i)
        if (files[i].path)
            status = write_one(&files[i], result);
    return status;
}

void report_files_discard(report_file *files, size_t count) {
    for (size_t i = 0; i < count; ++i)
        outfile_discard(&files[i].file);
}
