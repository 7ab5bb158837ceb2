/*
 * The event loop. Each round: serve what happened, start what may start, print what may be
 * printed. Jobs are started before anything is printed, so that processors do not wait for
 * the reader of our output.
 */
#include "map_run.h"

#include "cmd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_MAX 64
#define RETRY_FIRST (10 * NS_PER_MS)
#define RETRY_MAX (5 * NS_PER_SECOND)
#define LOOK_PERIOD (20 * NS_PER_MS) /* at jobs for which no descriptor was left */

void run_set_timer(struct run *run, int64_t when)
{
    struct itimerspec spec = { .it_interval = { 0, 0 } };

    if (when >= run->timer_set)
        return;
    run->timer_set = when;
    if (when < 1)
        when = 1;
    spec.it_value.tv_sec = (time_t)(when / NS_PER_SECOND);
    spec.it_value.tv_nsec = (long)(when % NS_PER_SECOND);
    (void)timerfd_settime(run->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static void on_timer(struct run *run)
{
    uint64_t ticks;
    int64_t now = cmd_now();

    if (read(run->timer_fd, &ticks, sizeof ticks) < 0 && errno != EAGAIN)
        return;
    run->timer_set = NO_DEADLINE;
    stop_deadlines(run, now);
    run_set_timer(run, run->progress.next > now ? run->progress.next : now + NS_PER_MS);
    if (run->retry_at > now)
        run_set_timer(run, run->retry_at);
    if (run->without_pidfd > 0)
        run_set_timer(run, now + LOOK_PERIOD);
}

/* The sinks wait here. Signals and deadlines go on; jobs are neither started nor settled. */
static int wait_writable(int fd, void *user)
{
    struct run *run = user;
    struct pollfd fds[3] = { { .fd = fd, .events = POLLOUT },
                             { .fd = run->signal_fd, .events = POLLIN },
                             { .fd = run->timer_fd, .events = POLLIN } };

    if (run->progress.width_shown > 0)
        progress_erase(&run->progress);
    while (!run->abandoned) {
        if (poll(fds, 3, -1) < 0 && errno != EINTR)
            return -errno;
        if (fds[0].revents != 0)
            return 0;
        if (fds[1].revents != 0)
            signals_read(run);
        if (fds[2].revents != 0)
            on_timer(run);
    }
    return -ECANCELED;
}

static void arm_input(struct run *run)
{
    struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u64 = EVENT_INPUT };
    int operation = run->input_registered ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

    if (epoll_ctl(run->epoll_fd, operation, run->input.fd, &event) == 0) {
        run->input_registered = true;
        return;
    }
    /* Not a thing to wait for, such as /dev/null: it never blocks either. */
    run->input.ready_always = true;
}

static struct job *free_slot(struct run *run)
{
    struct job **grown;
    unsigned slot;

    for (unsigned i = 1; i <= run->slot_count; i++) {
        if (run->jobs[i]->state == JOB_FREE)
            return run->jobs[i];
    }
    slot = run->slot_count + 1;
    grown = realloc(run->jobs, (slot + 1) * sizeof *grown);
    if (grown == NULL)
        return NULL;
    run->jobs = grown;
    run->jobs[0] = NULL;
    run->jobs[slot] = job_create(slot);
    if (run->jobs[slot] == NULL)
        return NULL;
    run->slot_count = slot;
    return run->jobs[slot];
}

static void end_of_input(struct run *run)
{
    run->input_done = true;
    if (run->input.error == 0)
        return;
    run->lost_input = true;
    cmd_say("items: %s: %s",
            run->options->input_path == NULL ? "standard input" : run->options->input_path,
            brood_strerror(run->input.error));
}

static void out_of_memory(struct run *run)
{
    if (!run->lost_jobs)
        cmd_say("items that could not be run: %s", brood_strerror(-ENOMEM));
    run->lost_jobs = true;
    run->no_start = true;
}

/* The next batch of items as a job in `job`. Returns true if there is one. */
static bool prepare_job(struct run *run, struct job *job, int *ret_item_error)
{
    struct item *items;
    size_t count;

    for (;;) {
        enum input_answer answer = input_take(&run->input, &items, &count, ret_item_error);

        if (answer == INPUT_ITEMS)
            break;
        if (answer == INPUT_FINISHED) {
            end_of_input(run);
            return false;
        }
        if (!run->input.ready_always) {
            arm_input(run);
            if (!run->input.ready_always)
                return false;
        }
        if (input_fill(&run->input) < 0) {
            out_of_memory(run);
            return false;
        }
    }
    job->seq = run->next_seq++;
    if (template_expand(&run->tmpl, items, count, job->seq, job->slot, &job->args) < 0) {
        out_of_memory(run);
        return false;
    }
    return true;
}

/* Errors that another moment may cure; all others are the job's own. */
static bool is_shortage(int error)
{
    return error == -EAGAIN || error == -ENOMEM || error == -EMFILE || error == -ENFILE;
}

/* The job could not start for want of something: wait for a job to end, or for a while. */
static void postpone(struct run *run, struct job *job, int error)
{
    int64_t now = cmd_now();

    job->state = JOB_READY;
    run->ready = job;
    if (run->running > 0) {
        report_limit(run, error);
        if (error == -EMFILE || error == -ENFILE)
            run->limit = run->running;
        run->start_blocked = true;
        return;
    }
    if (run->retry_since == 0)
        run->retry_since = now;
    if (now - run->retry_since > RETRY_MAX) {
        cmd_say("jobs cannot be started: %s; items left that were not run",
                brood_strerror(error));
        run->lost_jobs = true;
        run->no_start = true;
        return;
    }
    run->retry_at = now + RETRY_FIRST;
    run_set_timer(run, run->retry_at);
}

/* Whether the command as such cannot be run, rather than this one job. */
static bool command_is_bad(const struct run *run, const struct job *job, int error)
{
    return job->seq == 1 && run->tmpl.command_is_fixed && error != -E2BIG;
}

static void check_halt(struct run *run)
{
    const struct halt *halt = &run->options->halt;
    uint64_t total = run->input_done ? run->next_seq - 1 : run->total;

    if (run->halted || run->no_start || !halt_is_met(halt, run->done, run->failed, total))
        return;
    run->halted = true;
    run->no_start = true;
    if (halt->now)
        stop_all(run, SIGTERM, BROOD_SCOPE_TREE);
}

static void start_job(struct run *run, struct job *job, int item_error)
{
    int r = item_error == 0 ? job_start(run, job) : item_error;

    if (r == 0) {
        run->retry_since = 0;
        run->ready = NULL;
        return;
    }
    if (item_error == 0 && is_shortage(r)) {
        postpone(run, job, r);
        return;
    }
    run->ready = NULL;
    if (item_error == 0 && command_is_bad(run, job, r)) {
        run->not_found = r == -ENOENT ? STATUS_NOT_FOUND : STATUS_NOT_EXECUTABLE;
        run->no_start = true;
    }
    job_never_ran(run, job, r,
                  r == -EINVAL && item_error != 0 ? "the item holds a NUL byte"
                                                  : brood_strerror(r));
    check_halt(run);
}

static void start_jobs(struct run *run)
{
    while (!run->no_start && !run->start_blocked && run->running < run->limit &&
           !output_is_full(&run->output)) {
        struct job *job = run->ready;
        int item_error = 0;

        if (run->retry_at != 0 && run->retry_at > cmd_now())
            return;
        run->retry_at = 0;
        if (job == NULL) {
            if (run->input_done)
                return;
            job = free_slot(run);
            if (job == NULL) {
                out_of_memory(run);
                return;
            }
            if (!prepare_job(run, job, &item_error))
                return;
        }
        start_job(run, job, item_error);
        /* Jobs that never run cost nothing, and there may be millions of them. */
        if (run->running == 0)
            output_flush(&run->output);
    }
}

static void on_job_event(struct run *run, uint64_t data, uint32_t events)
{
    unsigned slot = (unsigned)(data & UINT32_MAX) >> 3;
    struct job *job = slot <= run->slot_count ? run->jobs[slot] : NULL;

    if (job == NULL || job->state != JOB_RUNNING || job->generation != data >> 32)
        return;
    switch ((enum event_kind)(data & 7)) {
    case EVENT_PID:
        job_end(run, job);
        check_halt(run);
        break;
    case EVENT_OUT: job_read(run, job, &job->out, events); break;
    case EVENT_ERR: job_read(run, job, &job->err, events); break;
    default: break;
    }
}

static void on_event(struct run *run, const struct epoll_event *event)
{
    switch ((enum event_kind)(event->data.u64 & 7)) {
    case EVENT_INPUT:
        if (input_fill(&run->input) < 0)
            out_of_memory(run);
        break;
    case EVENT_SIGNAL: signals_read(run); break;
    case EVENT_TIMER: on_timer(run); break;
    default: on_job_event(run, event->data.u64, event->events); break;
    }
}

/* Jobs without a descriptor, and jobs that may now be printed directly. */
static void look_after_jobs(struct run *run)
{
    if (run->without_pidfd == 0 && run->paused == 0)
        return;
    for (unsigned i = 1; i <= run->slot_count; i++) {
        struct job *job = run->jobs[i];

        if (job->state == JOB_RUNNING && job->pid_fd < 0) {
            job_end(run, job);
            check_halt(run);
            run_set_timer(run, cmd_now() + LOOK_PERIOD);
        }
        if (job->state == JOB_RUNNING && job->paused)
            job_go_direct(run, job);
    }
}

static void show_progress(struct run *run)
{
    struct counts counts = { run->done, run->failed, run->total, run->running };
    const struct sink *out = &run->output.out, *err = &run->output.err;

    if (run->progress.mode == PROGRESS_NONE)
        return;
    if (run->input_done)
        counts.total = run->next_seq - 1;
    progress_update(&run->progress, &counts,
                    (out->is_terminal && !out->at_line_start) ||
                        (err->is_terminal && !err->at_line_start));
    run_set_timer(run, run->progress.next);
}

/* Output that cannot be delivered ends the run: quietly if the reader has gone. */
static void check_output(struct run *run)
{
    int error;

    if (run->output_reported || !output_failed(&run->output))
        return;
    run->output_reported = true;
    run->no_start = true;
    error = run->output.error;
    if (error == -ECANCELED)
        return;
    if (error == -EPIPE && !run->pipe_was_ignored) {
        if (run->death_signal == 0)
            run->death_signal = SIGPIPE;
        stop_all(run, SIGTERM, BROOD_SCOPE_TREE);
        return;
    }
    cmd_say("%s: %s",
            run->output.out.error != 0   ? "standard output"
            : run->output.err.error != 0 ? "standard error"
                                         : "output of jobs",
            brood_strerror(error));
}

static bool is_over(const struct run *run)
{
    if (run->running > 0)
        return run->walk_away;
    return run->no_start || (run->input_done && run->ready == NULL);
}

static int loop(struct run *run)
{
    struct epoll_event events[EVENTS_MAX];

    for (;;) {
        int count;

        /* What waits to be printed can be what keeps jobs from starting. */
        if (output_is_full(&run->output))
            output_flush(&run->output);
        start_jobs(run);
        output_flush(&run->output);
        look_after_jobs(run);
        check_output(run);
        show_progress(run);
        if (is_over(run))
            return 0;
        count = epoll_wait(run->epoll_fd, events, EVENTS_MAX, -1);
        if (count < 0 && errno != EINTR)
            return -errno;
        for (int i = 0; i < count; i++)
            on_event(run, &events[i]);
    }
}

static int watch_fd(const struct run *run, int fd, enum event_kind kind)
{
    struct epoll_event event = { .events = EPOLLIN, .data.u64 = kind };

    if (fd < 0)
        return -errno;
    return epoll_ctl(run->epoll_fd, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

static int open_all(struct run *run)
{
    int r;

    run->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (run->epoll_fd < 0)
        return -errno;
    run->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    r = watch_fd(run, run->timer_fd, EVENT_TIMER);
    if (r == 0)
        r = watch_fd(run, run->signal_fd, EVENT_SIGNAL);
    if (r < 0)
        return r;
    run->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (run->null_fd < 0)
        return -errno;
    run->block = malloc(RUN_BLOCK_BYTES);
    return run->block == NULL ? -ENOMEM : 0;
}

static void close_all(struct run *run)
{
    for (unsigned i = 1; i <= run->slot_count; i++)
        job_free(run->jobs[i]);
    free(run->jobs);
    free(run->block);
    output_close(&run->output);
    if (run->epoll_fd >= 0)
        (void)close(run->epoll_fd);
    if (run->timer_fd >= 0)
        (void)close(run->timer_fd);
    if (run->signal_fd >= 0)
        (void)close(run->signal_fd);
    if (run->null_fd >= 0)
        (void)close(run->null_fd);
}

static void erase_bar(void *user)
{
    progress_erase(user);
}

/* The jobs there will be, where that can be told before they are run. */
static void count_total(struct run *run)
{
    const struct map_options *options = run->options;
    uint64_t items;

    if (run->progress.mode == PROGRESS_NONE && !options->halt.is_percent)
        return;
    items = input_count(&run->input);
    run->total = (items + options->batch_count - 1) / options->batch_count;
}

/* Whether a halt left items unrun can only be told by looking whether there are any. */
static void look_for_more(struct run *run)
{
    struct pollfd fd = { .fd = run->input.fd, .events = POLLIN };
    struct item *items;
    size_t count;
    int error;

    while (!run->input_done) {
        enum input_answer answer = input_take(&run->input, &items, &count, &error);

        if (answer == INPUT_FINISHED)
            end_of_input(run);
        if (answer != INPUT_WAIT)
            return;
        if (!run->input.ready_always && poll(&fd, 1, 0) <= 0)
            return;
        if (input_fill(&run->input) < 0)
            return;
    }
}

int run_all(struct run *run, const struct map_options *options)
{
    struct counts counts;
    int r, status;

    run->options = options;
    run->limit = options->job_limit;
    run->next_seq = 1;
    run->timer_set = NO_DEADLINE;
    run->epoll_fd = run->timer_fd = run->signal_fd = run->null_fd = -1;
    progress_open(&run->progress, options->progress);
    cmd_before_say(erase_bar, &run->progress);
    output_open(&run->output, options->keep_order, options->buffer_bytes, &run->log,
                wait_writable, run);
    /* Signals are blocked before the guardian starts, so that its thread inherits that. */
    r = signals_open(run);
    if (r == 0)
        r = brood_guardian_start(NULL);
    if (r == 0)
        r = open_all(run);
    if (r == 0) {
        count_total(run);
        r = loop(run);
    }
    if (r < 0) {
        cmd_say("cannot run jobs: %s", brood_strerror(r));
        run->lost_jobs = true;
    }
    if (run->halted)
        look_for_more(run);
    counts = (struct counts){ run->done, run->failed, run->next_seq - 1, run->running };
    progress_close(&run->progress, &counts);
    status = report_end(run);
    close_all(run);
    cmd_before_say(NULL, NULL);
    return status;
}
