/*
 * A job's life: pipes, process, reading, and the settling of it all at its end.
 */
#include "map_job.h"

#include "cmd.h"
#include "map_quote.h"
#include "map_run.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <unistd.h>

extern char **environ;

/* A job killed for its timeout shows the code that timeout(1) made known. */
#define CODE_TIMEOUT 124

static bool is_ours(const char *entry)
{
    return strncmp(entry, "BROOD_SEQ=", 10) == 0 || strncmp(entry, "BROOD_SLOT=", 11) == 0;
}

struct job *job_create(unsigned slot)
{
    struct job *job = calloc(1, sizeof *job);
    size_t count = 0, at = 0;

    if (job == NULL)
        return NULL;
    while (environ[count] != NULL)
        count++;
    job->environment = calloc(count + 3, sizeof *job->environment);
    if (job->environment == NULL) {
        free(job);
        return NULL;
    }
    job->environment[at++] = job->seq_text;
    job->environment[at++] = job->slot_text;
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(environ[i]))
            job->environment[at++] = environ[i];
    }
    (void)snprintf(job->slot_text, sizeof job->slot_text, "BROOD_SLOT=%u", slot);
    job->slot = slot;
    job->pid_fd = -1;
    job->out.fd = -1;
    job->err.fd = -1;
    return job;
}

void job_free(struct job *job)
{
    if (job == NULL)
        return;
    brood_process_free(job->process);
    args_free(&job->args);
    free(job->environment);
    free(job);
}

static void watch(struct run *run, struct job *job, int fd, enum event_kind kind)
{
    struct epoll_event event = { .events = EPOLLIN };

    event.data.u64 = (uint64_t)job->generation << 32 | (uint64_t)job->slot << 3 | kind;
    /* No memory for the kernel's entry: the clock looks after the job (without_pidfd). */
    (void)epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void watch_pipe(struct run *run, struct job *job, struct job_pipe *end)
{
    if (end->fd < 0 || end->registered)
        return;
    watch(run, job, end->fd, end == &job->out ? EVENT_OUT : EVENT_ERR);
    end->registered = true;
}

static void unwatch_pipe(struct run *run, struct job_pipe *end)
{
    if (end->fd >= 0 && end->registered)
        (void)epoll_ctl(run->epoll_fd, EPOLL_CTL_DEL, end->fd, NULL);
    end->registered = false;
}

/* Closing takes it out of the epoll set: nobody else has this end open. */
static void close_pipe(struct job_pipe *end)
{
    if (end->fd >= 0) {
        (void)close(end->fd);
        (void)close(end->held);
    }
    end->fd = end->held = -1;
    end->registered = false;
}

/* Makes the process with its pipes. */
static int make_process(struct run *run, struct job *job)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int out[2], err[2], r;

    if (pipe2(out, O_CLOEXEC) < 0)
        return -errno;
    if (pipe2(err, O_CLOEXEC) < 0) {
        r = -errno;
        (void)close(out[0]);
        (void)close(out[1]);
        return r;
    }
    job->out.fd = out[0];
    job->err.fd = err[0];
    job->out.held = out[1];
    job->err.held = err[1];
    (void)snprintf(job->seq_text, sizeof job->seq_text, "BROOD_SEQ=%llu",
                   (unsigned long long)job->seq);
    options.daemon = BROOD_DAEMON_YES;
    options.process_group = BROOD_GROUP_NEW;
    options.stdin_fd = run->null_fd;
    options.stdout_fd = out[1];
    options.stderr_fd = err[1];
    options.environment = job->environment;
    return brood_process_create_command((const char *const *)job->args.vector, &options,
                                        &job->process);
}

static void watch_job(struct run *run, struct job *job)
{
    job->pid_fd = brood_process_pidfd(job->process);
    if (job->pid_fd >= 0)
        watch(run, job, job->pid_fd, EVENT_PID);
    else
        run->without_pidfd++;
    watch_pipe(run, job, &job->out);
    watch_pipe(run, job, &job->err);
}

