/* Memory of a segment, reserved before it is used, so that a machine without memory says so
 * here and not by SIGBUS later. */
#ifndef BROOD__SHM_RESERVE_H
#define BROOD__SHM_RESERVE_H

#include "shm/layout.h"

#include <stdbool.h>

/* Reserves the pages of a file up to `bytes`. -ENOSPC, -ENOMEM, -EFBIG. */
int brood__reserve_file(int fd, uint64_t bytes);

/* The same for a segment mapped here, whose descriptor a forked child may not have.
 * -ENOSPC if there is no memory. */
int brood__reserve(struct brood__header *header, uint64_t from, uint64_t to);

/*
 * Which descriptor is behind a mapping of this process; forgotten before it is closed. True:
 * the process has the segment by another mapping too. Then this one must stay, for threads
 * may hold their slots by its addresses; a later attach finds it by brood__reserve_again().
 */
int brood__reserve_know(struct brood__header *header, int fd);
bool brood__reserve_forget(struct brood__header *header);

/* What becomes of a mapping after that: it stays, or is about to be unmapped. */
void brood__reserve_keep(struct brood__header *header, bool stays);

/* A mapping that stayed, of the file behind `fd`, which is now behind it; or NULL. */
struct brood__header *brood__reserve_again(int fd);

#endif
