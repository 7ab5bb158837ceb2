# How input becomes items, and that one bad item fails alone (row 6, P14).
. "$(dirname "$0")/common.sh"

run 0 "$BROOD" map touch ran < /dev/null
: > empty
run 0 "$BROOD" map -a empty touch ran
printf '\n\n\n' > newlines
run 0 "$BROOD" map -a newlines touch ran
[ ! -e ran ] || fail 'a job without items'
printf 'a\nb' > unfinished
run 0 "$BROOD" map -k -a unfinished echo
printf 'a\nb\n' | same out
cat unfinished | run 0 "$BROOD" map -k echo
printf 'a\nb\n' | same out
printf 'a\r\nb\r\n\r\n' > crlf
run 0 "$BROOD" map --crlf -k -a crlf echo
printf 'a\nb\n' | same out
run 0 "$BROOD" map -k -a crlf echo
printf 'a\r\nb\r\n\r\n' | same out
printf 'a,b,,c' > commas
run 0 "$BROOD" map -k -d , -a commas echo
printf 'a\nb\nc\n' | same out
printf 'a\0\0b' > nuls
run 0 "$BROOD" map -k -0 -a nuls printf '<%s>'
printf '<a><><b>' | same out
run 0 "$BROOD" map -k -d '\0' -a nuls printf '<%s>'
printf '<a><b>' | same out
run 0 "$BROOD" map -k printf '<%s>' ::: a '' b
printf '<a><><b>' | same out
run 0 "$BROOD" map touch ran :::
[ ! -e ran ] || fail 'a job without items'

# Too long for the kernel, too long for us, and with a NUL byte: these fail, others run.
{
    echo first
    head -c 200000 /dev/zero | tr '\0' x
    echo
    echo second
    head -c 20000000 /dev/zero | tr '\0' y
    printf '\nthi\0rd\nfourth\n'
} > bad
run 1 "$BROOD" map -k --joblog log -a bad echo
printf 'first\nsecond\nfourth\n' | same out
grep -q '3 of 6 jobs failed' err || fail 'no summary'
[ "$(wc -l < log)" -eq 6 ] || fail 'not six records'
[ "$(grep -c '"rc":126.*"error":"' log)" -eq 3 ] || fail 'not three records of jobs that never ran'
# In batches, the neighbours of a bad item still run.
run 1 "$BROOD" map -k -n 4 -a bad echo
printf 'first\nsecond\nfourth\n' | same out

# Each job reads /dev/null, not our input.
printf '1\n2\n3\n' > three
run 0 "$BROOD" map -j 1 sh -c 'cat; echo "$1"' sh < three
same out < three