int job_start(struct run *run, struct job *job)
{
    int r;

    job->generation++;
    job->out.bytes = job->err.bytes = 0;
    job->paused = job->direct = job->stopping = job->timed_out = job->interrupted = false;
    job->deadline = NO_DEADLINE;
    job->deadline_kind = DEADLINE_NONE;
    job->started = cmd_now();
    if (run->log.fd >= 0)
        (void)clock_gettime(CLOCK_REALTIME, &job->started_real);

    r = make_process(run, job);
    if (r == 0)
        r = brood_process_start(job->process);
    /* The job's ends of the pipes stay open here as well, so that its exit wakes us once, by
     * the pidfd, and not before that by each pipe's end. Then they are drained and closed. */
    if (r < 0) {
        close_pipe(&job->out);
        close_pipe(&job->err);
        brood_process_free(job->process);
        job->process = NULL;
        return r;
    }
    job->state = JOB_RUNNING;
    run->running++;
    watch_job(run, job);
    if (run->options->timeout_ns > 0) {
        job->deadline = job->started + run->options->timeout_ns;
        job->deadline_kind = DEADLINE_TIMEOUT;
        run_set_timer(run, job->deadline);
    }
    return 0;
}

static void pause_job(struct run *run, struct job *job)
{
    if (job->paused)
        return;
    job->paused = true;
    run->paused++;
    unwatch_pipe(run, &job->out);
    unwatch_pipe(run, &job->err);
}

/* Takes bytes that the job wrote: to where it is printed, or to its buffer. */
static void take_bytes(struct run *run, struct job *job, struct job_pipe *end, size_t length)
{
    struct output *output = &run->output;
    int r;

    end->bytes += length;
    if (job->direct) {
        (void)sink_write(end == &job->out ? &output->out : &output->err, run->block, length);
        return;
    }
    r = stream_append(&end->stream, &output->spill, run->block, length);
    if (r == -ENOMEM && output->error == 0)
        output->error = r;
    if (r < 0 && r != -ENOMEM) {
        output_spill_failed(output, r);
        pause_job(run, job);
    }
}

void job_read(struct run *run, struct job *job, struct job_pipe *end, uint32_t events)
{
    ssize_t got;

    if (end->fd < 0)
        return;
    /* Hung up and empty: there is no need to ask read() for that. */
    if ((events & EPOLLIN) == 0) {
        close_pipe(end);
        return;
    }
    got = read(end->fd, run->block, RUN_BLOCK_BYTES);
    if (got > 0)
        take_bytes(run, job, end, (size_t)got);
    else if (got == 0 || (errno != EINTR && errno != EAGAIN))
        close_pipe(end);
}

/*
 * Reads what is in the pipe at this moment and no more: a process that the job left behind
 * may go on writing, and is not waited for.
 */
static void drain_pipe(struct run *run, struct job *job, struct job_pipe *end)
{
    int left = 0;

    if (end->fd < 0)
        return;
    if (ioctl(end->fd, FIONREAD, &left) < 0)
        left = 0;
    while (left > 0) {
        size_t step = (size_t)left < RUN_BLOCK_BYTES ? (size_t)left : RUN_BLOCK_BYTES;
        ssize_t got = read(end->fd, run->block, step);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        take_bytes(run, job, end, (size_t)got);
        left -= (int)got;
    }
    close_pipe(end);
}

void job_go_direct(struct run *run, struct job *job)
{
    struct output *output = &run->output;

    if (!job->paused || !output_claim(output, job->seq))
        return;
    job->paused = false;
    run->paused--;
    job->direct = true;
    (void)stream_print(&job->out.stream, &output->spill, &output->out);
    (void)stream_print(&job->err.stream, &output->spill, &output->err);
    watch_pipe(run, job, &job->out);
    watch_pipe(run, job, &job->err);
}

static int exit_code(const struct job *job, const brood_exit *end)
{
    if (job->timed_out)
        return CODE_TIMEOUT;
    if (end->kind == BROOD_EXIT_SIGNAL)
        return 128 + end->signal;
    return end->kind == BROOD_EXIT_CODE ? end->code : 255;
}

