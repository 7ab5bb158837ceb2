/*
 * 23_starting_gun: five runners start by an event, pass a bridge two at a time by a
 * semaphore, and wait for each other at a barrier, where the last one to come adds up the
 * points before any of them goes on. Prints how many had run before the gun, the most that
 * were on the bridge at once, the sum and how often it was made, and each one's share of it.
 * Next: 24_whichever_first.c.
 */
#include <brood.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define RUNNER_COUNT 5
#define BRIDGE_COUNT 2
#define PATIENCE brood_seconds(20)

/* In shared memory: the runners, forked processes, use it by the same pointer. */
struct race {
    brood_semaphore *ready; /* a signal of each runner to the starter */
    brood_event *gun;
    brood_semaphore *bridge;
    brood_event *bridge_full;
    brood_barrier *barrier;
    atomic_int started;
    atomic_int on_bridge;
    atomic_int on_bridge_max;
    int points[RUNNER_COUNT]; /* first phase: each writes its own */
    int sum;                  /* written between the phases, by one for all */
    int sum_count;
    int percent[RUNNER_COUNT]; /* second phase */
};

struct runner {
    struct race *race;
    int number;
};

static void note_bridge(struct race *race)
{
    int now = atomic_fetch_add(&race->on_bridge, 1) + 1;
    int most = atomic_load(&race->on_bridge_max);

    while (most < now && !atomic_compare_exchange_weak(&race->on_bridge_max, &most, now))
        ;
    if (now == BRIDGE_COUNT)
        brood_event_set(race->bridge_full);
}

static int pass_bridge(struct race *race)
{
    const struct timespec moment = { 0, 5 * 1000 * 1000 };
    int r = brood_semaphore_acquire(race->bridge, PATIENCE);

    if (r < 0)
        return r;
    note_bridge(race);
    /* The first waits for company, so that always the same is printed; and all look at the
     * water for a moment, in which a third one would be noticed. */
    r = brood_event_wait(race->bridge_full, PATIENCE);
    nanosleep(&moment, NULL);
    atomic_fetch_sub(&race->on_bridge, 1);
    brood_semaphore_release(race->bridge, 1);
    return r;
}

/* The last to come runs this; the others wait until it is done. */
static int add_up(void *user)
{
    struct race *race = user;

    race->sum = 0;
    for (int i = 0; i < RUNNER_COUNT; i++)
        race->sum += race->points[i];
    race->sum_count++;
    return 0;
}

static int run(void *argument, size_t argument_bytes)
{
    const struct runner *runner = argument;
    struct race *race = runner->race;
    int number = runner->number;
    int r = brood_semaphore_release(race->ready, 1);

    (void)argument_bytes;
    if (r == 0)
        r = brood_event_wait(race->gun, PATIENCE);
    atomic_fetch_add(&race->started, 1);
    if (r == 0)
        r = pass_bridge(race);
    race->points[number] = (number + 1) * (number + 1);
    if (r == 0)
        r = brood_barrier_wait_action(race->barrier, add_up, race, PATIENCE, NULL);
    if (r == 0)
        race->percent[number] = 100 * race->points[number] / race->sum;
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

/* Fires when all are at the start. The gun is an event and stays set, so a late one would
 * not miss it; it is waited for only so that the number printed means something. */
static int start_race(struct race *race)
{
    int r = 0;

    for (int i = 0; r == 0 && i < RUNNER_COUNT; i++)
        r = brood_semaphore_acquire(race->ready, PATIENCE);
    if (r < 0)
        return r;
    printf("ran before the gun: %d\n", atomic_load(&race->started));
    fflush(stdout);
    return brood_event_set(race->gun);
}

static int hold_race(struct race *race)
{
    brood_process *runners[RUNNER_COUNT] = { NULL };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int r = 0;

    options.daemon = BROOD_DAEMON_YES; /* none outlives a failure here */
    for (int i = 0; r == 0 && i < RUNNER_COUNT; i++) {
        const struct runner runner = { race, i };

        r = brood_process_create(run, &runner, sizeof runner, &options, &runners[i]);
        if (r == 0)
            r = brood_process_start(runners[i]);
    }
    if (r == 0)
        r = start_race(race);
    if (r == 0)
        r = brood_process_wait_all(runners, RUNNER_COUNT, 3 * PATIENCE);
    for (int i = 0; i < RUNNER_COUNT; i++) {
        int code = 0;

        if (r >= 0)
            r = brood_process_exit_code(runners[i], &code);
        if (code != 0)
            r = -ECANCELED;
        brood_process_free(runners[i]);
    }
    return r;
}

static int make_race(struct race **ret_race)
{
    brood_semaphore_options signals = BROOD_SEMAPHORE_OPTIONS_INIT;
    struct race *race;
    int r = brood_shared_alloc(NULL, sizeof *race, BROOD_ALLOC_ZERO, (void **)ret_race);

    if (r < 0)
        return r;
    race = *ret_race;
    signals.flags = BROOD_SEMAPHORE_COUNTING; /* one releases what another one acquires */
    r = brood_semaphore_create(NULL, 0, &signals, &race->ready);
    if (r == 0)
        r = brood_event_create(NULL, &race->gun);
    if (r == 0)
        r = brood_semaphore_create(NULL, BRIDGE_COUNT, NULL, &race->bridge);
    if (r == 0)
        r = brood_event_create(NULL, &race->bridge_full);
    if (r == 0)
        r = brood_barrier_create(NULL, RUNNER_COUNT, &race->barrier);
    return r;
}

static void free_race(struct race *race)
{
    if (race == NULL)
        return;
    brood_barrier_destroy(race->barrier);
    brood_event_destroy(race->bridge_full);
    brood_semaphore_destroy(race->bridge);
    brood_event_destroy(race->gun);
    brood_semaphore_destroy(race->ready);
    brood_shared_free(NULL, race);
}

int main(int argc, char **argv)
{
    struct race *race = NULL;
    int r = brood_main(argc, argv);

    if (r == 0)
        r = make_race(&race);
    if (r == 0)
        r = hold_race(race);
    if (r >= 0) {
        printf("most on the bridge at once: %d\n", atomic_load(&race->on_bridge_max));
        printf("sum: %d, made %d time\n", race->sum, race->sum_count);
        for (int i = 0; i < RUNNER_COUNT; i++)
            printf("runner %d: %d %%\n", i + 1, race->percent[i]);
    }
    if (r < 0)
        fprintf(stderr, "23_starting_gun: %s\n", brood_strerror(r));
    free_race(race);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
