/*
 * What each kind of object is to those who wait for several of them: whether it can be had,
 * how it is taken, and whose death would make it so.
 *
 * All but the check need an item that passed it, with an object.
 */
#ifndef BROOD__SYNC_WAITABLE_H
#define BROOD__SYNC_WAITABLE_H

#include "sync/object.h"
#include "sync/words.h"

#include <brood/wait.h>

/* -EINVAL unless the item makes sense. */
int brood__waitable_check(const brood_waitable *item);

static inline struct brood__object *brood__waitable_object(const brood_waitable *item)
{
    return item->object;
}

/* Whether it is only seen to move on, and never to be in a state: conditions, barriers. */
bool brood__waitable_moves(const brood_waitable *item);

/* Where it stands, a number over 0 that changes as it moves; 0 for what does not. */
uint64_t brood__waitable_turn(const brood_waitable *item);

/*
 * Takes it if it can be had, by the calling thread, which has entered the segment; `since`
 * is what brood__waitable_turn() said. Returns what the acquire does: -ETIMEDOUT if it cannot
 * be had. Then nobody else's waiting was disturbed.
 */
int brood__waitable_take(const brood_waitable *item, uint64_t since);

/* Whether it can be had now. False for what moves. Takes and disturbs nothing. */
bool brood__waitable_ready(const brood_waitable *item);

/* Adds the lives of those whose death would make it ready, as far as they are known. */
void brood__waitable_add_lives(const brood_waitable *item, struct brood__words *words);

/* Asks the kernel whether they live, and sets right those who do not. Some microseconds. */
void brood__waitable_verify(const brood_waitable *item);

#endif
