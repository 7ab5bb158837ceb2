/* Repair hooks: which function this process runs for which object. Looked for only after a
 * death. */
#ifndef BROOD__SYNC_HOOKS_H
#define BROOD__SYNC_HOOKS_H

#include <brood/lock.h>

/* NULL removes. -ENOMEM. */
int brood__hook_set(const void *object, brood_repair_function *repair, void *user);

/* Runs the hook of an object. 1: ran, all is well; 0: there is none; negative: it failed. */
int brood__hook_run(const void *object);

#endif
