/* Addresses of static code and data, as module build-id and offset. */
#ifndef BROOD__MODULE_H
#define BROOD__MODULE_H

#include <brood/function.h>

#include <stdbool.h>

/* -ENOENT if the address lies in no loaded module. */
int brood__module_locate(const void *address, brood_function_id *ret_id);

/* -ENOENT if no such module is loaded, or the offset lies outside it (with `code`: outside
 * its executable part). */
int brood__module_resolve(const brood_function_id *id, bool code, void **ret_address);

/* In a child, right after fork: another thread may have been registering a function. */
void brood__function_after_fork(void);

#endif
