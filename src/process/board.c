#include "process/board.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define ENTRY_COUNT 16384u /* 64 KiB of address space; pages are taken as they are used */
#define WORD_COUNT (ENTRY_COUNT / 64)
#define WRITTEN 0x100u

struct board {
    _Atomic uint32_t *entries;          /* shared with the children */
    _Atomic uint64_t taken[WORD_COUNT]; /* the parent's own: a bit an entry */
    _Atomic uint32_t hint;
};

static struct board *board; /* of this process as a parent */
static struct board *inherited
    __attribute__((used));               /* of the parent: not used here, nor freed */
static _Atomic uint32_t *parent_entries; /* of this process as a child */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make(void)
{
    struct board *b = calloc(1, sizeof *b);
    void *memory;

    if (b == NULL)
        return;
    memory = mmap(NULL, ENTRY_COUNT * sizeof *b->entries, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        free(b);
        return;
    }
    b->entries = memory;
    board = b;
}

void brood__board_after_fork(void)
{
    static const pthread_once_t fresh = PTHREAD_ONCE_INIT;

    parent_entries = board == NULL ? NULL : board->entries;
    inherited = board; /* not freed, for that would copy a page; and pointed at still */
    board = NULL;
    once = fresh;
}

int brood__board_take(void)
{
    uint32_t first;

    (void)pthread_once(&once, make);
    if (board == NULL)
        return -1;
    first = atomic_load_explicit(&board->hint, memory_order_relaxed);
    for (uint32_t i = 0; i < WORD_COUNT; i++) {
        uint32_t word = (first + i) % WORD_COUNT;
        uint64_t bits = atomic_load_explicit(&board->taken[word], memory_order_relaxed);

        while (bits != UINT64_MAX) {
            uint32_t bit = (uint32_t)__builtin_ctzll(~bits);

            if (!atomic_compare_exchange_weak(&board->taken[word], &bits, bits | 1ull << bit))
                continue;
            atomic_store_explicit(&board->hint, word, memory_order_relaxed);
            atomic_store(&board->entries[word * 64 + bit], 0);
            return (int)(word * 64 + bit);
        }
    }
    return -1;
}

void brood__board_leave(int *entry)
{
    if (*entry >= 0 && board != NULL)
        (void)atomic_fetch_and(&board->taken[*entry / 64], ~(1ull << (*entry % 64)));
    *entry = -1;
}

void brood__board_write(int entry, int code)
{
    if (entry >= 0 && parent_entries != NULL)
        atomic_store(&parent_entries[entry], WRITTEN | ((uint32_t)code & 0xff));
}

bool brood__board_read(int entry, int *ret_code)
{
    uint32_t word = entry < 0 || board == NULL ? 0 : atomic_load(&board->entries[entry]);

    *ret_code = (int)(word & 0xff);
    return (word & WRITTEN) != 0;
}
