#include <brood/base.h>

#include <errno.h>
#include <limits.h>

/* Our own words, because strerror() shares a buffer and names errors for other uses. */
static const struct {
    int error;
    const char *text;
} texts[] = {
    { 0, "success" },
    { EINVAL, "invalid argument" },
    { ENOMEM, "out of memory" },
    { EAGAIN, "temporarily out of processes or another resource" },
    { EMFILE, "too many open descriptors in this process" },
    { ENFILE, "too many open files in the system" },
    { E2BIG, "too big: an argument list, or options of a newer version" },
    { EALREADY, "done before" },
    { EBADF, "bad descriptor" },
    { EBADMSG, "malformed data" },
    { EBUSY, "still running, or in use" },
    { ECANCELED, "canceled" },
    { ECHILD, "handle of another process" },
    { EDEADLK, "would wait for itself" },
    { EEXIST, "exists already" },
    { EFAULT, "bad address" },
    { EFBIG, "too large for the limits" },
    { EIO, "input/output error" },
    { EISDIR, "is a directory" },
    { ELOOP, "too many symbolic links" },
    { EMSGSIZE, "message too long" },
    { ENAMETOOLONG, "name too long" },
    { ENODATA, "no data" },
    { ENOENT, "not found" },
    { ENOEXEC, "not an executable format, or the program ended before brood_main()" },
    { ENOSPC, "no space left" },
    { ENOSYS, "not available in this program or on this system" },
    { ENOTDIR, "not a directory" },
    { ENOTRECOVERABLE, "given up after its holder died, or poisoned" },
    { ENOTSUP, "not supported here" },
    { EOVERFLOW, "more than fits" },
    { EPROTO, "of another version, layout or C library" },
    { ERANGE, "out of range" },
    { EACCES, "permission denied" },
    { EPERM, "operation not permitted" },
    { EPIPE, "shut down, or broken" },
    { ESHUTDOWN, "after shutdown" },
    { ESRCH, "no such process, or not started" },
    { ETIMEDOUT, "timed out" },
    { ETXTBSY, "executable is being written" },
    { EUSERS, "more threads use it than it has room for" },
    { EXDEV, "of another segment, or another PID namespace" },
};

const char *brood_strerror(int error)
{
    if (error < 0 && error != INT_MIN)
        error = -error;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (texts[i].error == error)
            return texts[i].text;
    return "unknown error";
}

const char *brood_version(void)
{
    return BROOD_VERSION_STRING;
}
