/*
 * Signals to the runner, read from a descriptor like everything else.
 *
 *     INT TERM HUP  first: start nothing more, pass it on to the jobs' groups, KILL after
 *                   --grace, and end by the same signal. Second: KILL now. Third: leave.
 *     QUIT          say what runs
 *     USR1, USR2    one job more or fewer at a time
 *     TSTP          stop the jobs, then ourselves; continue them with us
 *
 * A signal that was ignored when we started stays ignored: nohup, and & of a shell.
 */
#include "cmd.h"
#include "map_quote.h"
#include "map_run.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/signalfd.h>
#include <unistd.h>

static const int handled[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGTSTP };

int signals_open(struct run *run)
{
    struct sigaction ignore = { .sa_handler = SIG_IGN }, before;

    (void)sigemptyset(&run->signals);
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) {
        if (sigaction(handled[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            (void)sigaddset(&run->signals, handled[i]);
    }
    /* Writing has to come back with EPIPE or EFBIG, so that jobs and log are cared for. */
    if (sigaction(SIGPIPE, &ignore, &before) == 0)
        run->pipe_was_ignored = before.sa_handler == SIG_IGN;
    (void)sigaction(SIGXFSZ, &ignore, NULL);
    if (sigprocmask(SIG_BLOCK, &run->signals, NULL) < 0)
        return -errno;
    run->signal_fd = signalfd(-1, &run->signals, SFD_CLOEXEC | SFD_NONBLOCK);
    return run->signal_fd < 0 ? -errno : 0;
}

static void on_end(struct run *run, int signal)
{
    run->signal_count++;
    run->start_blocked = false;
    if (run->signal_count == 1) {
        run->death_signal = signal;
        stop_all(run, signal, BROOD_SCOPE_GROUP);
    } else if (run->signal_count == 2) {
        run->abandoned = true;
        kill_all(run);
    } else {
        run->walk_away = true;
    }
}

static void on_quit(struct run *run)
{
    char line[512];
    int64_t now = cmd_now();

    for (unsigned i = 1; i <= run->slot_count; i++) {
        const struct job *job = run->jobs[i];

        if (job->state != JOB_RUNNING)
            continue;
        (void)quote_line(line, sizeof line, job->args.vector, job->args.count);
        cmd_say("running: job %llu, slot %u, pid %d, %.1f s: %s", (unsigned long long)job->seq,
                job->slot, brood_process_pid(job->process),
                (double)(now - job->started) / (double)NS_PER_SECOND, line);
    }
    cmd_say("%llu done, %llu failed, %u running, %u at a time", (unsigned long long)run->done,
            (unsigned long long)run->failed, run->running, run->limit);
}

static void signal_jobs(struct run *run, int signal, int64_t shift)
{
    for (unsigned i = 1; i <= run->slot_count; i++) {
        struct job *job = run->jobs[i];

        if (job->state != JOB_RUNNING)
            continue;
        (void)brood_process_signal(job->process, signal, BROOD_SCOPE_GROUP);
        if (job->deadline_kind != DEADLINE_NONE) {
            job->deadline += shift;
            run_set_timer(run, job->deadline);
        }
    }
}

/* What the kernel would do with TSTP, except that the jobs, in groups of their own, join in. */
static void on_stop(struct run *run)
{
    int64_t before = cmd_now();
    sigset_t stop;

    progress_erase(&run->progress);
    signal_jobs(run, SIGSTOP, 0);
    (void)sigemptyset(&stop);
    (void)sigaddset(&stop, SIGTSTP);
    (void)raise(SIGTSTP);
    (void)sigprocmask(SIG_UNBLOCK, &stop, NULL); /* here we stop, until SIGCONT */
    (void)sigprocmask(SIG_BLOCK, &stop, NULL);
    signal_jobs(run, SIGCONT, cmd_now() - before);
}

static void on_signal(struct run *run, int signal)
{
    switch (signal) {
    case SIGQUIT: on_quit(run); break;
    case SIGUSR1: run->limit++; break;
    case SIGUSR2: run->limit -= run->limit > 1; break;
    case SIGTSTP: on_stop(run); break;
    default: on_end(run, signal); break;
    }
}

void signals_read(struct run *run)
{
    struct signalfd_siginfo info;

    while (read(run->signal_fd, &info, sizeof info) == (ssize_t)sizeof info)
        on_signal(run, (int)info.ssi_signo);
}

void signals_die(const struct run *run)
{
    struct sigaction action = { .sa_handler = SIG_DFL };
    sigset_t one;

    (void)sigaction(run->death_signal, &action, NULL);
    (void)sigemptyset(&one);
    (void)sigaddset(&one, run->death_signal);
    (void)raise(run->death_signal);
    (void)sigprocmask(SIG_UNBLOCK, &one, NULL);
}
