# kill -9 of the runner: every descendant of it is gone within a second, those in sessions of
# their own and those that forked twice included (row 22).
. "$(dirname "$0")/common.sh"

cat > tree << 'END'
trap '' TERM HUP
setsid sh -c 'trap "" TERM HUP; echo $$ > pid.session; : > up.1; sleep 1000' &
(setsid sh -c '(sh -c "trap \"\" TERM HUP; echo \$\$ > pid.twice; : > up.2; sleep 1000" &) ' &)
sleep 1000 &
echo $! > pid.child
echo $$ > pid.self
: > up.3
wait
END
"$BROOD" map -j 2 --shell 'case $1 in 1) exec sh ./tree ;; *) echo $$ > pid.other; : > up.4; sleep 1000 ;; esac' ::: 1 2 > out 2> err &
pid=$!
for i in 1 2 3 4; do
    wait_file "up.$i"
done
kill -9 "$pid"
wait "$pid"
[ $? -eq 137 ] || fail 'it was not killed'
[ "$(cat pid.* | wc -l)" -eq 5 ] || fail 'not five processes'
gone_in 100 $(cat pid.*)
