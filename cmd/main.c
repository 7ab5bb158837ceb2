/*
 * brood: the command. Finds the subcommand and hands over.
 */
#include "cmd.h"

#include <brood.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static const char usage_text[] =
    "usage: brood map [options] command [argument ...] [::: item ...]\n"
    "       brood map --shell script [options] [::: item ...]\n"
    "       brood --version | --help\n"
    "\n"
    "  map   run a command once for each item, several at a time\n"
    "\n"
    "brood map --help and brood(1) say more.\n";

/*
 * A standard descriptor that is closed would be handed out to the next file opened, and what
 * is meant for standard output would land there. Each gets /dev/null the wrong way round
 * instead, so that reading or writing it fails, and is reported, as it would have been.
 */
static void occupy_standard_descriptors(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF)
            continue;
        (void)open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
    }
}

/* --help and --version succeed only if their text arrived. */
static int print(const char *text)
{
    if (fputs(text, stdout) == EOF || fflush(stdout) == EOF) {
        (void)fprintf(stderr, "brood: standard output: %s\n", brood_strerror(errno));
        return STATUS_OUTPUT;
    }
    return STATUS_OK;
}

int main(int argc, char **argv)
{
    occupy_standard_descriptors();
    if (argc < 2) {
        (void)fputs(usage_text, stderr);
        return STATUS_USAGE;
    }
    if (strcmp(argv[1], "map") == 0)
        return cmd_map(argc - 1, argv + 1);
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print(usage_text);
    if (strcmp(argv[1], "--version") == 0) {
        char line[64];

        (void)snprintf(line, sizeof line, "brood %s\n", brood_version());
        return print(line);
    }
    (void)fprintf(stderr, "brood: unknown %s '%s'; try brood --help\n",
                  argv[1][0] == '-' ? "option" : "subcommand", argv[1]);
    return STATUS_USAGE;
}
