/*
 * 17_start_methods: three ways for a child to come to be.
 * Prints which value of a variable each child sees: fork copies the program as it is now,
 * the forkserver as it was when the guardian started, spawn executes it anew.
 * Next: the guide, ../docs/guide/processes.md.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>

static const char *stage = "the beginning"; /* of every execution of this program */

static int tell(void *argument, size_t argument_bytes)
{
    (void)argument_bytes;
    printf("%s sees %s\n", (const char *)argument, stage);
    return 0;
}

static int run(const char *name, size_t name_bytes, int start_method)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    brood_process *process = NULL;
    int r;

    options.start_method = start_method;
    r = brood_process_create(tell, name, name_bytes, &options, &process);
    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    brood_process_free(process);
    return r;
}

int main(int argc, char **argv)
{
    int r = brood_main(argc, argv); /* a spawned child goes from here to its function */

    stage = "the start of the guardian";
    if (r == 0)
        r = brood_guardian_start(NULL);
    stage = "now";
    if (r == 0)
        r = run("fork", sizeof "fork", BROOD_START_FORK);
    if (r == 0)
        r = run("forkserver", sizeof "forkserver", BROOD_START_FORKSERVER);
    if (r == 0)
        r = run("spawn", sizeof "spawn", BROOD_START_SPAWN);
    if (r < 0)
        fprintf(stderr, "17_start_methods: %s\n", brood_strerror(r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
