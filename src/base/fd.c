#include "base/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int brood__fd_duplicate(int fd, int above)
{
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, above);

    if (copy < 0) /* EINVAL: a limit so low that there is no such number */
        return errno == EINVAL ? -EMFILE : -errno;
    return copy;
}

int brood__fd_above_stdio(int fd)
{
    int moved;

    if (fd > 2)
        return fd;
    moved = brood__fd_duplicate(fd, 3);
    (void)close(fd);
    return moved;
}

void brood__fd_close(int *fd)
{
    int closing = *fd;

    *fd = -1; /* first: a handler of a concurrent fork closes what it finds */
    if (closing >= 0)
        (void)close(closing);
}

/* Moves both above stdio, or closes both. */
static int pair_above_stdio(int pair[2])
{
    for (int i = 0; i < 2; i++) {
        int r = brood__fd_above_stdio(pair[i]);

        pair[i] = r;
        if (r < 0) {
            brood__fd_close(&pair[1 - i]);
            return r;
        }
    }
    return 0;
}

int brood__fd_socketpair(int ret_pair[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret_pair) < 0)
        return -errno;
    return pair_above_stdio(ret_pair);
}

int brood__fd_pipe(int ret_pair[2])
{
    if (pipe2(ret_pair, O_CLOEXEC) < 0)
        return -errno;
    return pair_above_stdio(ret_pair);
}

int brood__read_file(const char *path, char *text, size_t text_bytes, ssize_t *ret_bytes)
{
    size_t got = 0;
    ssize_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int error;

    if (fd < 0)
        return -errno;
    while (got < text_bytes - 1) {
        n = read(fd, text + got, text_bytes - 1 - got);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        got += (size_t)n;
    }
    error = errno;
    (void)close(fd);
    if (n < 0)
        return -error;
    text[got] = '\0';
    *ret_bytes = (ssize_t)got;
    return 0;
}

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int) * BROOD__FDS_MAX)];
};

int brood__send(int socket, const void *bytes, size_t byte_count, const int *fds,
                size_t fd_count, int flags)
{
    union control control;
    struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = byte_count };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

    if (fd_count > BROOD__FDS_MAX)
        return -EINVAL;
    if (fd_count > 0) {
        struct cmsghdr *header;

        memset(&control, 0, sizeof control);
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * fd_count);
    }
    while (sendmsg(socket, &message, flags | MSG_NOSIGNAL) < 0)
        if (errno != EINTR)
            return -errno;
    return 0;
}

static void close_fds(const int *fds, size_t count)
{
    for (size_t i = 0; i < count; i++)
        (void)close(fds[i]);
}

/* Takes the descriptors out of a received message, 3 or higher; all or, with -EMFILE, none. */
static int take_fds(struct msghdr *message, int *ret_fds, size_t capacity, size_t *ret_count)
{
    bool all = (message->msg_flags & MSG_CTRUNC) == 0;

    *ret_count = 0;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(message); h != NULL; h = CMSG_NXTHDR(message, h)) {
        size_t count;

        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
            continue;
        count = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(h) + i * sizeof fd, sizeof fd);
            fd = brood__fd_above_stdio(fd);
            all &= fd >= 0 && *ret_count < capacity;
            if (fd >= 0 && *ret_count < capacity)
                ret_fds[(*ret_count)++] = fd;
            else if (fd >= 0)
                (void)close(fd);
        }
    }
    if (all)
        return 0;
    close_fds(ret_fds, *ret_count);
    *ret_count = 0;
    return -EMFILE;
}

ssize_t brood__receive(int socket, void *bytes, size_t capacity, int *ret_fds,
                       size_t fd_capacity, size_t *ret_fd_count, int flags)
{
    union control control;
    struct iovec part = { .iov_base = bytes, .iov_len = capacity };
    struct msghdr message = { .msg_iov = &part,
                              .msg_iovlen = 1,
                              .msg_control = control.bytes,
                              .msg_controllen = sizeof control.bytes };
    ssize_t n;
    int r;

    *ret_fd_count = 0;
    while ((n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC)) < 0)
        if (errno != EINTR)
            return -errno;
    r = take_fds(&message, ret_fds, fd_capacity, ret_fd_count);
    if (r == 0 && (message.msg_flags & MSG_TRUNC)) {
        close_fds(ret_fds, *ret_fd_count);
        *ret_fd_count = 0;
        r = -EMSGSIZE;
    }
    return r < 0 ? r : n;
}
