/* Descriptors: kept away from 0-2, closed once, sent between processes. */
#ifndef BROOD__FD_H
#define BROOD__FD_H

#include <stddef.h>
#include <sys/types.h>

/*
 * Moves a descriptor of ours out of 0-2, where a program that closed its stdio would
 * mistake it for its own. Takes `fd` over: on failure it is closed. Close-on-exec.
 */
int brood__fd_above_stdio(int fd);

/* Another descriptor for the same, `above` or higher, close-on-exec. Async-signal-safe. */
int brood__fd_duplicate(int fd, int above);

/* Closes *fd unless it is negative, and makes it -1. */
void brood__fd_close(int *fd);

/* A pair of connected SOCK_SEQPACKET sockets and a pipe, close-on-exec, 3 or higher. */
int brood__fd_socketpair(int ret_pair[2]);
int brood__fd_pipe(int ret_pair[2]);

/* Reads a small file whole into `text`, ended by NUL; what does not fit is left out. */
int brood__read_file(const char *path, char *text, size_t text_bytes, ssize_t *ret_bytes);

/* One message with descriptors. Never raises SIGPIPE. `flags` as for sendmsg(). */
int brood__send(int socket, const void *bytes, size_t byte_count, const int *fds,
                size_t fd_count, int flags);

/*
 * Receives one message and up to `fd_capacity` descriptors, close-on-exec. Returns its
 * length, 0 at end of file. A message longer than `capacity` is -EMSGSIZE.
 */
ssize_t brood__receive(int socket, void *bytes, size_t capacity, int *ret_fds,
                       size_t fd_capacity, size_t *ret_fd_count, int flags);

/* The most descriptors one message carries: the kernel takes 253, musl 1 KiB of control. */
#define BROOD__FDS_MAX 250

#endif
