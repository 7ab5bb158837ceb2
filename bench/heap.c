/*
 * heap: memory of a segment, beside malloc and Boost.Interprocess.
 * Asks     what does it cost that a process may die in the allocator?
 * Reports  ns for an allocation and its free, with a thousand blocks of 16 to 512 bytes alive:
 *          one of them is freed and another allocated.
 * Holds    the same sequence of sizes for each peer, one process, nobody else. Boost's
 *          managed_shared_memory (rbtree_best_fit) locks, as brood does, and has no recovery;
 *          malloc shares with nobody. Where Boost is not installed it is left out.
 */
#include "bench.h"

#include <brood.h>

#include <stdlib.h>

#define LIVE_COUNT 1000
#define PAIR_COUNT 20000
#define ROUND_COUNT 40

#ifdef BENCH_BOOST
int boost_heap_create(void);
void *boost_heap_alloc(size_t bytes);
void boost_heap_free(void *pointer);
#endif

struct heap {
    const char *name;
    void *(*alloc)(size_t bytes);
    void (*free)(void *pointer);
    void *live[LIVE_COUNT];
};

static void *brood_alloc(size_t bytes)
{
    void *pointer = NULL;

    return brood_shared_alloc(NULL, bytes, 0, &pointer) < 0 ? NULL : pointer;
}

static void brood_free(void *pointer)
{
    brood_shared_free(NULL, pointer);
}

/* A generator of the entry's own: rand() takes a lock. */
static unsigned next(unsigned *state)
{
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

static size_t some_bytes(unsigned *state)
{
    return 16 + next(state) % 497;
}

static double measure(struct heap *heap, unsigned seed)
{
    unsigned state = seed;
    int64_t start = bench_now();

    for (int i = 0; i < PAIR_COUNT; i++) {
        unsigned at = next(&state) % LIVE_COUNT;

        heap->free(heap->live[at]);
        heap->live[at] = heap->alloc(some_bytes(&state));
    }
    return (double)(bench_now() - start) / PAIR_COUNT;
}

int heap_pairs(struct bench *bench)
{
    static struct heap heaps[] = {
        { "malloc", malloc, free, { NULL } },
        { "brood_shared", brood_alloc, brood_free, { NULL } },
#ifdef BENCH_BOOST
        { "boost_interprocess", boost_heap_alloc, boost_heap_free, { NULL } },
#endif
    };
    const int count = (int)(sizeof heaps / sizeof heaps[0]);
    int r = 0;

#ifdef BENCH_BOOST
    r = boost_heap_create();
#endif
    for (int h = 0; h < count; h++) {
        unsigned state = 1;

        for (int i = 0; i < LIVE_COUNT; i++)
            heaps[h].live[i] = heaps[h].alloc(some_bytes(&state));
    }
    for (int round = -1; r == 0 && round < ROUND_COUNT; round++)
        for (int h = 0; h < count; h++) {
            double ns = measure(&heaps[h], (unsigned)round + 7);

            if (round >= 0)
                bench_add(bench, heaps[h].name, "ns", ns);
        }
    bench_compare(bench, "brood_shared", "malloc", BAR_NONE, 0);
#ifdef BENCH_BOOST
    bench_compare(bench, "brood_shared", "boost_interprocess", BAR_NONE, 0);
#endif
    return r;
}
