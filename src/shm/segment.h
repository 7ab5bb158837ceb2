/*
 * Segments: the memory itself, and this process's handle to it. Public face: shared.c.
 */
#ifndef BROOD__SHM_SEGMENT_H
#define BROOD__SHM_SEGMENT_H

#include "shm/layout.h"

#include <brood/shared.h>

#include <stdbool.h>
#include <sys/types.h>

struct brood_shared {
    struct brood__header *header;
    int fd;        /* holds a shared lock on the file of a named one: see names.c */
    pid_t process; /* whose `fd` is */
    uint32_t owner;
    char name[BROOD_SHARED_NAME_BYTES]; /* empty: anonymous */
};

/* Zero fields of `options` have their defaults already. */
int brood__segment_create(const brood_shared_options *options, brood_shared **ret_shared);

/* Maps and checks what is behind a descriptor, which this takes over, on failure too.
 * `layout` 0: any. */
int brood__segment_attach(int fd, const char *name, uint32_t layout, brood_shared **ret_shared);

/* Whether a file is a segment that could be attached, and what its header says. */
int brood__segment_peek(int fd, brood_shared_info *ret_info);

/* Whether any thread has a slot in it. Reads the file: mapped, one that an enemy made, and cuts
 * off meanwhile, would be the end of who asks. */
bool brood__segment_has_members(int fd);

/* What the public calls do with a `shared` argument: NULL is the common segment. */
int brood__segment_of(brood_shared *shared, struct brood__header **ret_header);

/* ---- names.c ---- */

/* The file of a name, as /dev/shm/brood.NAME; -EINVAL for a bad name. A leading '/' is
 * allowed and does not count. */
#define BROOD__PATH_BYTES (BROOD_SHARED_NAME_BYTES + 32)
int brood__name_path(const char *name, char path[BROOD__PATH_BYTES]);

/* A file without a name yet, and its name when it is complete: -EEXIST if it is taken. */
int brood__name_prepare(uint32_t mode);
int brood__name_publish(int fd, const char *name);

/* The file of a name, to be attached; refuses what is not a plain file, and, unless
 * `any_owner`, what belongs neither to this user nor to root. */
int brood__name_open(const char *name, bool any_owner);

/* Marks the file as attached for as long as the descriptor, or a copy of it, is open. */
int brood__name_hold(int fd);

#endif
