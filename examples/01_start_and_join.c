/*
 * 01_start_and_join: run a function in a process of its own, and wait until it has ended.
 * Prints one line from the child, then one from the parent. Next: 02_arguments_and_names.c.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>

static int greet(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    printf("hello from a process of its own\n");
    return 0; /* becomes the exit code; stdout is flushed after this */
}

int main(void)
{
    brood_process *process = NULL;
    int r = brood_process_create(greet, NULL, 0, NULL, &process);

    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        printf("the process has ended\n");
    if (r < 0)
        fprintf(stderr, "01_start_and_join: %s\n", brood_strerror(r));
    brood_process_free(process); /* NULL is fine */
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
