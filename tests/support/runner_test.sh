#!/bin/sh
# The runner finds out each way in which a test can misbehave, says what it found, and
# leaves nothing running. RUNNER and RUNNER_BAD_CASES name the two programs.
# limit: 120

set -u
failures=0
BROOD_TEST_TIMEOUT_FACTOR=1
export BROOD_TEST_TIMEOUT_FACTOR
RUNNER_TEST_SHM=/brood-runner-test-$$
export RUNNER_TEST_SHM

complain()
{
    echo "$1"
    echo "$out" | sed 's/^/    /'
    failures=$((failures + 1))
}

# expect STATUS PATTERN CASE: the case alone, by its last line and a line of its report.
expect()
{
    out=$("$RUNNER" -f "program/seeded[.]$3" "$RUNNER_BAD_CASES" 2>&1)
    status=$?
    test "$status" -eq "$1" || complain "$3: exit status $status, not $1"
    echo "$out" | grep -q -- "$2" || complain "$3: nothing like '$2' was printed"
}

expect 0 '^ok program/seeded.good (' good
expect 0 '^ok program/seeded.good_orphan_ends (' good_orphan_ends
expect 0 '^0 passed, 0 failed, 1 skipped$' good_skips
expect 1 '^0 passed, 1 failed$' bad_assertion
expect 1 '^0 passed, 1 failed$' bad_assertion_in_child
expect 1 'left behind, alive' bad_child
expect 1 'left behind, alive' bad_daemon
expect 1 "/dev/shm$RUNNER_TEST_SHM" bad_shm
rm -f "/dev/shm$RUNNER_TEST_SHM"
expect 1 'descriptor [0-9]* was left open: /dev/null' bad_descriptor
expect 1 'descriptor 0 was closed' bad_descriptor_closed
expect 1 'no end within' bad_hang
expect 1 'killed by signal 11' bad_crash
expect 1 'exit status 3' bad_exit

# All at once, two at a time: who left a child is known exactly, and every bad one fails.
out=$("$RUNNER" -j 2 "$RUNNER_BAD_CASES" 2>&1)
rm -f "/dev/shm$RUNNER_TEST_SHM"
for name in assertion assertion_in_child child daemon shm descriptor descriptor_closed hang \
    crash exit; do
    echo "$out" | grep -q "^FAIL program/seeded.bad_$name (" || complain "bad_$name not failed"
done
echo "$out" | grep -q '^ok program/seeded.good (' || complain "good not passed"
test "$(echo "$out" | grep -c 'left behind, alive')" -eq 2 || complain "wrongly blamed"

# Scripts, by their exit status; and nothing to run is not a success.
printf 'exit 4\n' >bad.sh
out=$("$RUNNER" --script bad.sh 2>&1) && complain "a failing script passed"
printf 'test -n "$TMPDIR" && test "$PWD" = "$TMPDIR" && echo made >here\n' >good.sh
out=$("$RUNNER" --repeat 3 --script "$PWD/good.sh" 2>&1)
test "$(echo "$out" | tail -n 1)" = "3 passed, 0 failed" || complain "good.sh"
out=$("$RUNNER" -f nothing-of-this-name "$RUNNER_BAD_CASES" 2>&1) && complain "empty run passed"

# A start without standard descriptors mixes nothing up.
out=$("$RUNNER" -f 'program/seeded[.]good' "$RUNNER_BAD_CASES" <&- 2>&-)
test "$(echo "$out" | tail -n 1)" = "1 passed, 0 failed" || complain "descriptors closed"

# A runner that is killed takes the test with it, and the test's orphans.
"$RUNNER" -f program/seeded.bad_hang "$RUNNER_BAD_CASES" >/dev/null 2>&1 &
runner=$!
sleep 0.5
kill -KILL "$runner"
wait "$runner" 2>/dev/null

exit "$((failures > 0))"
