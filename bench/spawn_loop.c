/*
 * spawn_loop: runs a command COUNT times by posix_spawn(), JOBS at a time, and does nothing
 * else: the least that a job runner does.
 *
 *     spawn_loop COUNT JOBS COMMAND [ARGUMENT...]
 *
 * The number of the job is added as the last argument, as runners add the item: commands do
 * not cost the same with and without one. `true` reads the locale when it has an argument,
 * which is more than a quarter of its time.
 */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

extern char **environ;

static int reap(void)
{
    siginfo_t info;

    while (waitid(P_ALL, 0, &info, WEXITED) < 0)
        if (errno != EINTR)
            return -1;
    return info.si_code == CLD_EXITED && info.si_status == 0 ? 0 : 1;
}

int main(int argc, char **argv)
{
    long count, jobs, number = 0, running = 0;
    char item[24], **command;
    int failed = 0, r;
    pid_t pid;

    if (argc < 4) {
        fprintf(stderr, "usage: spawn_loop COUNT JOBS COMMAND [ARGUMENT...]\n");
        return 2;
    }
    count = strtol(argv[1], NULL, 10);
    jobs = strtol(argv[2], NULL, 10);
    command = calloc((size_t)argc, sizeof *command); /* one more than argv + 3, and the NULL */
    if (command == NULL)
        return EXIT_FAILURE;
    memcpy(command, argv + 3, (size_t)(argc - 3) * sizeof *command);
    command[argc - 3] = item;
    while (number < count || running > 0) {
        if (number < count && running < jobs) {
            snprintf(item, sizeof item, "%ld", number + 1);
            r = posix_spawnp(&pid, command[0], NULL, NULL, command, environ);
            if (r != 0) {
                fprintf(stderr, "spawn_loop: %s: %s\n", argv[3], strerror(r));
                return EXIT_FAILURE;
            }
            number++;
            running++;
        } else {
            failed |= reap();
            running--;
        }
    }
    free(command);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
