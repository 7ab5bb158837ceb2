/*
 * 04_isolation: a child has its own copy of all variables.
 * Prints 15 from the child, which counts on from the parent's 10, and 10 from the parent,
 * where nothing has changed. Next: 05_ten_at_once.c.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>

static int count = 10;

static int count_on(void *argument, size_t argument_bytes)
{
    (void)argument, (void)argument_bytes;
    count += 5;
    printf("child: count is %d\n", count);
    return 0;
}

int main(void)
{
    brood_process *process = NULL;
    int r = brood_process_create(count_on, NULL, 0, NULL, &process);

    printf("parent: count is %d\n", count);
    if (r == 0)
        r = brood_process_start(process); /* writes out what stdout holds first */
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        printf("parent: count is still %d\n", count);
    if (r < 0)
        fprintf(stderr, "04_isolation: %s\n", brood_strerror(r));
    brood_process_free(process);
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
