#!/bin/sh
# limit: 300
# The test of the crash tests: each of these bugs is put into a copy of one source file, and
# the scenario named beside it must find it. CRASH_CC is the compiler with its flags, and
# CRASH_LIBRARY the static library; both come from the build.

set -u
: "${CRASH_CC:?}" "${CRASH_LIBRARY:?}"

source=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
test "$(uname -m)" = x86_64 || {
    echo "pairs need x86-64"
    exit 77
}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
failed=0
count=0

compile() # FILE OBJECT
{
    # shellcheck disable=SC2086 # these are words
    $CRASH_CC -std=c17 -D_GNU_SOURCE -DTEST_WITHOUT_CMOCKA -O2 -g -w \
        -I"$source/include" -I"$source/src" -I"$source/tests/support" -I"$source/tests/crash" \
        -c "$1" -o "$2"
}

# Once for all; cmocka is not needed.
for part in crash/step crash/step_self crash/step_ptrace support/harness; do
    compile "$source/tests/$part.c" "$work/common_$(basename "$part").o" || exit 1
done

# seed FILE SCRIPT SUITE.CASE: the bug is what the sed SCRIPT makes of the FILE of src/.
seed()
{
    suite=${3%%.*}
    name=${suite#crash_}
    count=$((count + 1))
    sed -e "$2" "$source/src/$1" >"$work/patched.c"
    if cmp -s "$source/src/$1" "$work/patched.c"; then
        echo "NOT SEEDED: $1: $2"
        failed=1
        return
    fi
    test -f "$work/test_$name.o" ||
        compile "$source/tests/crash/${name}_test.c" "$work/test_$name.o" || exit 1
    # Linked before the library, which then does not need its own.
    # shellcheck disable=SC2086
    if ! compile "$work/patched.c" "$work/patched.o" ||
        ! $CRASH_CC "$work/patched.o" "$work/test_$name.o" "$work"/common_*.o \
            "$CRASH_LIBRARY" -lpthread -ldl -o "$work/program"; then
        echo "NOT BUILT: $1: $2"
        failed=1
        return
    fi
    BROOD_CRASH_FINDINGS=1 "$work/program" --run "$3" >"$work/output" 2>&1
    # What a loaded machine did not come to in its time, it gets all the time for.
    grep -q FINDING "$work/output" ||
        BROOD_TEST_LONG=1 BROOD_CRASH_FINDINGS=1 timeout 100 \
            "$work/program" --run "$3" >"$work/output" 2>&1
    if ! grep -q FINDING "$work/output"; then
        echo "NOT FOUND by $3: $1: $2"
        cat "$work/output"
        failed=1
    else
        echo "found by $3: $(sed -n 's/^  FINDING //p' "$work/output" | head -n 1)"
    fi
}

# Mutexes that their owner's death does not free.
seed shm/robust.c 's/PTHREAD_MUTEX_ROBUST/PTHREAD_MUTEX_STALLED/' crash_lock.acquire_and_release

# A death that is not passed on to the one who acquires.
seed sync/lock.c 's/^    return BROOD_LOCK_RECOVERED;/    return 0;/' crash_lock.acquire_and_release

# The repair counts as done when it has begun.
seed sync/rwlock.c \
    's/^    r = brood__hook_run(rwlock);/    set_gate(rwlock, BROOD__GATE_CLOSING);\n&/' \
    crash_rwlock.repairing_by_writer

# A writer does not say that it writes.
seed sync/rwlock.c '/^    set_gate(rwlock, BROOD__GATE_WRITING);/d' crash_rwlock.writing

# The first half of a block gets its size before there is a header for the second.
seed shm/heap.c \
    '/store(at(header, place + bytes), all - bytes, FREE);/{
h
d
}
/^        store(block, bytes, FREE);/G' crash_heap.alloc

# The index is not made anew after a death.
seed shm/heap.c '/^    if (r == -EOWNERDEAD) {/,/^    }/s/(void)rebuild(header);//' \
    crash_heap.freeing

# Sleeps that have no end: a wake that dies with the ringer is lost.
seed sync/bell.c 's/left < slice_ns ? left : slice_ns/left/' crash_event.setting

# Permits that nobody owns.
seed sync/semaphore.c 's/TAKEN, this_thread()/TAKEN, 0/' crash_semaphore.acquiring

# A count that is looked at and changed in two steps: two at once.
seed sync/semaphore.c \
    's/!atomic_compare_exchange_weak(&semaphore->permits\[0\], &seen, seen + count)/(atomic_store(\&semaphore->permits[0], seen + count), 0)/' \
    crash_semaphore.two_counting_releases

# A notification dies with the one who got it.
seed sync/condition.c '/^static bool is_stranded/,/^}/s/return .*/return (void)header, (void)index, (void)word, false;/' \
    crash_condition.notified_waiter

# A party that dies at a barrier is not looked for.
seed sync/barrier.c '/^static bool dead_among/,/^}/s/return true;/return false;/' \
    crash_barrier.first_one

# A row that one died with looks as if it had been released.
seed sync/lock_table_grant.c 's/!= BROOD__MODE_X ||/>= BROOD__MODE_NONE ||/' crash_lock_table.row

echo "$count bugs"
exit "$failed"
