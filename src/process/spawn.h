/*
 * What a spawning program and its spawned copy share: a file that both map, named to the
 * copy by a descriptor number in the environment. One page for the states, as those of a
 * slot in guard_table.h; the launch follows.
 */
#ifndef BROOD__SPAWN_H
#define BROOD__SPAWN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define BROOD__SPAWN_VARIABLE "BROOD_SPAWN"
#define BROOD__SPAWN_HEAD_BYTES 4096

enum { SPAWN_REQUESTED = 1, SPAWN_BORN, SPAWN_FAILED };

struct brood__spawn_head {
    uint32_t magic;
    _Atomic uint32_t state; /* a futex */
    int32_t error;          /* before FAILED */
};

#define BROOD__SPAWN_MAGIC 0x62725350u /* "brSP" */

/* True once brood_main() has run here, or in the process this one was forked from; then
 * *ret_argv is what main() was given. */
bool brood__spawn_is_possible(char *const **ret_argv);

#endif
