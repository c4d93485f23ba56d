/* Exit codes, and the one way in which the program speaks on stderr: one line a message. */
#ifndef CLI_MESSAGE_H
#define CLI_MESSAGE_H

enum { CLI_OK = 0, CLI_FAILED = 1, CLI_USAGE = 2, CLI_NO_DEVICE = 3 };

/* Prints "clfavor: ..." as one line, whatever the text holds, and returns code: `return cli_error(CLI_USAGE, ...)`. */
int cli_error(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same as "clfavor: note: ...". */
void cli_note(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* A note that a measurement makes on the way (its options' `note`). */
void cli_note_line(void *user, const char *line);
/* Ends a result on stdout. Returns CLI_OK, or CLI_FAILED after saying that stdout cannot be written. */
int cli_flush(void);

#endif
