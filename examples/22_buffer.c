/*
 * 22_buffer: a bounded buffer of one's own, of a lock and two conditions.
 * Two producers put a hundred numbers each, two consumers take them. One consumer is killed
 * in the middle of taking one: the next to get the lock is told so, and puts the buffer
 * right. Prints how many were put and taken, whether each was taken once, and how many
 * repairs there were. Next: 23_starting_gun.c.
 */
#include <brood.h>

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define PRODUCER_COUNT 2
#define CONSUMER_COUNT 2
#define CAPACITY 8
#define EACH_COUNT 100
#define TOTAL_COUNT (PRODUCER_COUNT * EACH_COUNT)
#define DEADLY_COUNT 50 /* who takes the item after so many is killed */
#define PATIENCE brood_seconds(20)

/* What one consumer took. */
struct basket {
    size_t count;
    int items[TOTAL_COUNT];
};

/* In shared memory. Items put and not taken are in slots[taken % CAPACITY] and the following.
 * To have put one is to have counted it in `put`; to have taken one, to have counted it in a
 * basket, and `taken` is the sum of that: after a death it can be computed again. An item is
 * written before it is counted, and the fences keep the compiler from changing that. */
struct buffer {
    brood_lock *lock;
    brood_condition *not_empty; /* or nothing will come any more */
    brood_condition *not_full;
    size_t put;
    size_t taken;
    int slots[CAPACITY];
    struct basket baskets[CONSUMER_COUNT];
    int repairs;
};

struct party {
    struct buffer *buffer;
    int number;
};

static bool is_over(const struct buffer *buffer)
{
    return buffer->taken == TOTAL_COUNT;
}

static int is_not_empty(void *user)
{
    const struct buffer *buffer = user;

    return buffer->taken < buffer->put || is_over(buffer);
}

static int is_not_full(void *user)
{
    const struct buffer *buffer = user;

    return buffer->put - buffer->taken < CAPACITY;
}

/* Right after a death at any point, and right if done twice. The dead one may have changed
 * something and not have lived to tell, so all who wait look again. */
static void repair(struct buffer *buffer)
{
    size_t taken = 0;

    for (int i = 0; i < CONSUMER_COUNT; i++)
        taken += buffer->baskets[i].count;
    buffer->taken = taken;
    buffer->repairs++;
    brood_condition_notify_all(buffer->not_empty);
    brood_condition_notify_all(buffer->not_full);
}

/* Acquires the lock and waits until the predicate holds. Either of the two steps may be where
 * one hears of a death. On failure the lock is not held. */
static int enter(struct buffer *buffer, brood_condition *condition,
                 brood_condition_function *predicate)
{
    int r = brood_lock_acquire(buffer->lock, PATIENCE);

    if (r < 0)
        return r;
    do {
        if (r == BROOD_LOCK_RECOVERED)
            repair(buffer);
        r = brood_condition_wait_for(condition, buffer->lock, predicate, buffer, PATIENCE);
    } while (r == BROOD_LOCK_RECOVERED);
    if (r < 0)
        brood_lock_release(buffer->lock);
    return r;
}

