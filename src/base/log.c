#include "base/log.h"

#include <brood/base.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    brood_log_function *function;
    void *user;
    int level;
} hook;

int brood_set_log(brood_log_function *function, void *user, int level)
{
    if (level < 0)
        return -EINVAL;
    (void)pthread_mutex_lock(&lock);
    hook.function = function;
    hook.user = user;
    hook.level = level;
    (void)pthread_mutex_unlock(&lock);
    return 0;
}

void brood__log(int level, const char *format, ...)
{
    brood_log_function *function;
    char message[512];
    void *user;
    int least;
    va_list arguments;

    (void)pthread_mutex_lock(&lock);
    function = hook.function;
    user = hook.user;
    least = hook.level;
    (void)pthread_mutex_unlock(&lock);
    if (function == NULL || level < least)
        return;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    function(level, message, user);
}

void brood__log_after_fork(void)
{
    (void)pthread_mutex_init(&lock, NULL);
}
