/* command: a program found in PATH, executed without a shell. */
#include "process/start.h"

#include "process/environment.h"
#include "process/exec.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_DEFAULT "/usr/local/bin:/bin:/usr/bin"

/* The files that `name` may mean, in one block for free(): itself if it has a slash, else
 * one in each directory of `path`, an empty one being the working directory. */
static char **candidates(const char *name, const char *path)
{
    size_t name_bytes = strlen(name) + 1, count = 1;
    char **vector, *text;

    if (strchr(name, '/') != NULL)
        path = "";
    for (const char *p = path; *p != '\0'; p++)
        count += *p == ':';
    vector = malloc((count + 1) * sizeof *vector + strlen(path) + count * (name_bytes + 1));
    if (vector == NULL)
        return NULL;
    text = (char *)(vector + count + 1);
    for (size_t i = 0; i < count; i++) {
        size_t bytes = strcspn(path, ":");

        vector[i] = text;
        memcpy(text, path, bytes);
        text += bytes;
        if (bytes > 0)
            *text++ = '/';
        memcpy(text, name, name_bytes);
        text += name_bytes;
        path += bytes + (path[bytes] == ':');
    }
    vector[count] = NULL;
    return vector;
}

/* Leaves out what is not there, up to the first that may be: a look costs less than a failed
 * exec, but those behind that one are hardly ever tried. What is relative is relative to a
 * directory that only the child will be in. */
static char **skip_missing(char **paths)
{
    while (*paths != NULL && **paths == '/' && access(*paths, F_OK) < 0 &&
           (errno == ENOENT || errno == ENOTDIR))
        paths++;
    return paths;
}

int brood__start_command(brood_process *process, struct brood__launch *launch,
                         const struct brood__bond *bond)
{
    char entry[BROOD__MARK_ENTRY_BYTES];
    char *entries[] = { entry, NULL };
    char **argv = brood__launch_strings(launch, &launch->argv, 0);
    char **environment, **paths = NULL, **first = NULL;
    pid_t pid = -ENOMEM;

    if (bond != NULL)
        brood__mark_entry(&bond->mark, bond->index, entry);
    environment = brood__environment(launch, bond != NULL ? entries : NULL);
    if (argv != NULL && environment != NULL) {
        const char *path = brood__environment_get(environment, "PATH");

        paths = candidates(argv[0], path == NULL ? PATH_DEFAULT : path);
    }
    if (paths != NULL)
        first = skip_missing(paths);
    if (paths != NULL && *first == NULL) {
        pid = -ENOENT;
    } else if (paths != NULL) {
        struct brood__exec exec = { .paths = first,
                                    .argv = argv,
                                    .environment = environment,
                                    .setup = brood__setup_own(launch) };

        exec.setup.for_exec = true;
        if (bond != NULL) {
            exec.setup.cgroup = bond->cgroup;
            exec.launching = brood__guard_launching_take();
        }
        pid = brood__exec(&exec, &process->pidfd);
        if (exec.launching != NULL)
            atomic_store(exec.launching, 0);
        process->pid = pid;
    }
    free(paths);
    free(environment);
    free(argv);
    return pid < 0 ? pid : 0;
}
