# Memory is used up, and nothing more can be swapped out: the kernel kills programs that have the most,
# soon, and the others go on.
# memory: 300
# smp: 2
# timeout: 1200
# allow: Call Trace
. /lib.sh

run load ramzswap
memory=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))

# none_runs NAME: does no process of the name run?
none_runs() {
	! pidof "$1" >/dev/null
}

# used_up WHAT OPTION...: a hog with more than fits is killed by the kernel; a smaller one keeps its
# pages.
used_up() {
	what=$1
	shift
	set_to disksize $((memory * 3))M
	swap_on
	dmesg -c >/dev/null
	rm -f /tmp/over
	hog -u /tmp/over 16 &
	small=$!
	refused hog "$@"
	logged 'Out of memory: Killed process [0-9]* (hog)'
	touch /tmp/over
	wait $small || fail "$what: the smaller hog has ended by $?"
	# Whose parent was killed may still run.
	until_true 120 none_runs hog
	run swapoff /dev/$D
	holds_header_only "$what: after swapoff"
	run blockio fill /dev/$D 16
	run blockio check /dev/$D 16
	reset_device
}

used_up "nothing compresses" -i 100 -r 0 -x $((memory * 2))
used_up "a part compresses" -i 70 -r 0 -x $((memory * 13 / 5))
used_up "four processes" -p 4 -i 100 -r 0 -x $((memory / 2 + 10))

# The OOM killer says where it was called.
# On a slow machine an allocation that waits for the kill may take over ten seconds.
done_clean 'Call Trace|page allocation stall'
