# Memory is used up, and nothing more can be swapped out: the kernel kills programs that have the most,
# soon, and the others go on.
# memory: 400
# smp: 2
# timeout: 200
# allow: Out of memory
# allow: invoked oom-killer
# allow: Call Trace
. /lib.sh

run load ramzswap

# used_up WHAT OPTION...: a hog with more than fits is killed by the kernel; a smaller one keeps its
# pages.
used_up() {
	what=$1
	shift
	swap_on
	dmesg -c >/dev/null
	rm -f /tmp/over
	hog -u /tmp/over 16 &
	small=$!
	refused timeout -s KILL 90 hog "$@"
	said 'Out of memory: Killed process [0-9]* (hog)'
	touch /tmp/over
	wait $small || fail "$what: the smaller hog has ended by $?"
	run swapoff /dev/$D
	holds_header_only "$what: after swapoff"
	run blockio fill /dev/$D 16
	run blockio check /dev/$D 16
	reset_device
}

set_to disksize 1G
used_up "without a limit" -i 100 -r 0 -x 700

# Some of it compresses.
set_to disksize 1G
used_up "a part compresses" -i 70 -r 0 -x 900

# By several programs at once.
set_to disksize 1G
used_up "four processes" -p 4 -i 100 -r 0 -x 180

# The OOM killer says where it was called.
done_clean 'Call Trace'
