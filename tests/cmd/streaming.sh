# A job starts when its line is there, and its output comes when it ends, whatever the next
# line does (row 8, P15).
. "$(dirname "$0")/common.sh"

mkfifo lines
for order in '' -k; do
    "$BROOD" map $order -j 2 echo ran > out 2> err < lines &
    pid=$!
    exec 8> lines
    echo 1 >&8
    wait_text 'ran 1' out
    printf '2\n3' >&8
    wait_text 'ran 2' out
    grep -q 'ran 3' out && fail 'half a line was run'
    echo >&8
    wait_text 'ran 3' out
    exec 8>&-
    wait "$pid" || fail 'not 0'
    printf 'ran 1\nran 2\nran 3\n' | same out
done
