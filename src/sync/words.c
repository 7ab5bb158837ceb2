#include "sync/words.h"

#include "base/clock.h"
#include "base/linux.h"
#include "shm/robust.h"

#include <errno.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef __NR_futex_waitv
#define __NR_futex_waitv 449
#endif
#define DEAF_NS 5000000
#define WORD_OF_32_BITS 2u /* FUTEX_32 */

/* struct futex_waitv, which headers before Linux 5.16 lack. */
struct waiter {
    uint64_t seen;
    uint64_t word;
    uint32_t flags;
    uint32_t reserved;
};

/* Set when the kernel said that it has no futex_waitv(), or that we may not call it. */
static _Atomic bool one_only;

void brood__words_clear(struct brood__words *words)
{
    words->count = 0;
    words->missing = false;
    words->members_of = NULL;
}

static void add(struct brood__words *words, _Atomic uint32_t *word, uint32_t seen, bool life)
{
    for (unsigned i = 0; i < words->count; i++)
        if (words->at[i].word == word)
            return;
    if (words->count == BROOD__WORDS_MAX) {
        words->missing = true;
        return;
    }
    words->at[words->count].word = word;
    words->at[words->count].seen = seen;
    words->at[words->count].life = life;
    words->count++;
}

void brood__words_add(struct brood__words *words, _Atomic uint32_t *word, uint32_t seen)
{
    add(words, word, seen, false);
}

bool brood__words_add_life(struct brood__words *words, struct brood__header *header,
                           uint32_t slot)
{
    _Atomic uint32_t *word = brood__robust_word(&brood__slot_at(header, slot)->life);
    uint32_t seen = atomic_load_explicit(word, memory_order_acquire);

    do {
        if ((seen & BROOD__TID_MASK) == 0 || (seen & BROOD__OWNER_DIED) != 0)
            return false;
    } while ((seen & BROOD__WAITERS) == 0 &&
             !atomic_compare_exchange_weak(word, &seen, seen | BROOD__WAITERS));
    add(words, word, seen | BROOD__WAITERS, true);
    return true;
}

bool brood__words_heard(const struct brood__words *words)
{
    return !words->missing &&
           (words->count <= 1 || !atomic_load_explicit(&one_only, memory_order_relaxed));
}

/* 0 if woken, -ETIMEDOUT, -EAGAIN if a word has changed, -EINTR, -ENOSYS. */
static int wait_at_all(const struct brood__words *words, int64_t nanoseconds)
{
    struct waiter waiters[BROOD__WORDS_MAX];
    int64_t end = brood__now() + nanoseconds;
    struct timespec limit = { .tv_sec = (time_t)(end / 1000000000),
                              .tv_nsec = (long)(end % 1000000000) };

    for (unsigned i = 0; i < words->count; i++)
        waiters[i] = (struct waiter){ words->at[i].seen, (uintptr_t)words->at[i].word,
                                      WORD_OF_32_BITS, 0 };
    return syscall(__NR_futex_waitv, waiters, words->count, 0, &limit, CLOCK_MONOTONIC) < 0
               ? -errno
               : 0;
}

static int wait_at_first(const struct brood__words *words, int64_t nanoseconds)
{
    int64_t end = brood__now() + nanoseconds;

    brood__futex_wait(words->at[0].word, words->at[0].seen, nanoseconds);
    return brood__now() >= end ? -ETIMEDOUT : 0;
}

/* The kernel wakes one of those who sleep at a life that is over, and leaves the bit, which
 * would stay with the next one to have the slot. Nobody goes to sleep there any more. True if
 * a life was over. */
static bool pass_on(const struct brood__words *words)
{
    bool any = false;

    for (unsigned i = 0; i < words->count; i++) {
        _Atomic uint32_t *word = words->at[i].word;
        uint32_t now;

        if (!words->at[i].life)
            continue;
        now = atomic_load_explicit(word, memory_order_relaxed);
        if (now == words->at[i].seen)
            continue;
        if ((now & BROOD__OWNER_DIED) != 0)
            (void)atomic_compare_exchange_strong(word, &now, now & ~BROOD__WAITERS);
        brood__futex_wake_all(word);
        any = true;
    }
    return any;
}

enum brood__woken brood__words_sleep(const struct brood__words *words, int64_t nanoseconds)
{
    int r = -ENOSYS;

    if (words->count > 1 && !atomic_load_explicit(&one_only, memory_order_relaxed))
        r = wait_at_all(words, nanoseconds);
    switch (r) {
    case 0:
    case -EAGAIN:
    case -EINTR:
    case -ETIMEDOUT: break;
    case -ENOSYS:
    case -EPERM:
        if (words->count > 1)
            atomic_store_explicit(&one_only, true, memory_order_relaxed);
        r = wait_at_first(words, nanoseconds);
        break;
    default: /* no memory for it: not for long, for the others are not heard */
        r = wait_at_first(words, nanoseconds < DEAF_NS ? nanoseconds : DEAF_NS);
    }
    if (pass_on(words))
        return BROOD__WOKEN_DEATH;
    return r == -ETIMEDOUT ? BROOD__WOKEN_LATE : BROOD__WOKEN;
}
