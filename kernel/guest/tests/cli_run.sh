# compcache run and demo on a device of the kernel driver: it is there for as long as the program
# runs, however that or compcache ends.
# smp: 2
# of-all: 6.1
# memory: 640
# timeout: 900
. /lib.sh

# gone: is no device in use?
gone() {
	! grep -q ramzswap /proc/swaps && [ "$(cat $S/initstate)" = 0 ]
}

# shared: do two programs have the device?
shared() {
	compcache status | grep -q '2 lease(s)'
}

no_daemon() {
	! [ -e /run/compcache/control.sock ]
}

run load ramzswap num_devices=1
run compcache run --memory 16M --size 96M -- hog -p 2 -r 1 16 2>/tmp/err
cat /tmp/err
grep -q "^compcache: hog: exit status 0" /tmp/err || fail "no report"
grep -q "^compcache: device: at most" /tmp/err || fail "nothing was swapped: $(cat /tmp/err)"
run gone
compcache run --memory 24M -- sh -c 'exit 7' 2>/tmp/err
equal $? 7 "after '$(cat /tmp/err)' the status of the program"
compcache run --memory 24M -- no-such-program 2>/tmp/err
equal $? 127 "after '$(cat /tmp/err)' the status if there is no such program"
until_true 20 gone
until_true 20 no_daemon

# Two programs share it. It is not taken from under them, and status tells of them.
compcache run --quiet --memory 16M --size 96M -- hog -u /tmp/enough 32 &
first=$!
until_true 30 used_as_swap
compcache run --quiet --memory 16M -- hog -u /tmp/enough 24 &
second=$!
until_true 30 shared
refused_with "leased by 2 program(s)" compcache swap off ramzswap0
compcache swap off >/tmp/out 2>&1
grep -q "leased by 2" /tmp/out || fail "$(cat /tmp/out)"
run used_as_swap
run compcache status >/tmp/status
grep -q '2 lease(s)' /tmp/status || fail "$(cat /tmp/status)"
grep -q '^/dev/ramzswap0  */dev/ramzswap0' /tmp/status || fail "$(cat /tmp/status)"
touch /tmp/enough
wait $first || fail "the first program"
wait $second || fail "the second program"
rm /tmp/enough
until_true 20 gone

# compcache is killed: its program goes on by itself, and the device when the pages fit back.
compcache run --quiet --memory 16M -- hog -u /tmp/enough 32 &
killed=$!
until_true 60 stored_at_least 8388608
kill -9 $killed
wait $killed
touch /tmp/enough
until_true 120 gone
until_true 30 no_daemon
rm /tmp/enough

# The demo, and interrupted.
run compcache demo --size 64M --limit 24M >/tmp/demo
cat /tmp/demo
grep -q "^Verified: each of 16384 pages" /tmp/demo || fail "the demo"
run gone
compcache demo --size 64M --limit 24M >/dev/null 2>&1 &
demo=$!
until_true 60 stored_at_least 4194304
kill -TERM $demo
wait $demo
equal $? 143 "the status of a demo that was stopped"
until_true 60 gone
until_true 30 no_daemon
done_clean
