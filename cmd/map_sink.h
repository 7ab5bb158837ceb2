/*
 * sink: where output goes, our standard output or standard error, checked to the last byte.
 *
 * A reader that does not read must not make us deaf: before a write that may block, the
 * sink waits in a function of the event loop, which goes on serving signals and timers.
 */
#ifndef BROOD_MAP_SINK_H
#define BROOD_MAP_SINK_H

#include <stdbool.h>
#include <stddef.h>

/* Waits until `fd` takes bytes. Returns 0, or a negative errno to give the output up. */
typedef int sink_wait(int fd, void *user);

struct sink {
    int fd;
    bool never_blocks; /* a regular file: written without waiting */
    bool is_terminal;
    bool at_line_start; /* the last byte written was a newline, or there was none */
    int error;          /* negative errno of the first failure; nothing is written after it */
    sink_wait *wait;
    void *user;
};

void sink_open(struct sink *sink, int fd, sink_wait *wait, void *user);

/* Writes all of it. Returns 0, or the negative errno that ended this sink. */
int sink_write(struct sink *sink, const char *bytes, size_t length);

#endif
