/*
 * 24_whichever_first: three workers wait for a job or the end, whichever comes first.
 * Jobs are counted by a semaphore, the end is an event. For each job a worker reads a table
 * of fares, which the parent changes meanwhile: many read at a time, and nobody sees half a
 * change. Prints the jobs done, the changes, the halves seen, and how many workers the end
 * stopped. Next: the guide, ../docs/guide/sharing.md.
 */
#include <brood.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define WORKER_COUNT 3
#define JOB_COUNT 60
#define FARE_COUNT 16
#define SUM 100 /* of the fares of a way and the way back */
#define PATIENCE brood_seconds(20)

/* In shared memory: the workers, forked processes, use it by the same pointer. */
struct office {
    brood_event *stop;
    brood_semaphore *jobs; /* signals from the parent to the workers */
    brood_semaphore *done; /* and back */
    brood_rwlock *fares_lock;
    int there[FARE_COUNT]; /* both under fares_lock */
    int back[FARE_COUNT];
    atomic_int jobs_done;
    atomic_int halves_seen;
    atomic_int stopped;
};

/* After the death of a writer: `there` is right, and `back` follows from it. */
static void repair(struct office *office)
{
    for (int i = 0; i < FARE_COUNT; i++)
        office->back[i] = SUM - office->there[i];
}

static int do_job(struct office *office)
{
    int r = brood_rwlock_acquire_read(office->fares_lock, PATIENCE);

    if (r < 0)
        return r;
    if (r == BROOD_LOCK_RECOVERED)
        repair(office); /* a reader that hears this is alone */
    for (int i = 0; i < FARE_COUNT; i++)
        if (office->there[i] + office->back[i] != SUM)
            atomic_fetch_add(&office->halves_seen, 1);
    return brood_rwlock_release_read(office->fares_lock);
}

static int work(void *argument, size_t argument_bytes)
{
    struct office *office = *(struct office *const *)argument;
    const brood_waitable items[] = { { .object = office->stop }, { .object = office->jobs } };
    size_t which = 1;
    int r = 0;

    (void)argument_bytes;
    while (r == 0) {
        r = brood_wait_any(items, 2, PATIENCE, &which); /* if both, the first: the end */
        if (r < 0 || which == 0)
            break;
        r = do_job(office);
        if (r == 0) {
            atomic_fetch_add(&office->jobs_done, 1);
            r = brood_semaphore_release(office->done, 1);
        }
    }
    if (r == 0)
        atomic_fetch_add(&office->stopped, 1);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Looks at the half-changed table for a moment, in which a reader without the lock would
 * see it too. */
static int change_fares(struct office *office, int fare)
{
    const struct timespec moment = { 0, 100000 };
    int r = brood_rwlock_acquire_write(office->fares_lock, PATIENCE);

    if (r < 0)
        return r;
    for (int i = 0; i < FARE_COUNT; i++)
        office->there[i] = fare + i;
    nanosleep(&moment, NULL);
    for (int i = 0; i < FARE_COUNT; i++)
        office->back[i] = SUM - (fare + i);
    return brood_rwlock_release_write(office->fares_lock);
}

/* Gives the jobs out, and the end when all are done. */
static int give_jobs(struct office *office)
{
    int r = 0;

    for (int i = 0; r == 0 && i < JOB_COUNT; i++) {
        r = brood_semaphore_release(office->jobs, 1);
        if (r == 0)
            r = change_fares(office, i);
    }
    for (int i = 0; r == 0 && i < JOB_COUNT; i++)
        r = brood_semaphore_acquire(office->done, PATIENCE);
    return r == 0 ? brood_event_set(office->stop) : r;
}

static int open_office(struct office *office)
{
    brood_process *workers[WORKER_COUNT] = { NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int r = 0;

    options.daemon = BROOD_DAEMON_YES; /* none outlives a failure here */
    for (int i = 0; r == 0 && i < WORKER_COUNT; i++) {
        r = brood_process_create(work, &office, sizeof office, &options, &workers[i]);
        if (r == 0)
            r = brood_process_start(workers[i]);
    }
    if (r == 0)
        r = give_jobs(office);
    if (r == 0)
        r = brood_process_wait_all(workers, WORKER_COUNT, 2 * PATIENCE);
    for (int i = 0; i < WORKER_COUNT; i++) {
        int code = 0;

        if (r >= 0)
            r = brood_process_exit_code(workers[i], &code);
        if (code != 0)
            r = -ECANCELED;
        brood_process_free(workers[i]);
    }
    return r;
}

static int make_office(struct office **ret_office)
{
    brood_semaphore_options signals = BROOD_SEMAPHORE_OPTIONS_INIT;
    struct office *office;
    int r = brood_shared_alloc(NULL, sizeof *office, BROOD_ALLOC_ZERO, (void **)ret_office);

    if (r < 0)
        return r;
    office = *ret_office;
    repair(office);                           /* fares of 0 there, SUM back */
    signals.flags = BROOD_SEMAPHORE_COUNTING; /* one releases what another one acquires */
    r = brood_event_create(NULL, &office->stop);
    if (r == 0)
        r = brood_semaphore_create(NULL, 0, &signals, &office->jobs);
    if (r == 0)
        r = brood_semaphore_create(NULL, 0, &signals, &office->done);
    if (r == 0)
        r = brood_rwlock_create(NULL, &office->fares_lock);
    return r;
}

static void free_office(struct office *office)
{
    if (office == NULL)
        return;
    brood_rwlock_destroy(office->fares_lock);
    brood_semaphore_destroy(office->done);
    brood_semaphore_destroy(office->jobs);
    brood_event_destroy(office->stop);
    brood_shared_free(NULL, office);
}

int main(int argc, char **argv)
{
    struct office *office = NULL;
    int r = brood_main(argc, argv);

    if (r == 0)
        r = make_office(&office);
    if (r == 0)
        r = open_office(office);
    if (r >= 0) {
        printf("jobs: %d done, %d left\n", atomic_load(&office->jobs_done),
               brood_semaphore_value(office->jobs));
        printf("the fares were changed %d times, half-changed ones seen: %d\n", JOB_COUNT,
               atomic_load(&office->halves_seen));
        printf("workers stopped by the end: %d\n", atomic_load(&office->stopped));
    }
    if (r < 0)
        fprintf(stderr, "24_whichever_first: %s\n", brood_strerror(r));
    free_office(office);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
