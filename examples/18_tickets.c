/*
 * 18_tickets: four clerks sell a hundred tickets, wrong without a lock and right with one.
 * Prints what was sold and what the books say. One clerk is killed in the middle of a sale:
 * the next one to get the lock is told so, and puts the books right. Next:
 * 19_lock_table.c.
 */
#include <brood.h>

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define CLERK_COUNT 4
#define TICKET_COUNT 100

/* In shared memory: the clerks, forked processes, use it by the same pointer. */
struct office {
    brood_lock *lock; /* NULL: nobody cares */
    int left;
    int sold[CLERK_COUNT];
    int repairs;
};

struct clerk {
    struct office *office;
    int number;
    bool dies;
};

/* Looks at the ticket for a moment, so that clerks without a lock get in each other's way. */
static void handle_ticket(void)
{
    const struct timespec moment = { 0, 100000 };

    nanosleep(&moment, NULL);
}

static int sum_of(const struct office *office)
{
    int sum = 0;

    for (int i = 0; i < CLERK_COUNT; i++)
        sum += office->sold[i];
    return sum;
}

/* A ticket is sold when it stands in `sold`; whatever a dead clerk did to `left` before that
 * is undone. Right after a death at any point, and right if done twice. */
static void repair(struct office *office)
{
    office->left = TICKET_COUNT - sum_of(office);
    office->repairs++;
}

static bool sell_one(struct office *office, const struct clerk *clerk)
{
    int left = office->left;

    if (left == 0)
        return false;
    handle_ticket();
    office->left = left - 1;
    if (clerk->dies)
        raise(SIGKILL);
    office->sold[clerk->number]++;
    return true;
}

static int work(void *argument, size_t argument_bytes)
{
    const struct clerk *clerk = argument;
    struct office *office = clerk->office;
    bool sold = true;

    (void)argument_bytes;
    while (sold) {
        int r = office->lock == NULL ? 0 : brood_lock_acquire(office->lock, BROOD_FOREVER);

        if (r < 0)
            return EXIT_FAILURE;
        if (r == BROOD_LOCK_RECOVERED)
            repair(office);
        sold = sell_one(office, clerk);
        if (office->lock != NULL)
            brood_lock_release(office->lock);
        handle_ticket(); /* and the customer leaves */
    }
    return EXIT_SUCCESS;
}

static int sell(struct office *office, bool one_dies)
{
    brood_process *clerks[CLERK_COUNT] = { NULL };
    int r = 0;

    for (int i = 0; r == 0 && i < CLERK_COUNT; i++) {
        const struct clerk clerk = { office, i, one_dies && i == 1 };

        r = brood_process_create(work, &clerk, sizeof clerk, NULL, &clerks[i]);
        if (r == 0)
            r = brood_process_start(clerks[i]);
    }
    for (int i = 0; i < CLERK_COUNT; i++) {
        if (r == 0)
            r = brood_process_join(clerks[i], BROOD_FOREVER);
        brood_process_free(clerks[i]);
    }
    return r;
}

static void open_again(struct office *office, brood_lock *lock)
{
    *office = (struct office){ .lock = lock, .left = TICKET_COUNT };
}

int main(int argc, char **argv)
{
    struct office *office = NULL;
    brood_lock *lock = NULL;
    int r = brood_main(argc, argv);

    if (r == 0)
        r = brood_shared_alloc(NULL, sizeof *office, BROOD_ALLOC_ZERO, (void **)&office);
    if (r == 0)
        r = brood_lock_create(NULL, NULL, &lock);
    if (r == 0) {
        open_again(office, NULL);
        r = sell(office, false);
    }
    if (r == 0) {
        printf("without a lock: of %d tickets, %s\n", TICKET_COUNT,
               sum_of(office) == TICKET_COUNT ? "each was sold once, by luck"
                                              : "some were sold twice");
        open_again(office, lock);
        r = sell(office, false);
    }
    if (r == 0) {
        printf("with a lock: %d sold, %d left\n", sum_of(office), office->left);
        open_again(office, lock);
        r = sell(office, true);
    }
    if (r == 0)
        printf("with a lock, and a clerk killed in a sale: %d sold, %d left, %d repair\n",
               sum_of(office), office->left, office->repairs);
    if (r < 0)
        fprintf(stderr, "18_tickets: %s\n", brood_strerror(r));
    brood_lock_destroy(lock);
    brood_shared_free(NULL, office);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
