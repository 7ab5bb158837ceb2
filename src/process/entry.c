/* brood_main(): where a spawned copy of the program comes in. */
#include "process/spawn.h"

#include "base/linux.h"
#include "process/current.h"
#include "process/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static char **main_argv;

bool brood__spawn_is_possible(char *const **ret_argv)
{
    *ret_argv = main_argv;
    return main_argv != NULL;
}

/* Maps the file that the number in the environment names. NULL if it is none of ours. */
static struct brood__spawn_head *map_letter(const char *number, size_t *ret_bytes)
{
    struct brood__spawn_head *head;
    struct stat status;
    void *memory;
    char *end;
    long fd = strtol(number, &end, 10);

    if (*end != '\0' || fd < 3 || fd > INT32_MAX || fstat((int)fd, &status) < 0 ||
        status.st_size < (off_t)(BROOD__SPAWN_HEAD_BYTES + sizeof(struct brood__launch)))
        return NULL;
    *ret_bytes = (size_t)status.st_size;
    memory = mmap(NULL, *ret_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, (int)fd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    head = memory;
    if (head->magic != BROOD__SPAWN_MAGIC) {
        (void)munmap(memory, *ret_bytes);
        return NULL;
    }
    (void)close((int)fd);
    return head;
}

/* A copy of the launch of our own: the parent may unmap and change its. */
static int take_launch(const struct brood__spawn_head *head, size_t bytes,
                       struct brood__launch **ret_launch)
{
    size_t launch_bytes = bytes - BROOD__SPAWN_HEAD_BYTES;
    struct brood__launch *launch = malloc(launch_bytes);

    if (launch == NULL)
        return -ENOMEM;
    memcpy(launch, (const char *)head + BROOD__SPAWN_HEAD_BYTES, launch_bytes);
    if (!brood__launch_is_sound(launch, launch_bytes))
        return -EBADMSG; /* the process ends; so does the copy */
    *ret_launch = launch;
    return brood__launch_resolve(launch);
}

static _Noreturn void run_letter(struct brood__spawn_head *head, size_t bytes)
{
    struct brood__launch *launch;
    int r = take_launch(head, bytes, &launch);

    head->error = r;
    atomic_store(&head->state, r < 0 ? SPAWN_FAILED : SPAWN_BORN);
    brood__futex_wake_all(&head->state);
    (void)munmap(head, bytes);
    if (r < 0)
        _exit(127);
    brood__current_enter(launch, -1);
    brood__child_run(launch, -1, true);
}

int brood_main(int argc, char **argv)
{
    const char *number = secure_getenv(BROOD__SPAWN_VARIABLE);
    size_t bytes;

    (void)argc;
    if (argv == NULL)
        return -EINVAL;
    main_argv = argv;
    if (number == NULL && getenv(BROOD__SPAWN_VARIABLE) != NULL)
        _exit(127); /* a privileged program does not listen, and must not spawn without end */
    if (number != NULL) {
        struct brood__spawn_head *head = map_letter(number, &bytes);

        (void)unsetenv(BROOD__SPAWN_VARIABLE);
        if (head == NULL) /* to go on as the program would spawn without end */
            _exit(127);
        run_letter(head, bytes);
    }
    return 0;
}
