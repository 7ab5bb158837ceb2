#!/bin/sh
# limit: 600
# Runs the models of the waits through spin: those that must hold, and those that must fail,
# for a model that cannot fail shows nothing. Each file says what its macros mean.

set -u
models=$(cd "$(dirname "$0")" && pwd) || exit 1
command -v spin >/dev/null || {
    echo "there is no spin"
    exit 77
}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0

# check holds|fails MODEL [MACRO]...
check()
{
    want=$1 model=$2
    shift 2
    macros=
    for macro in "$@"; do
        macros="$macros -D$macro"
    done
    # shellcheck disable=SC2086 # these are words
    if ! spin $macros -a "$models/$model.pml" >log 2>&1 ||
        ! ${MODELS_CC:-cc} -O2 -w -DSAFETY -DCOLLAPSE -o pan pan.c >>log 2>&1 ||
        ! ./pan -m1000000 -w22 >>log 2>&1; then
        cat log
        failed=1
        return
    fi
    states=$(sed -n 's/^ *\([0-9.e+]*\) states, stored.*/\1/p' log)
    if grep -q 'search depth too small\|memory limit' log; then
        echo "NOT WHOLE: $model $*"
        failed=1
    elif grep -q 'errors: 0' log; then
        found=holds
    else
        found=fails
    fi
    test "$found" = "$want" || failed=1
    echo "$model${*:+ $*}: $found, $states states$(test "$found" = "$want" || echo ': WRONG')"
}

check holds bell
check holds bell KILLS=1 SLICES
check holds bell KILLS=2 SLICES
check fails bell KILLS=1
check fails bell NO_PASS_ON
check fails bell LISTEN_LATE

check holds rwlock
check holds rwlock KILLS=1 SLICES
check fails rwlock KILLS=1
check fails rwlock GATE_FIRST
check fails rwlock KILLS=1 SLICES OPEN_FIRST

check holds condition
check holds condition KILLS=1 SLICES
check fails condition KILLS=1
check fails condition KILLS=2 SLICES TAKE_FIRST
check fails condition WAKE_FIRST

# Ten million states and more.
if test "${BROOD_TEST_LONG:-0}" = 1; then
    check holds rwlock KILLS=2 SLICES
    check holds condition KILLS=2 SLICES
fi

exit "$failed"
