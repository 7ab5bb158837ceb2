/* Functions by registered name, else by module and offset. */
#include <brood/function.h>

#include "process/module.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct entry {
    struct entry *next;
    brood_process_function *function;
    char name[BROOD_FUNCTION_NAME_BYTES];
};

/* Entries are only ever added, at the head, so reading needs no lock, also after a fork
 * that happened in the middle of an addition. */
static struct entry *_Atomic entries;
static pthread_mutex_t adding = PTHREAD_MUTEX_INITIALIZER;

static struct entry *find_name(const char *name)
{
    struct entry *e = entries;

    while (e != NULL && strcmp(e->name, name) != 0)
        e = e->next;
    return e;
}

static int add(const char *name, brood_process_function *function)
{
    struct entry *e = find_name(name);

    if (e != NULL)
        return e->function == function ? 0 : -EEXIST;
    e = calloc(1, sizeof *e);
    if (e == NULL)
        return -ENOMEM;
    memcpy(e->name, name, strlen(name));
    e->function = function;
    e->next = entries;
    entries = e; /* published whole */
    return 0;
}

void brood__function_after_fork(void)
{
    (void)pthread_mutex_init(&adding, NULL);
}

int brood_function_register(const char *name, brood_process_function *function)
{
    int r;

    if (name == NULL || name[0] == '\0' || function == NULL)
        return -EINVAL;
    if (strlen(name) >= BROOD_FUNCTION_NAME_BYTES)
        return -ENAMETOOLONG;
    (void)pthread_mutex_lock(&adding);
    r = add(name, function);
    (void)pthread_mutex_unlock(&adding);
    return r;
}

int brood_function_locate(brood_process_function *function, brood_function_id *ret_id)
{
    if (function == NULL || ret_id == NULL)
        return -EINVAL;
    for (struct entry *e = entries; e != NULL; e = e->next) {
        if (e->function != function)
            continue;
        memset(ret_id, 0, sizeof *ret_id);
        ret_id->by_name = 1;
        memcpy(ret_id->name, e->name, sizeof e->name);
        return 0;
    }
    return brood__module_locate((const void *)(uintptr_t)function, ret_id);
}

int brood_function_resolve(const brood_function_id *id, brood_process_function **ret_function)
{
    void *address;
    int r;

    if (id == NULL || ret_function == NULL)
        return -EINVAL;
    if (id->by_name) {
        struct entry *e =
            memchr(id->name, '\0', sizeof id->name) == NULL ? NULL : find_name(id->name);

        if (e == NULL)
            return -ENOENT;
        *ret_function = e->function;
        return 0;
    }
    r = brood__module_resolve(id, true, &address);
    if (r == 0)
        *ret_function = (brood_process_function *)(uintptr_t)address;
    return r;
}
