/*
 * 19_lock_table: four clerks sell tickets of three trains, each train locked by its name.
 * Prints what was sold of each. Then two clerks lock two trains in opposite order, which
 * could not end: the second one to wait is told so, and who waits for what, and gives way.
 */
#include <brood.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TRAIN_COUNT 3
#define TICKET_COUNT 40
#define CLERK_COUNT 4

static const char *const trains[TRAIN_COUNT] = { "Lisbon", "Oslo", "Rome" };

/* In shared memory: the clerks, forked processes, use it by the same pointer. */
struct office {
    brood_lock_table *rows;
    int left[TRAIN_COUNT];
    int sold[TRAIN_COUNT];
};

struct clerk {
    struct office *office;
    int number;
};

static void handle_ticket(void)
{
    const struct timespec moment = { 0, 100000 };

    nanosleep(&moment, NULL);
}

static int lock_train(struct office *office, int train, brood_deadlock *ret_cycle)
{
    return brood_lock_table_acquire(office->rows, trains[train], strlen(trains[train]),
                                    BROOD_LOCK_EXCLUSIVE, BROOD_FOREVER, ret_cycle);
}

static int unlock_train(struct office *office, int train)
{
    return brood_lock_table_release(office->rows, trains[train], strlen(trains[train]));
}

/* Goes round the trains, beginning with another than its colleagues, until all are full. */
static int sell(void *argument, size_t argument_bytes)
{
    const struct clerk *clerk = argument;
    struct office *office = clerk->office;
    int full_count = 0;

    (void)argument_bytes;
    for (int train = clerk->number % TRAIN_COUNT; full_count < TRAIN_COUNT;
         train = (train + 1) % TRAIN_COUNT) {
        int left;

        if (lock_train(office, train, NULL) < 0)
            return EXIT_FAILURE;
        left = office->left[train];
        if (left > 0) {
            handle_ticket();
            office->left[train] = left - 1;
            office->sold[train]++;
            full_count = 0;
        } else {
            full_count++;
        }
        if (unlock_train(office, train) < 0)
            return EXIT_FAILURE;
    }
    return EXIT_SUCCESS;
}

static void print_cycle(const brood_deadlock *cycle)
{
    printf("deadlock of %u:\n", cycle->count);
    for (uint32_t i = 0; i < cycle->count && i < BROOD_DEADLOCK_MEMBERS; i++) {
        const brood_deadlock_member *member = &cycle->members[i];
        uint32_t next = (i + 1) % cycle->count;

        /* `count` may be more than are listed. */
        printf("  %s waits for %.*s, which %s has\n", member->name, (int)member->key_bytes,
               (const char *)member->key,
               next < BROOD_DEADLOCK_MEMBERS ? cycle->members[next].name : "another");
    }
    fflush(stdout);
}

/* Wants two trains: Anna first Rome, then Oslo, and Bert the other way round. */
static int exchange(void *argument, size_t argument_bytes)
{
    const struct clerk *clerk = argument;
    struct office *office = clerk->office;
    int first = clerk->number == 0 ? 2 : 1, second = clerk->number == 0 ? 1 : 2;
    brood_deadlock cycle = BROOD_DEADLOCK_INIT;
    int r = lock_train(office, first, NULL);

    (void)argument_bytes;
    /* Each has one train before they go on; and Bert lets Anna be the first to wait, so that
     * always the same is printed. */
    while (r == 0 && brood_lock_table_count(office->rows) < (clerk->number == 0 ? 2 : 3))
        handle_ticket();
    if (r == 0)
        r = lock_train(office, second, &cycle);
    if (r == -EDEADLK) {
        print_cycle(&cycle);
        r = 0; /* gives way: releases what it has */
    } else if (r == 0) {
        printf("  then the other one has both\n");
    }
    brood_lock_table_release_all(office->rows);
    return r == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int run(brood_process_function *function, struct office *office, int clerk_count)
{
    static const char *const names[CLERK_COUNT] = { "Anna", "Bert", "Cleo", "Dora" };
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *clerks[CLERK_COUNT] = { NULL };
    int r = 0, code = 0;

    for (int i = 0; r == 0 && i < clerk_count; i++) {
        const struct clerk clerk = { office, i };

        options.name = names[i];
        r = brood_process_create(function, &clerk, sizeof clerk, &options, &clerks[i]);
        if (r == 0)
            r = brood_process_start(clerks[i]);
    }
    for (int i = 0; i < clerk_count; i++) {
        if (r == 0)
            r = brood_process_join(clerks[i], BROOD_FOREVER);
        if (r == 0)
            r = brood_process_exit_code(clerks[i], &code);
        if (r == 0 && code != 0)
            r = -ECANCELED;
        brood_process_free(clerks[i]);
    }
    return r;
}

int main(int argc, char **argv)
{
    struct office *office = NULL;
    int r = brood_main(argc, argv);

    if (r == 0)
        r = brood_shared_alloc(NULL, sizeof *office, BROOD_ALLOC_ZERO, (void **)&office);
    if (r == 0)
        r = brood_lock_table_create(NULL, NULL, &office->rows);
    for (int i = 0; r == 0 && i < TRAIN_COUNT; i++)
        office->left[i] = TICKET_COUNT;
    if (r == 0)
        r = run(sell, office, CLERK_COUNT);
    for (int i = 0; r == 0 && i < TRAIN_COUNT; i++)
        printf("%s: %d sold, %d left\n", trains[i], office->sold[i], office->left[i]);
    fflush(stdout);
    if (r == 0)
        r = run(exchange, office, 2);
    if (r == 0)
        r = brood_lock_table_destroy(office->rows);
    brood_shared_free(NULL, office);
    if (r < 0)
        fprintf(stderr, "19_lock_table: %s\n", brood_strerror(r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
