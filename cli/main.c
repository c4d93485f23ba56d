#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include <clfavor/clfavor.h>

#include "cmd.h"
#include "message.h"
#include "outfile.h"

static const char usage[] = "Usage: clfavor SUBCOMMAND [OPTION...]\n"
                            "Linear-time attention with random features (Performer, FAVOR+) on OpenCL.\n"
                            "\n"
                            "  devices    what OpenCL devices there are, and which one would be chosen\n"
                            "  run        attention of .npy queries, keys and values\n"
                            "  features   the feature matrix of queries or keys\n"
                            "  fit        an estimator for given queries and keys, with several times less error\n"
                            "  advise     what to use for given data, and what it will cost and err\n"
                            "  verify     checks that the estimators are what they claim to be\n"
                            "  bench      times, as fractions of what the device can do\n"
                            "  tune       the sizes that suit a device, measured\n"
                            "  selftest   one report on a device: checks, times, what it is\n"
                            "\n"
                            "  clfavor SUBCOMMAND --help tells the options; clfavor --version the version.\n"
                            "\n"
                            "Results go to stdout, everything else to stderr. Exit status: 0 done, 1 the work failed,\n"
                            "2 wrong usage or bad input, 3 no usable OpenCL device.\n"
                            "Environment: CLFAVOR_DEVICE selects the device as --device does, CLFAVOR_TUNING names\n"
                            "a file as --tuning does, CLFAVOR_CACHE_DIR the folder for compiled kernels (default\n"
                            "~/.cache/clfavor; 0: none), CLFAVOR_LOG=1 tells what the library does.\n";

static int print(const char *text) {
    fputs(text, stdout);
    return cli_flush();
}

/* The number of a closed stream would go to the next file that is opened, an output, and messages into that file. Each
 * stand-in refuses what its stream is for, as a closed one does. */
static void occupy_standard_streams(void) {
    for (int stream = 0; stream < 3; ++stream)
        if (fcntl(stream, F_GETFD) < 0)
            (void)open("/dev/null", stream == 0 ? O_WRONLY : O_RDONLY);
}

int main(int argc, char **argv) {
    static const struct {
        const char *name;
        int (*run)(int, char **);
    } commands[] = {{"advise", cmd_advise},     {"bench", cmd_bench}, {"devices", cmd_devices},
                    {"features", cmd_features}, {"fit", cmd_fit},     {"run", cmd_run},
                    {"selftest", cmd_selftest}, {"tune", cmd_tune},   {"verify", cmd_verify}};

    occupy_standard_streams();
    outfile_catch_signals();
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0)
        return print(usage);
    if (strcmp(name, "--version") == 0) {
        char text[64];
        snprintf(text, sizeof text, "clfavor %s\n", clfavor_version_string());
        return print(text);
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; ++i)
        if (strcmp(name, commands[i].name) == 0)
            return commands[i].run(argc - 1, argv + 1);
    return cli_error(
        CLI_USAGE,
        "expected a subcommand (devices, run, features, fit, advise, verify, bench, tune or selftest), got %s%s%s; see "
        "`clfavor --help`",
        *name ? "'" : "nothing", name, *name ? "'" : "");
}
