/*
 * 02_arguments_and_names: give a process an argument and a name.
 * Prints what three children find: a text, a struct, and a pointer; the names are given by
 * lineage or by the options. Next: 03_pids_and_parents.c.
 */
#include <brood.h>

#include <stdio.h>
#include <stdlib.h>

struct order {
    int number;
    double price;
};

static const char *my_name(brood_process_info *info)
{
    return brood_current_process(info) == 0 ? info->name : "?";
}

static int take_text(void *argument, size_t argument_bytes)
{
    brood_process_info info = BROOD_PROCESS_INFO_INIT;

    printf("%s: \"%s\", %zu bytes\n", my_name(&info), (const char *)argument, argument_bytes);
    return 0;
}

static int take_order(void *argument, size_t argument_bytes)
{
    brood_process_info info = BROOD_PROCESS_INFO_INIT;
    const struct order *order = argument; /* aligned as malloc aligns */

    (void)argument_bytes;
    printf("%s: order %d at %.2f\n", my_name(&info), order->number, order->price);
    return 0;
}

static int take_pointer(void *argument, size_t argument_bytes)
{
    brood_process_info info = BROOD_PROCESS_INFO_INIT;

    (void)argument_bytes; /* 0 */
    printf("%s: order %d, seen where the parent has it\n", my_name(&info),
           ((const struct order *)argument)->number);
    return 0;
}

static int run(brood_process_function *function, const void *argument, size_t argument_bytes,
               const brood_process_options *options)
{
    brood_process *process = NULL;
    int r = brood_process_create(function, argument, argument_bytes, options, &process);

    if (r == 0)
        r = brood_process_start(process);
    if (r == 0)
        r = brood_process_join(process, BROOD_FOREVER);
    if (r == 0)
        printf("main: %s has ended\n", brood_process_name(process));
    brood_process_free(process);
    return r;
}

int main(void)
{
    brood_process_options options = BROOD_PROCESS_OPTIONS_INIT;
    struct order order = { 7, 12.5 };
    int r = run(take_text, "spam", sizeof "spam", NULL); /* the bytes are copied */

    options.name = "cashier";
    if (r == 0)
        r = run(take_order, &order, sizeof order, &options); /* a struct goes as it is */
    options.name = "auditor";
    if (r == 0)
        r = run(take_pointer, &order, 0, &options); /* no copy: only fork can do this */
    if (r < 0)
        fprintf(stderr, "02_arguments_and_names: %s\n", brood_strerror(r));
    return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