/* Hands what the job leaves over to the output, its record with it. */
static void hand_over(struct run *run, struct job *job, const struct job_record *record)
{
    struct finished finished = { .out = job->out.stream, .err = job->err.stream };
    int r;

    job->out.stream = (struct stream){ .memory = NULL };
    job->err.stream = (struct stream){ .memory = NULL };
    if (record != NULL) {
        finished.record = log_format(&run->log, record, &finished.record_length);
        if (finished.record == NULL)
            log_lose(&run->log, -ENOMEM);
    }
    r = output_add(&run->output, job->seq, &finished);
    if (r < 0 && run->output.error == 0)
        run->output.error = r;
    job->state = JOB_FREE;
}

static void begin_record(const struct job *job, struct job_record *record)
{
    record->seq = job->seq;
    record->argv = job->args.vector;
    record->argc = job->args.count;
    record->slot = job->slot;
    record->start = job->started_real;
    record->out_bytes = job->out.bytes;
    record->err_bytes = job->err.bytes;
}

static void fill_record(const struct job *job, const brood_exit *end, struct job_record *record)
{
    begin_record(job, record);
    record->ran = true;
    record->wall_ns = end->wall_ns;
    record->code = exit_code(job, end);
    record->signal = end->kind == BROOD_EXIT_SIGNAL ? end->signal : 0;
    record->core = end->core_dumped != 0;
    record->timeout = job->timed_out;
    record->interrupted = job->interrupted;
    record->user_ns = end->user_ns;
    record->system_ns = end->system_ns;
    record->max_rss_bytes = end->max_rss_bytes;
    if (end->kind == BROOD_EXIT_UNKNOWN)
        record->error = "its exit status was taken by another wait";
}

static void count_end(struct run *run, const struct job *job, const brood_exit *end)
{
    char how[64];

    run->done++;
    if (end->kind == BROOD_EXIT_CODE && end->code == 0 && !job->timed_out)
        return;
    if (job->interrupted) {
        run->ended_early++;
        return;
    }
    if (job->timed_out)
        (void)snprintf(how, sizeof how, "timed out");
    else if (end->kind == BROOD_EXIT_SIGNAL)
        (void)snprintf(how, sizeof how, "signal %d", end->signal);
    else
        (void)snprintf(how, sizeof how, "exit %d", exit_code(job, end));
    report_failure(run, job, how);
}

void job_end(struct run *run, struct job *job)
{
    brood_exit end = BROOD_EXIT_INIT;
    struct job_record record = { .seq = 0 };

    if (job->state != JOB_RUNNING || brood_process_try_join(job->process) == -EBUSY)
        return;
    if (brood_process_exit(job->process, &end) < 0)
        end.kind = BROOD_EXIT_UNKNOWN;
    drain_pipe(run, job, &job->out);
    drain_pipe(run, job, &job->err);
    /* Asked to end, it ends with all that descends from it. */
    if (job->stopping)
        (void)brood_process_signal(job->process, SIGKILL, BROOD_SCOPE_TREE);
    if (job->pid_fd < 0)
        run->without_pidfd--;
    brood_process_free(job->process);
    job->process = NULL;
    job->pid_fd = -1;
    if (job->paused)
        run->paused--;
    job->paused = false;
    run->running--;
    run->start_blocked = false;
    count_end(run, job, &end);
    if (run->log.fd >= 0)
        fill_record(job, &end, &record);
    hand_over(run, job, run->log.fd >= 0 ? &record : NULL);
}

void job_never_ran(struct run *run, struct job *job, int error, const char *why)
{
    struct job_record record = { .code = error == -ENOENT ? STATUS_NOT_FOUND
                                                          : STATUS_NOT_EXECUTABLE };
    char line[256];
    int length;

    job->out.bytes = job->err.bytes = 0;
    if (run->log.fd >= 0)
        (void)clock_gettime(CLOCK_REALTIME, &job->started_real);
    run->done++;
    report_failure(run, job, why);
    begin_record(job, &record);
    record.error = why;
    /* Said in the place of the job's own error output, so that it comes in its turn. */
    (void)quote_line(line, sizeof line, job->args.vector, job->args.count);
    length = snprintf(run->block, RUN_BLOCK_BYTES, "brood map: job %llu did not run: %s: %s\n",
                      (unsigned long long)job->seq, why, line);
    (void)stream_append(&job->err.stream, &run->output.spill, run->block, (size_t)length);
    hand_over(run, job, run->log.fd >= 0 ? &record : NULL);
}
