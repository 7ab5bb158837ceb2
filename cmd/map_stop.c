/*
 * Ending jobs before their time: politely first, then for good. Nothing here waits; the
 * event loop hears when a job has gone.
 */
#include "cmd.h"
#include "map_run.h"

#include <signal.h>

void stop_job(struct run *run, struct job *job, int signal, int scope)
{
    job->stopping = true;
    (void)brood_process_signal(job->process, signal, scope);
    /* One that is stopped would not hear it. */
    (void)brood_process_signal(job->process, SIGCONT, scope);
    job->deadline = cmd_now() + run->options->grace_ns;
    job->deadline_kind = DEADLINE_KILL;
    run_set_timer(run, job->deadline);
}

void stop_all(struct run *run, int signal, int scope)
{
    run->no_start = true;
    for (unsigned i = 1; i <= run->slot_count; i++) {
        struct job *job = run->jobs[i];

        if (job->state != JOB_RUNNING || job->stopping)
            continue;
        job->interrupted = true;
        stop_job(run, job, signal, scope);
    }
}

static void kill_job(struct job *job)
{
    job->stopping = true;
    job->deadline = NO_DEADLINE;
    job->deadline_kind = DEADLINE_NONE;
    (void)brood_process_signal(job->process, SIGKILL, BROOD_SCOPE_TREE);
}

void kill_all(struct run *run)
{
    run->no_start = true;
    for (unsigned i = 1; i <= run->slot_count; i++) {
        if (run->jobs[i]->state != JOB_RUNNING)
            continue;
        run->jobs[i]->interrupted = true;
        kill_job(run->jobs[i]);
    }
}

void stop_deadlines(struct run *run, int64_t now)
{
    for (unsigned i = 1; i <= run->slot_count; i++) {
        struct job *job = run->jobs[i];

        if (job->state != JOB_RUNNING || job->deadline_kind == DEADLINE_NONE)
            continue;
        if (job->deadline > now) {
            run_set_timer(run, job->deadline);
        } else if (job->deadline_kind == DEADLINE_KILL) {
            kill_job(job);
        } else {
            job->timed_out = true;
            stop_job(run, job, SIGTERM, BROOD_SCOPE_TREE);
        }
    }
}
