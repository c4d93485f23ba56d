/* The subcommands: each takes its own arguments, argv[0] being its name, and returns the exit code. */
#ifndef CLI_CMD_H
#define CLI_CMD_H

int cmd_advise(int argc, char **argv);
int cmd_bench(int argc, char **argv);
int cmd_devices(int argc, char **argv);
int cmd_features(int argc, char **argv);
int cmd_fit(int argc, char **argv);
int cmd_run(int argc, char **argv);
int cmd_selftest(int argc, char **argv);
int cmd_tune(int argc, char **argv);
int cmd_verify(int argc, char **argv);

#endif
