#include "message.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void print_line(const char *prefix, const char *format, va_list args) {
    char text[2048];
    vsnprintf(text, sizeof text, format, args);
    for (char *c = text; *c; ++c) /* file names and build logs may hold line breaks and escapes */
        if ((unsigned char)*c < 32 || *c == 127)
            *c = ' ';
    fprintf(stderr, "clfavor: %s%s\n", prefix, text);
}

int cli_error(int code, const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line("", format, args);
    va_end(args);
    return code;
}

void cli_note(const char *format, ...) {
    va_list args;
    va_start(args, format);
    print_line("note: ", format, args);
    va_end(args);
}

void cli_note_line(void *user, const char *line) {
    (void)user;
    cli_note("%s", line);
}

int cli_flush(void) {
    if (fflush(stdout) != 0 || ferror(stdout))
        return cli_error(CLI_FAILED, "stdout cannot be written: %s", strerror(errno));
    return CLI_OK;
}
