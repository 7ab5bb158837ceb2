/*
 * command_start: /bin/true, from its start to the end of the join.
 * Asks     what does brood add to a command, and does the size of the parent matter?
 * Reports  us a start and join: median, p99, max, beside posix_spawn and waitid.
 * Holds    a parent with 2 MiB or 2 GiB touched, in ordinary pages; the guardian, which
 *          daemon commands need, started before. In _pinned all of it shares one processor.
 */
#include "bench.h"

#include <brood.h>

#include <errno.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

static int bare_spawn(void)
{
    char *argv[] = { (char[]){ "/bin/true" }, NULL };
    siginfo_t info;
    pid_t pid;
    int r = -posix_spawn(&pid, argv[0], NULL, NULL, argv, environ);

    if (r < 0)
        return r;
    return waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 ? -errno : 0;
}

static const struct bench_peer bare_peers[] = {
    { "bare_posix_spawn", bare_spawn },
    { NULL, NULL },
};

static int with_brood(int daemon)
{
    const char *const argv[] = { "/bin/true", NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int r;

    options.daemon = daemon;
    r = brood_process_create_command(argv, &options, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    brood_process_free(process);
    return r;
}

static int brood_command(void)
{
    return with_brood(BROOD_DAEMON_NO);
}

static int brood_command_daemon(void)
{
    return with_brood(BROOD_DAEMON_YES);
}

static const struct bench_peer brood_peers[] = {
    { "brood_command", brood_command },
    { "brood_command_daemon", brood_command_daemon },
    { NULL, NULL },
};

static int prepare(void)
{
    return brood_guardian_start(NULL);
}

int command_start(struct bench *bench)
{
    struct bench_partner bare = { 0 }, brood = { 0 };
    const struct bench_turn turns[] = {
        { "bare_posix_spawn", NULL, BAR_NONE, 0, &bare, 5, 1 },
        { "brood_command", "bare_posix_spawn", BAR_RATIO_MAX, 1.1, &brood, 5, 1 },
        { "brood_command_daemon", "bare_posix_spawn", BAR_NONE, 0, &brood, 5, 1 },
    };
    int r = bench_partner_fork(bench, bare_peers, NULL, &bare);

    if (r == 0)
        r = bench_partner_fork(bench, brood_peers, prepare, &brood);
    if (r == 0)
        r = bench_alternate(bench, turns, sizeof turns / sizeof turns[0], 100);
    bench_partner_end(&bare);
    bench_partner_end(&brood);
    return r;
}
