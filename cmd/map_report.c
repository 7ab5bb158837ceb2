/*
 * What is said at the end, one line a fact, and the exit status that goes with it.
 */
#include "cmd.h"
#include "map_quote.h"
#include "map_run.h"

#include <errno.h>
#include <stdio.h>

void report_failure(struct run *run, const struct job *job, const char *how)
{
    int length;

    run->failed++;
    if (run->failed > 1)
        return;
    run->first_failure_seq = job->seq;
    length = snprintf(run->first_failure, sizeof run->first_failure,
                      "job %llu, %s: ", (unsigned long long)job->seq, how);
    if (length > 0 && (size_t)length < sizeof run->first_failure - 16)
        (void)quote_line(run->first_failure + length,
                         sizeof run->first_failure - (size_t)length, job->args.vector,
                         job->args.count);
}

void report_limit(struct run *run, int error)
{
    if (run->said_limit)
        return;
    run->said_limit = true;
    cmd_say("%u jobs at a time: %s", run->running, brood_strerror(error));
}

static const char *signal_name(int signal)
{
    switch (signal) {
    case SIGINT: return "SIGINT";
    case SIGTERM: return "SIGTERM";
    case SIGHUP: return "SIGHUP";
    default: return "a signal";
    }
}

static void say_why_early(const struct run *run)
{
    bool items_left = !run->input_done || run->ready != NULL;

    if (run->death_signal == SIGPIPE)
        return;
    if (run->death_signal != 0)
        cmd_say("ended by %s: %llu jobs cut off%s", signal_name(run->death_signal),
                (unsigned long long)run->ended_early,
                items_left ? ", items left that were not run" : "");
    else if (run->halted)
        cmd_say("stopped by --halt: %llu jobs cut off%s", (unsigned long long)run->ended_early,
                items_left ? ", items left that were not run" : "");
    else if (run->output.error != 0 && items_left)
        cmd_say("stopped: items left that were not run");
}

int report_end(struct run *run)
{
    bool items_left = !run->input_done || run->ready != NULL;

    say_why_early(run);
    if (run->failed > 0 && run->not_found == 0)
        cmd_say("%llu of %llu jobs failed (first: %s)", (unsigned long long)run->failed,
                (unsigned long long)run->done, run->first_failure);
    if (run->log.lost_count > 0)
        cmd_say("%llu records are missing in the job log",
                (unsigned long long)run->log.lost_count);
    if (run->lost_input || run->lost_jobs || run->output.error == -ENOMEM)
        return STATUS_RESOURCE;
    if (run->output.error != 0 || run->log.lost_count > 0)
        return STATUS_OUTPUT;
    if (run->not_found != 0)
        return run->not_found;
    if (run->halted && (items_left || run->ended_early > 0))
        return STATUS_HALTED;
    return run->failed > 0 ? STATUS_JOBS_FAILED : STATUS_OK;
}
