/*
 * Sleeping at several words at once: the bells that ring when something changes, and the
 * lives of those who hold what is waited for.
 *
 * The life of a slot (shm/presence.h) is a robust mutex that is locked for as long as its
 * thread lives. With the bit that says that somebody sleeps at it, the kernel wakes one
 * sleeper when the thread dies; that one wakes the others. So a holder's death is heard at
 * once, wherever the holder is. Whoever is woken first may die himself: no sleep is longer
 * than BROOD__SLICE_NS.
 *
 * Sources: man 2 futex_waitv; linux/kernel/futex/core.c, handle_futex_death().
 */
#ifndef BROOD__SYNC_WORDS_H
#define BROOD__SYNC_WORDS_H

#include "shm/presence.h"

#include <stdbool.h>

#define BROOD__WORDS_MAX 128 /* FUTEX_WAITV_MAX */

struct brood__words {
    unsigned count;
    bool missing;                           /* not all that matters could be added */
    const struct brood__header *members_of; /* all members of this segment have been added */
    struct {
        _Atomic uint32_t *word;
        uint32_t seen;
        bool life;
    } at[BROOD__WORDS_MAX];
};

void brood__words_clear(struct brood__words *words);

/* The first word added is heard even where there is no futex_waitv(). */
void brood__words_add(struct brood__words *words, _Atomic uint32_t *word, uint32_t seen);

/* The life of a slot's thread; false if it is over. */
bool brood__words_add_life(struct brood__words *words, struct brood__header *header,
                           uint32_t slot);

/* Whether a sleep at these hears everything, so that it may be long. */
bool brood__words_heard(const struct brood__words *words);

enum brood__woken {
    BROOD__WOKEN,       /* a word has changed, or nothing has */
    BROOD__WOKEN_LATE,  /* the time is over */
    BROOD__WOKEN_DEATH, /* a life is over: those who sleep at it too have been woken */
};

/* Sleeps until one of the words changes and is woken, or for `nanoseconds`. */
enum brood__woken brood__words_sleep(const struct brood__words *words, int64_t nanoseconds);

#endif
