/*
 * process_start: a process that does nothing, from its start to the end of the join.
 * Asks     what does safety add to a process, and what does each start method cost?
 * Reports  us a start and join: median, p99, max. fork+waitid stands beside brood's fork,
 *          posix_spawn of this very program beside spawn, Python's Process beside both.
 *          vfork is for reference: it is the least that a process costs here.
 * Holds    a parent with 2 MiB, 256 MiB or 2 GiB touched, in ordinary pages; bare calls,
 *          brood, brood with a guardian and Python in four parents; the guardian, which
 *          daemons and the forkserver need, started before the memory. In _pinned all of it
 *          shares one processor. What does not copy the parent is measured ten times in a
 *          row: only the first finds the caches full of page tables.
 */
#include "bench.h"

#include <brood.h>

#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char program[4096];

static int wait_for(pid_t pid)
{
    siginfo_t info;

    return waitid(P_PID, (id_t)pid, &info, WEXITED) < 0 ? -errno : 0;
}

static int bare_fork(void)
{
    pid_t pid = fork();

    if (pid == 0)
        _exit(0);
    return pid < 0 ? -errno : wait_for(pid);
}

static int bare_vfork(void)
{
    pid_t pid = vfork();

    if (pid == 0)
        _exit(0);
    return pid < 0 ? -errno : wait_for(pid);
}

static int bare_spawn(void)
{
    char *argv[] = { program, (char[]){ "--nothing" }, NULL };
    pid_t pid;
    int r = -posix_spawn(&pid, program, NULL, NULL, argv, environ);

    return r < 0 ? r : wait_for(pid);
}

static const struct bench_peer bare_peers[] = {
    { "bare_fork", bare_fork },
    { "bare_vfork", bare_vfork },
    { "bare_posix_spawn", bare_spawn },
    { NULL, NULL },
};

static int nothing(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    return 0;
}

static int with_brood(int start_method, int daemon)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int r;

    options.start_method = start_method;
    options.daemon = daemon;
    r = brood_process_create(nothing, NULL, 0, &options, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    brood_process_free(process);
    return r;
}

static int brood_fork(void)
{
    return with_brood(BROOD_START_FORK, BROOD_DAEMON_NO);
}

static int brood_fork_daemon(void)
{
    return with_brood(BROOD_START_FORK, BROOD_DAEMON_YES);
}

static int brood_forkserver(void)
{
    return with_brood(BROOD_START_FORKSERVER, BROOD_DAEMON_NO);
}

static int brood_spawn(void)
{
    return with_brood(BROOD_START_SPAWN, BROOD_DAEMON_NO);
}

static const struct bench_peer brood_peers[] = {
    { "brood_fork", brood_fork },
    { NULL, NULL },
};

static const struct bench_peer guarded_peers[] = {
    { "brood_fork_guarded", brood_fork },
    { "brood_fork_daemon", brood_fork_daemon },
    { "brood_forkserver", brood_forkserver },
    { "brood_spawn", brood_spawn },
    { NULL, NULL },
};

static int prepare(void)
{
    return brood_guardian_start(NULL);
}

static int python_start(int parent_mib, struct bench_partner *ret_partner)
{
    const char *script = getenv("BENCH_PYTHON_SCRIPT");
    char mib[16];
    const char *argv[] = { "/usr/bin/python3", script, mib, NULL };

    snprintf(mib, sizeof mib, "%d", parent_mib);
    return script == NULL ? -ENOENT : bench_partner_exec(argv, ret_partner);
}

int process_start(struct bench *bench)
{
    struct bench_partner bare = { 0 }, brood = { 0 }, guarded = { 0 }, python = { 0 };
    int parent_mib = bench_entry_of(bench)->parent_mib;
    enum bench_bar near_bare = parent_mib == 2 ? BAR_RATIO_MAX : BAR_NONE;
    enum bench_bar any_parent = parent_mib == 2048 ? BAR_MAX : BAR_NONE;
    int batch = parent_mib <= 2 ? 10 : parent_mib <= 256 ? 2 : 1;
    int warm = 10;
    const struct bench_turn turns[] = {
        { "bare_fork", NULL, BAR_NONE, 0, &bare, batch, 1 },
        { "brood_fork", "bare_fork", near_bare, 1.25, &brood, batch, 1 },
        { "brood_fork_guarded", "bare_fork", BAR_NONE, 0, &guarded, batch, 1 },
        { "brood_fork_daemon", "bare_fork", BAR_NONE, 0, &guarded, batch, 1 },
        { "bare_vfork", "bare_fork", BAR_NONE, 0, &bare, warm, 1 },
        { "brood_forkserver", "bare_fork", any_parent, 400, &guarded, warm, 1 },
        { "bare_posix_spawn", "bare_fork", BAR_NONE, 0, &bare, warm, 2 },
        { "brood_spawn", "bare_posix_spawn", BAR_NONE, 0, &guarded, warm, 2 },
        { "python_fork", "brood_fork", BAR_NONE, 0, &python, 1, 2 },
        { "python_forkserver", "brood_forkserver", BAR_NONE, 0, &python, 1, 4 },
        { "python_spawn", "brood_spawn", BAR_NONE, 0, &python, 1, 8 },
    };
    size_t turn_count = sizeof turns / sizeof turns[0];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    int r = length < 0 ? -errno : bench_partner_fork(bench, bare_peers, NULL, &bare);

    if (r == 0)
        r = bench_partner_fork(bench, brood_peers, NULL, &brood);
    if (r == 0)
        r = bench_partner_fork(bench, guarded_peers, prepare, &guarded);
    if (r == 0 && python_start(parent_mib, &python) < 0) {
        fprintf(stderr, "brood-bench: no Python, going on without it\n");
        turn_count -= 3;
    }
    if (r == 0)
        r = bench_alternate(bench, turns, turn_count, parent_mib <= 256 ? 100 : 20);
    bench_partner_end(&bare);
    bench_partner_end(&brood);
    bench_partner_end(&guarded);
    bench_partner_end(&python);
    return r;
}
