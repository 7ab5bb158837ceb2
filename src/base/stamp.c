#include "base/stamp.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

static _Atomic pid_t cached;
static pthread_once_t once = PTHREAD_ONCE_INIT;

void brood__process_id_refresh(void)
{
    atomic_store_explicit(&cached, getpid(), memory_order_relaxed);
}

static void install(void)
{
    (void)pthread_atfork(NULL, NULL, brood__process_id_refresh);
}

pid_t brood__process_id(void)
{
    pid_t id = atomic_load_explicit(&cached, memory_order_relaxed);

    if (id == 0) {
        (void)pthread_once(&once, install);
        brood__process_id_refresh();
        id = atomic_load_explicit(&cached, memory_order_relaxed);
    }
    return id;
}
