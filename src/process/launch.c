#include "process/launch.h"

#include "base/options.h"
#include "process/module.h"

#include <errno.h>
#include <fcntl.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define LAUNCH_MAGIC 0x62724c31u /* "brL1" */

/* ---- options ---- */

static bool stdio_ok(int fd, bool is_stderr)
{
    return fd >= (is_stderr ? BROOD_STDIO_STDOUT : BROOD_STDIO_NULL);
}

static int check_descriptors(const brood_process_options *o)
{
    const int stdio[3] = { o->stdin_fd, o->stdout_fd, o->stderr_fd };

    for (int i = 0; i < 3; i++)
        if (stdio[i] > 0 && fcntl(stdio[i], F_GETFD) < 0)
            return -EBADF;
    for (size_t i = 0; i < o->descriptor_count; i++) {
        if (o->descriptors[i] < 3)
            return o->descriptors[i] < 0 ? -EBADF : -EINVAL;
        if (fcntl(o->descriptors[i], F_GETFD) < 0)
            return -EBADF;
    }
    return 0;
}

static int check_options(const struct brood__launch *what, const brood_process_options *o,
                         const void *argument, size_t argument_bytes)
{
    bool leaves = o->start_method == BROOD_START_FORKSERVER || /* this address space */
                  o->start_method == BROOD_START_SPAWN;

    if (o->daemon < BROOD_DAEMON_INHERIT || o->daemon > BROOD_DAEMON_NO ||
        o->start_method < BROOD_START_DEFAULT || o->start_method > BROOD_START_SPAWN ||
        o->process_group < BROOD_GROUP_INHERIT || o->process_group > BROOD_GROUP_SESSION ||
        o->nice_increment < -40 || o->nice_increment > 40 || !stdio_ok(o->stdin_fd, false) ||
        !stdio_ok(o->stdout_fd, false) || !stdio_ok(o->stderr_fd, true) ||
        (o->flags & ~BROOD_PROCESS_KEEP_DESCRIPTORS) != 0 ||
        o->descriptor_count > BROOD__DESCRIPTORS_MAX || o->cpu_count > 1 << 16 ||
        (o->descriptor_count > 0 && o->descriptors == NULL) ||
        (o->cpu_count > 0 && o->cpus == NULL))
        return -EINVAL;
    if (what->kind != LAUNCH_COMMAND && leaves &&
        ((argument_bytes == 0 && argument != NULL) || o->flags != 0))
        return -EINVAL;
    if (what->kind == LAUNCH_COMMAND && o->flags != 0)
        return -EINVAL;
    if (argument_bytes > 0 && argument == NULL)
        return -EINVAL;
    if (o->name != NULL && strlen(o->name) >= BROOD_NAME_BYTES)
        return -ENAMETOOLONG;
    for (size_t i = 0; i < o->cpu_count; i++)
        if (o->cpus[i] < 0 || o->cpus[i] >= 1 << 16)
            return -EINVAL;
    return check_descriptors(o);
}

/* ---- packing ---- */

/* Measures first, with `base` NULL, and copies the second time. */
struct packer {
    char *base;
    size_t at;
};

static struct brood__launch_part pack(struct packer *p, const void *bytes, size_t byte_count,
                                      size_t count)
{
    struct brood__launch_part part;

    p->at = (p->at + alignof(max_align_t) - 1) & ~(alignof(max_align_t) - 1);
    part.at = p->at;
    part.count = count;
    if (p->base != NULL && byte_count > 0)
        memcpy(p->base + p->at, bytes, byte_count);
    p->at += byte_count;
    return part;
}

static struct brood__launch_part pack_strings(struct packer *p, const char *const *strings)
{
    struct brood__launch_part part = pack(p, NULL, 0, 0);

    for (; strings != NULL && strings[part.count] != NULL; part.count++) {
        size_t bytes = strlen(strings[part.count]) + 1;

        if (p->base != NULL)
            memcpy(p->base + p->at, strings[part.count], bytes);
        p->at += bytes;
    }
    return part;
}

