/*
 * Descriptors for event loops, and the thread that keeps them right: the watcher. Public
 * face: <brood/wait.h>.
 */
#ifndef BROOD__SYNC_WATCH_H
#define BROOD__SYNC_WATCH_H

#include <brood/wait.h>

/* The calling thread has just tried to take these: what this process's descriptors say about
 * them may be wrong. Costs a load if there are none. */
void brood__watch_correct(const brood_waitable *items, size_t count);

#endif
