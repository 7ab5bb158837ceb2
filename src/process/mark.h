/*
 * Marks: how a daemon's descendants are known when nothing else ties them to their program.
 *
 * Each program that needs one has a random id, and each of its daemon children an index from 1.
 * A child made by fork maps page `index` of a file named after the id, which /proc/PID/maps
 * shows and every fork inherits; its environment, and a command's, holds
 * BROOD_GUARD=id:index, which /proc/PID/environ shows and every exec inherits. Marks add up
 * where daemons nest.
 */
#ifndef BROOD__MARK_H
#define BROOD__MARK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define BROOD__MARK_VARIABLE "BROOD_GUARD"
#define BROOD__MARK_ENTRY_BYTES 2048

struct brood__mark {
    char id[17]; /* 16 hexadecimal digits */
    int fd;      /* of the file to map */
};

int brood__mark_create(struct brood__mark *ret_mark);

/* In the child: maps its page. Async-signal-safe. */
int brood__mark_map(const struct brood__mark *mark, uint64_t index);

/*
 * In the program itself: maps page 0, and only here, for forks do not inherit it. It is on
 * the program and, until they execute, on commands that share its memory.
 */
int brood__mark_program(const struct brood__mark *mark);
bool brood__mark_is_program(pid_t pid, const char *id);

/* Writes "BROOD_GUARD=..." with the marks this process has and the new one. */
void brood__mark_entry(const struct brood__mark *mark, uint64_t index,
                       char ret_entry[BROOD__MARK_ENTRY_BYTES]);

enum brood__marked { MARKED_NO, MARKED_YES, MARKED_UNCLEAR };

/* Does the process carry the mark (index 0: with any index)? Unclear in the middle of an
 * exec. No, if it may not be looked at. */
enum brood__marked brood__mark_on(pid_t pid, const char *id, uint64_t index);

#endif
