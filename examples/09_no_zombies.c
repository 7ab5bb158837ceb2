/*
 * 09_no_zombies: children that nobody joins do not stay as zombies.
 * Prints whether there is a zombie after twenty processes ended unjoined, what can still be
 * learnt of them, and, to compare, whether fork() leaves one. Next: 10_no_orphans.c.
 */
#include <brood.h>

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_COUNT 20

static int end_at_once(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    return 7;
}

/* Looks for a child that has ended and was not reaped, and leaves it as it is. */
static bool zombie_is_there(void)
{
    siginfo_t info = { 0 };

    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0;
}

/* Reaping follows a death within moments; this allows it a second. */
static bool zombie_stays(void)
{
    const struct timespec moment = { 0, 1000000 };
    int moments = 1000;

    while (zombie_is_there() && moments-- > 0)
        nanosleep(&moment, NULL);
    return zombie_is_there();
}

/* Every other handle is given up at once. The pipe's end tells when all have ended. */
static int start_all(brood_process **processes)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int all_gone[2], r = 0;
    char unused;

    if (pipe2(all_gone, O_CLOEXEC) < 0)
        return -errno;
    options.descriptors = &all_gone[1];
    options.descriptor_count = 1;
    for (int i = 0; r == 0 && i < CHILD_COUNT; i++) {
        r = brood_process_create(end_at_once, NULL, 0, &options, &processes[i]);
        if (r == 0)
            r = brood_process_start(processes[i]);
        if (i % 2 == 1) {
            brood_process_free(processes[i]);
            processes[i] = NULL;
        }
    }
    close(all_gone[1]);
    while (read(all_gone[0], &unused, 1) > 0)
        ;
    close(all_gone[0]);
    return r;
}

int main(void)
{
    brood_process *processes[CHILD_COUNT] = { NULL };
    int code = 0, known = 0, r = start_all(processes);
    pid_t plain;

    if (r < 0) {
        fprintf(stderr, "09_no_zombies: %s\n", brood_strerror(r));
        return EXIT_FAILURE;
    }
    printf("a zombie after %d unjoined processes: %s\n", CHILD_COUNT,
           zombie_stays() ? "yes" : "no");
    for (int i = 0; i < CHILD_COUNT; i++) {
        if (brood_process_exit_code(processes[i], &code) == 0 && code == 7)
            known++;
        brood_process_free(processes[i]);
    }
    printf("exit codes that their handles still know: %d\n", known);

    plain = fork();
    if (plain == 0)
        _exit(0);
    if (plain < 0 || waitid(P_PID, (id_t)plain, &(siginfo_t){ 0 }, WEXITED | WNOWAIT) < 0) {
        perror("09_no_zombies: fork");
        return EXIT_FAILURE;
    }
    printf("a zombie after a plain fork(): %s\n", zombie_is_there() ? "yes" : "no");
    waitpid(plain, NULL, 0); /* brood reaps its own children, and nobody else's */
    return EXIT_SUCCESS;
}
