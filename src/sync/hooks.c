#include "sync/hooks.h"

#include "base/fork_lock.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>

struct hook {
    const void *object;
    brood_repair_function *repair;
    void *user;
    struct hook *next;
};

static struct brood__fork_lock lock = BROOD__FORK_LOCK_INIT;
static struct hook *list;

static void unlock_in_child(void)
{
    brood__fork_lock_reset(&lock);
}

static void __attribute__((constructor)) install(void)
{
    (void)pthread_atfork(NULL, NULL, unlock_in_child);
}

static struct hook **find(const void *object)
{
    struct hook **at = &list;

    while (*at != NULL && (*at)->object != object)
        at = &(*at)->next;
    return at;
}

int brood__hook_set(const void *object, brood_repair_function *repair, void *user)
{
    struct hook *fresh = repair == NULL ? NULL : malloc(sizeof *fresh);
    struct hook **at, *old;

    if (repair != NULL && fresh == NULL)
        return -ENOMEM;
    brood__fork_lock(&lock);
    at = find(object);
    old = *at;
    if (old != NULL)
        *at = old->next;
    if (fresh != NULL) {
        *fresh = (struct hook){ object, repair, user, list };
        list = fresh;
    }
    brood__fork_unlock(&lock);
    free(old);
    return 0;
}

int brood__hook_run(const void *object)
{
    brood_repair_function *repair = NULL;
    struct hook *hook;
    void *user = NULL;
    int r;

    brood__fork_lock(&lock);
    hook = *find(object);
    if (hook != NULL) {
        repair = hook->repair;
        user = hook->user;
    }
    brood__fork_unlock(&lock);
    if (repair == NULL)
        return 0;
    r = repair(user);
    return r < 0 ? r : 1;
}
