/*
 * The keeper of one test: runs it in a session of its own, within its time, and is the
 * subreaper to whom everything comes back that the test started and lost sight of. So what
 * is left of a test is known exactly, whatever other tests do at the same time.
 */
#include "runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEFTOVERS_GRACE_MS 1000 /* for descendants to end after the test */
#define KILL_GRACE_MS 10000     /* for killed ones to go */

int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

_Noreturn static void test_exec(const struct entry *entry, const struct run_files *files,
                                const char *directory)
{
    int null = open("/dev/null", O_RDONLY);
    char *argv[4] = { NULL };
    size_t argc = 0;
    sigset_t none;

    (void)setsid();
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(files->out, 1) < 0 || dup2(files->err, 2) < 0 ||
        chdir(directory) < 0 || setenv("TMPDIR", directory, 1) < 0)
        _exit(126);
    (void)syscall(SYS_close_range, 3U, ~0U, 0U);
    (void)signal(SIGINT, SIG_DFL);
    (void)signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);

    if (entry->shell_script)
        argv[argc++] = (char *)"sh";
    argv[argc++] = entry->path;
    if (entry->case_name != NULL) {
        argv[argc++] = (char *)"--run";
        argv[argc++] = entry->case_name;
    }
    execvp(argv[0], argv);
    fprintf(stderr, "%s: %s\n", argv[0], strerror(errno));
    _exit(126);
}

/*
 * Reaps until `pid` has ended, or nothing is left if it is 0, or the time is over. Adopted
 * orphans are reaped as they end, as init would do, so that a test that looks for them
 * meets no zombie. Returns false on time-out or SIGTERM.
 */
static bool reap_until(pid_t pid, int64_t deadline_ms, int *ret_status)
{
    sigset_t signals;
    int status;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    for (;;) {
        pid_t ended = waitpid(-1, &status, WNOHANG);
        int64_t left_ms = deadline_ms - now_ms();
        struct timespec wait;

        if (ended > 0 && ended == pid) {
            *ret_status = status;
            return true;
        }
        if (ended > 0)
            continue;
        if (ended < 0)
            return pid == 0;
        if (left_ms <= 0)
            return false;
        wait.tv_sec = (time_t)(left_ms / 1000);
        wait.tv_nsec = (long)(left_ms % 1000) * 1000000;
        if (sigtimedwait(&signals, NULL, &wait) == SIGTERM)
            return false;
    }
}

/* A killed process may have forked between the look and the kill: kill until none is left. */
static void kill_all(void)
{
    int64_t deadline_ms = now_ms() + KILL_GRACE_MS;
    int status;

    do {
        descendants_kill(getpid());
    } while (!reap_until(0, now_ms() + 20, &status) && now_ms() < deadline_ms);
}

static int status_judge(int status, FILE *report)
{
    if (WIFSIGNALED(status)) {
        fprintf(report, "killed by signal %d (%s)\n", WTERMSIG(status),
                strsignal(WTERMSIG(status)));
        return EXIT_FAILURE;
    }
    if (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != EXIT_SKIPPED) {
        fprintf(report, "exit status %d\n", WEXITSTATUS(status));
        return EXIT_FAILURE;
    }
    return WEXITSTATUS(status);
}

static int leftovers_judge(FILE *report)
{
    int status;

    if (reap_until(0, now_ms() + LEFTOVERS_GRACE_MS, &status))
        return 0;
    fputs("left behind, alive one second after the end:\n", report);
    descendants_print(getpid(), report);
    kill_all();
    return EXIT_FAILURE;
}

void keep(const struct entry *entry, const struct run_files *files, const char *directory,
          double limit_s, pid_t runner, struct verdict *verdict)
{
    FILE *report = fdopen(files->report, "w");
    int64_t start_ms = now_ms();
    int code = EXIT_FAILURE;
    int status = 0;
    sigset_t signals;
    pid_t test;

    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    (void)signal(SIGINT, SIG_IGN); /* the runner dies of it, and that arrives as SIGTERM */
    if (report == NULL || prctl(PR_SET_CHILD_SUBREAPER, 1) < 0 ||
        prctl(PR_SET_PDEATHSIG, SIGTERM) < 0 || getppid() != runner)
        _exit(EXIT_FAILURE);

    test = fork();
    if (test < 0)
        _exit(EXIT_FAILURE);
    if (test == 0)
        test_exec(entry, files, directory);

    if (reap_until(test, start_ms + (int64_t)(limit_s * 1000), &status)) {
        verdict->elapsed_ms = now_ms() - start_ms;
        code = status_judge(status, report);
        if (leftovers_judge(report) != 0)
            code = EXIT_FAILURE;
    } else {
        verdict->elapsed_ms = now_ms() - start_ms;
        fprintf(report, "no end within %.0f s; these ran:\n", limit_s);
        descendants_print(getpid(), report);
        kill_all();
    }
    if (code == 0 && entry->expected_path != NULL &&
        !output_matches(files->out, entry->expected_path, report))
        code = EXIT_FAILURE;
    fflush(report);
    verdict->exit_code = code;
    _exit(EXIT_SUCCESS);
}