static int produce(void *argument, size_t argument_bytes)
{
    const struct party *party = argument;
    struct buffer *buffer = party->buffer;
    int r = 0;

    (void)argument_bytes;
    for (int i = 0; r == 0 && i < EACH_COUNT; i++) {
        r = enter(buffer, buffer->not_full, is_not_full);
        if (r < 0)
            break;
        buffer->slots[buffer->put % CAPACITY] = party->number * EACH_COUNT + i;
        atomic_signal_fence(memory_order_seq_cst);
        buffer->put++;
        brood_condition_notify(buffer->not_empty, 1);
        r = brood_lock_release(buffer->lock);
    }
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static void take(struct buffer *buffer, struct basket *basket)
{
    basket->items[basket->count] = buffer->slots[buffer->taken % CAPACITY];
    atomic_signal_fence(memory_order_seq_cst);
    basket->count++;
    if (buffer->taken == DEADLY_COUNT && buffer->repairs == 0)
        raise(SIGKILL); /* with the lock, and the item taken twice unless somebody repairs */
    buffer->taken++;
}

static int consume(void *argument, size_t argument_bytes)
{
    const struct party *party = argument;
    struct buffer *buffer = party->buffer;
    bool over = false;
    int r = 0;

    (void)argument_bytes;
    while (r == 0 && !over) {
        r = enter(buffer, buffer->not_empty, is_not_empty);
        if (r < 0)
            break;
        if (!is_over(buffer))
            take(buffer, &buffer->baskets[party->number]);
        over = is_over(buffer);
        if (over)
            brood_condition_notify_all(buffer->not_empty);
        else
            brood_condition_notify(buffer->not_full, 1);
        r = brood_lock_release(buffer->lock);
    }
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

static int make_buffer(struct buffer **ret_buffer)
{
    int r =
        brood_shared_alloc(NULL, sizeof **ret_buffer, BROOD_ALLOC_ZERO, (void **)ret_buffer);

    if (r == 0)
        r = brood_lock_create(NULL, NULL, &(*ret_buffer)->lock);
    if (r == 0)
        r = brood_condition_create(NULL, &(*ret_buffer)->not_empty);
    if (r == 0)
        r = brood_condition_create(NULL, &(*ret_buffer)->not_full);
    return r;
}

static void free_buffer(struct buffer *buffer)
{
    if (buffer == NULL)
        return;
    brood_condition_destroy(buffer->not_full);
    brood_condition_destroy(buffer->not_empty);
    brood_lock_destroy(buffer->lock);
    brood_shared_free(NULL, buffer);
}

/* Runs them all. *ret_killed is set to how many were killed. */
static int run(struct buffer *buffer, int *ret_killed)
{
    brood_process *processes[PRODUCER_COUNT + CONSUMER_COUNT] = { NULL };
    const int count = PRODUCER_COUNT + CONSUMER_COUNT;
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    int r = 0, killed = 0;

    options.daemon = BROOD_DAEMON_YES; /* none outlives a failure here */
    for (int i = 0; r == 0 && i < count; i++) {
        bool produces = i < PRODUCER_COUNT;
        const struct party party = { buffer, produces ? i : i - PRODUCER_COUNT };

        r = brood_process_create(produces ? produce : consume, &party, sizeof party, &options,
                                 &processes[i]);
        if (r == 0)
            r = brood_process_start(processes[i]);
    }
    if (r == 0)
        r = brood_process_wait_all(processes, (size_t)count, 2 * PATIENCE);
    for (int i = 0; i < count; i++) {
        int code = 0;

        if (r >= 0)
            r = brood_process_exit_code(processes[i], &code);
        if (code == -SIGKILL)
            killed++;
        else if (code != 0)
            r = -ECANCELED;
        brood_process_free(processes[i]);
    }
    *ret_killed = killed;
    return r;
}

static bool each_taken_once(const struct buffer *buffer)
{
    int times[TOTAL_COUNT] = { 0 };

    for (int i = 0; i < CONSUMER_COUNT; i++)
        for (size_t j = 0; j < buffer->baskets[i].count; j++)
            times[buffer->baskets[i].items[j]]++;
    for (int i = 0; i < TOTAL_COUNT; i++)
        if (times[i] != 1)
            return false;
    return true;
}

int main(int argc, char **argv)
{
    struct buffer *buffer = NULL;
    int killed = 0;
    int r = brood_main(argc, argv);

    if (r == 0)
        r = make_buffer(&buffer);
    if (r == 0)
        r = run(buffer, &killed);
    if (r >= 0) {
        printf("%zu put, %zu taken, %s\n", buffer->put, buffer->taken,
               each_taken_once(buffer) ? "each once" : "and not each once");
        printf("%d consumer killed, %d repair\n", killed, buffer->repairs);
    }
    if (r < 0)
        fprintf(stderr, "22_buffer: %s\n", brood_strerror(r));
    free_buffer(buffer);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
