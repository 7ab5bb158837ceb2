/*
 * Writing to standard output and standard error.
 */
#include "map_sink.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

/* A pipe that poll() calls writable takes this much without blocking (PIPE_BUF). */
#define SINK_STEP_BYTES 4096

void sink_open(struct sink *sink, int fd, sink_wait *wait, void *user)
{
    struct stat status;

    *sink = (struct sink){ .fd = fd, .at_line_start = true, .wait = wait, .user = user };
    if (fstat(fd, &status) == 0) {
        sink->never_blocks = S_ISREG(status.st_mode);
        sink->is_terminal = S_ISCHR(status.st_mode) && isatty(fd) == 1;
    }
}

int sink_write(struct sink *sink, const char *bytes, size_t length)
{
    if (length > 0)
        sink->at_line_start = bytes[length - 1] == '\n';
    while (length > 0 && sink->error == 0) {
        size_t step = length;
        ssize_t put;

        if (!sink->never_blocks) {
            sink->error = sink->wait(sink->fd, sink->user);
            if (sink->error < 0)
                break;
            if (step > SINK_STEP_BYTES)
                step = SINK_STEP_BYTES;
        }
        put = write(sink->fd, bytes, step);
        if (put < 0 && errno != EINTR && errno != EAGAIN)
            sink->error = -errno;
        if (put > 0) {
            bytes += put;
            length -= (size_t)put;
        }
    }
    return sink->error;
}
