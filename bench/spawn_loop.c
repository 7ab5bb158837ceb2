/*
 * spawn_loop: runs a command COUNT times by posix_spawn(), JOBS at a time, and does nothing
 * else: the least that a job runner does.
 *
 *     spawn_loop COUNT JOBS COMMAND [ARGUMENT...]
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
    long count, jobs, running = 0;
    int failed = 0, r;
    pid_t pid;

    if (argc < 4) {
        fprintf(stderr, "usage: spawn_loop COUNT JOBS COMMAND [ARGUMENT...]\n");
        return 2;
    }
    count = strtol(argv[1], NULL, 10);
    jobs = strtol(argv[2], NULL, 10);
    while (count > 0 || running > 0) {
        if (count > 0 && running < jobs) {
            r = posix_spawnp(&pid, argv[3], NULL, NULL, argv + 3, environ);
            if (r != 0) {
                fprintf(stderr, "spawn_loop: %s: %s\n", argv[3], strerror(r));
                return EXIT_FAILURE;
            }
            count--;
            running++;
        } else {
            failed |= reap();
            running--;
        }
    }
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
