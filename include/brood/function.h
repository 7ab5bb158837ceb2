/*
 * Functions that cross address spaces.
 *
 * A child made by fork shares the program's addresses. One made by spawn, or by a
 * forkserver that was there before a library was loaded, does not, so a function travels
 * as the build-id of its module and its offset in it, or under a name both sides have
 * registered. What cannot be found there is an error at start, never a jump to somewhere.
 */
#ifndef BROOD_FUNCTION_H
#define BROOD_FUNCTION_H

#include <brood/base.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a child process runs. `argument` is the copy of the bytes given at creation, or the
 * pointer itself when `argument_bytes` was 0. What it returns becomes the exit code, its
 * low 8 bits, as with exit().
 */
typedef int brood_process_function(void *argument, size_t argument_bytes);

#define BROOD_FUNCTION_NAME_BYTES 64

/* A function as another process can find it. Plain bytes: copy, store and send it freely. */
typedef struct brood_function_id {
    uint8_t module[20]; /* build-id of the module, or a hash of its layout if it has none */
    uint8_t by_name;    /* 1: `name` counts, and nothing else */
    uint8_t reserved[3];
    uint64_t offset; /* bytes from where the module is loaded */
    char name[BROOD_FUNCTION_NAME_BYTES];
} brood_function_id;

/*
 * Gives a function a name of its own, so that programs whose modules differ can mean the
 * same by it. Once registered it travels by that name. The name is copied.
 *
 * Returns    0, also if the same pair was registered before.
 * Errors     -EINVAL (NULL or empty), -ENAMETOOLONG (63 bytes at most), -EEXIST (the name
 *            means another function), -ENOMEM
 * Threads    Any thread; best done at the start of main(), before brood_main().
 * Fork       Children made by fork know the names; a spawned one registers them again on
 *            its way to brood_main().
 * Since      0.1
 */
BROOD_API int brood_function_register(const char *name, brood_process_function *function);

/*
 * Finds out how another process can find `function`.
 *
 * Returns    0, with *ret_id filled.
 * Errors     -EINVAL (NULL), -ENOENT (the address lies in no loaded module)
 * Threads    Any thread, at any time.
 * Since      0.1
 */
BROOD_API int brood_function_locate(brood_process_function *function,
                                    brood_function_id *ret_id);

/*
 * Finds the function that `id` names in this process.
 *
 * Returns    0, with *ret_function filled.
 * Errors     -EINVAL (NULL), -ENOENT (no such module is loaded here, no such name is
 *            registered, or the offset lies outside the module's code)
 * Threads    Any thread, at any time.
 * Since      0.1
 */
BROOD_API int brood_function_resolve(const brood_function_id *id,
                                     brood_process_function **ret_function);

/*
 * The entry of a spawned child. Call it first thing in main(), after registering names: in
 * a child made by BROOD_START_SPAWN it runs the child's function and exits; anywhere else
 * it only notes that spawn is possible, and returns.
 *
 * Returns    0 in a program that was not spawned.
 * Errors     -EINVAL (argv NULL)
 * Threads    Before the program has threads.
 * Since      0.1
 */
BROOD_API int brood_main(int argc, char **argv);

#ifdef __cplusplus
}
#endif

#endif
