# Input that cannot be read: never a success.
. "$(dirname "$0")/common.sh"

no_input() { "$BROOD" map "$@" <&-; }
run 5 no_input echo
grep -q 'standard input' err || fail 'not said'
run 0 no_input echo ::: 1
run 5 no_input --dry-run echo
directory_input() { "$BROOD" map "$@" < /; }
run 5 directory_input echo
write_only() { "$BROOD" map "$@" 0> somewhere; }
run 5 write_only echo
if [ "$(id -u)" -ne 0 ]; then
    : > secret
    chmod 000 secret
    run 2 "$BROOD" map -a secret echo
    grep -q -e '-a' err || fail 'the option is not named'
fi
