/*
 * A launch: everything there is to know about a child before it is started, packed into
 * one block without pointers into itself, so that a forked child reads it in place and a
 * forkserver or spawned program receives the same bytes in a message or a file.
 */
#ifndef BROOD__LAUNCH_H
#define BROOD__LAUNCH_H

#include <brood/process.h>

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define BROOD__DESCRIPTORS_MAX 240 /* SCM_MAX_FD, less stdio and a few of ours */

enum brood__launch_kind { LAUNCH_FUNCTION = 1, LAUNCH_OBJECT, LAUNCH_COMMAND };

/* Where in the block something lies; `count` is bytes or entries, as said beside it. */
struct brood__launch_part {
    uint64_t at;
    uint64_t count;
};

struct brood__launch {
    uint64_t bytes; /* of the whole block, this header included */
    uint32_t magic;
    uint32_t kind;

    /* What runs. The addresses mean something in the creator and its forks only; `id` is
     * filled when the launch is about to leave them. */
    brood_process_function *function;
    const brood_process_ops *ops;
    void *pointer; /* the argument when there are no argument bytes */
    brood_function_id id;

    /* Options, settled: no defaults are left but those of inheritance. */
    int32_t daemon; /* 0 or 1 */
    int32_t start_method;
    int32_t process_group;
    int32_t nice_increment;
    int32_t stdio[3]; /* descriptors or BROOD_STDIO_* */
    uint32_t flags;

    /* Who it will be, and whose child; filled at start. */
    int32_t parent_pid;
    int32_t parent_daemon;
    int32_t parent_start_method;
    int32_t default_start_method;
    int32_t used_method; /* `start_method`, or what the default was at start */
    int32_t reserved;
    uint64_t parent_start_time;
    uint64_t mark_index; /* 0: not marked */
    char parent_name[BROOD_NAME_BYTES];
    char name[BROOD_NAME_BYTES];
    char lineage[BROOD_NAME_BYTES]; /* "1:2" */

    struct brood__launch_part argument;          /* bytes */
    struct brood__launch_part argv;              /* strings, one after the other */
    struct brood__launch_part environment;       /* strings */
    struct brood__launch_part working_directory; /* 1: a string; 0: none */
    struct brood__launch_part descriptors;       /* ints */
    struct brood__launch_part cpus;              /* ints */
    uint32_t has_environment;
    uint32_t named; /* the caller chose the name */
};

/* Packs `what` (its kind, function, ops, pointer), an argument or argv, and options, into a
 * new block for free(). */
int brood__launch_pack(const struct brood__launch *what, const void *argument,
                       size_t argument_bytes, const char *const *argv,
                       const brood_process_options *options, struct brood__launch **ret_launch);

/* True if a received block is whole: every part lies inside it. */
bool brood__launch_is_sound(const struct brood__launch *launch, size_t bytes);

void *brood__launch_argument(struct brood__launch *launch);
const char *brood__launch_directory(const struct brood__launch *launch); /* NULL: none */
const int *brood__launch_ints(const struct brood__launch *launch,
                              const struct brood__launch_part *part);

/* A new NULL-ended vector of pointers to the strings of a part, with room for `extra` more
 * before the NULL; NULL if out of memory. */
char **brood__launch_strings(const struct brood__launch *launch,
                             const struct brood__launch_part *part, size_t extra);

/* Fills `id`, for a launch that leaves this address space. */
int brood__launch_locate(struct brood__launch *launch);

/* Turns `id` back into the function or ops, in the process that received it. */
int brood__launch_resolve(struct brood__launch *launch);

#endif