static void pack_all(struct packer *p, struct brood__launch *launch, const void *argument,
                     size_t argument_bytes, const char *const *argv,
                     const brood_process_options *o)
{
    const char *directory = o->working_directory;

    p->at = sizeof *launch;
    launch->argument = pack(p, argument, argument_bytes, argument_bytes);
    launch->argv = pack_strings(p, argv);
    launch->environment = pack_strings(p, o->environment);
    launch->working_directory =
        pack(p, directory, directory ? strlen(directory) + 1 : 0, directory != NULL);
    launch->descriptors =
        pack(p, o->descriptors, sizeof(int) * o->descriptor_count, o->descriptor_count);
    launch->cpus = pack(p, o->cpus, sizeof(int) * o->cpu_count, o->cpu_count);
    launch->bytes = p->at;
}

int brood__launch_pack(const struct brood__launch *what, const void *argument,
                       size_t argument_bytes, const char *const *argv,
                       const brood_process_options *options, struct brood__launch **ret_launch)
{
    brood_process_options o;
    struct brood__launch header = *what, *launch;
    struct packer p = { NULL, 0 };
    int r = brood__options_read(&o, sizeof o, sizeof o, options);

    if (r == 0)
        r = check_options(what, &o, argument, argument_bytes);
    if (r < 0)
        return r;
    if (argument_bytes > SIZE_MAX / 4)
        return -ENOMEM;
    pack_all(&p, &header, argument, argument_bytes, argv, &o);

    launch = malloc(p.at);
    if (launch == NULL)
        return -ENOMEM;
    p.base = (char *)launch;
    pack_all(&p, &header, argument, argument_bytes, argv, &o);
    header.magic = LAUNCH_MAGIC;
    header.daemon = o.daemon;
    header.start_method = o.start_method;
    header.process_group = o.process_group;
    header.nice_increment = o.nice_increment;
    header.stdio[0] = o.stdin_fd;
    header.stdio[1] = o.stdout_fd;
    header.stdio[2] = o.stderr_fd;
    header.flags = o.flags;
    header.has_environment = o.environment != NULL;
    header.named = o.name != NULL;
    if (o.name != NULL)
        memcpy(header.name, o.name, strlen(o.name) + 1);
    memcpy(launch, &header, sizeof header);
    *ret_launch = launch;
    return 0;
}

/* ---- reading ---- */

static bool part_is_sound(const struct brood__launch *launch,
                          const struct brood__launch_part *part, size_t entry_bytes)
{
    return part->at >= sizeof *launch && part->at <= launch->bytes &&
           part->count <= (launch->bytes - part->at) / entry_bytes;
}

bool brood__launch_is_sound(const struct brood__launch *launch, size_t bytes)
{
    return bytes >= sizeof *launch && launch->bytes == bytes && launch->magic == LAUNCH_MAGIC &&
           part_is_sound(launch, &launch->argument, 1) &&
           part_is_sound(launch, &launch->argv, 1) &&
           part_is_sound(launch, &launch->environment, 1) &&
           part_is_sound(launch, &launch->working_directory, 1) &&
           part_is_sound(launch, &launch->descriptors, sizeof(int)) &&
           part_is_sound(launch, &launch->cpus, sizeof(int));
}

void *brood__launch_argument(struct brood__launch *launch)
{
    return launch->argument.count > 0 ? (char *)launch + launch->argument.at : launch->pointer;
}

const char *brood__launch_directory(const struct brood__launch *launch)
{
    return launch->working_directory.count > 0
               ? (const char *)launch + launch->working_directory.at
               : NULL;
}

const int *brood__launch_ints(const struct brood__launch *launch,
                              const struct brood__launch_part *part)
{
    return (const int *)(const void *)((const char *)launch + part->at);
}

char **brood__launch_strings(const struct brood__launch *launch,
                             const struct brood__launch_part *part, size_t extra)
{
    char **vector = calloc(part->count + extra + 1, sizeof *vector);
    char *string = (char *)(uintptr_t)launch + part->at;

    for (size_t i = 0; vector != NULL && i < part->count; i++) {
        vector[i] = string;
        string += strlen(string) + 1;
    }
    return vector;
}

/* ---- across address spaces ---- */

int brood__launch_locate(struct brood__launch *launch)
{
    if (launch->kind == LAUNCH_FUNCTION)
        return brood_function_locate(launch->function, &launch->id);
    return brood__module_locate(launch->ops, &launch->id);
}

int brood__launch_resolve(struct brood__launch *launch)
{
    void *address;
    int r;

    if (launch->kind == LAUNCH_FUNCTION)
        return brood_function_resolve(&launch->id, &launch->function);
    r = brood__module_resolve(&launch->id, false, &address);
    if (r == 0)
        launch->ops = address;
    return r;
}
