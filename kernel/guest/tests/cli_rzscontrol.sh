# rzscontrol on devices of the kernel driver by its ioctls, without a daemon; and beside them on
# devices in userspace, whose numbers are others.
# of-all: 6.1
# memory: 512
# timeout: 300
. /lib.sh

run load ramzswap num_devices=2
refused_with "ramzswap0 is not initialised, so it has no statistics" rzscontrol /dev/ramzswap0 --stats
run rzscontrol /dev/ramzswap0 --disksize_kb=65536 --init --verbose 2>/tmp/err
equal "$(cat /tmp/err)" "rzscontrol: /dev/ramzswap0: initialised" "what --verbose says"
# It comes with its swap header.
run swapon /dev/ramzswap0
run in_cgroup 16 hog 32
run rzscontrol /dev/ramzswap0 --stats >/tmp/stats
equal "$(cut -d: -f1 /tmp/stats | tr '\n' ' ')" "DiskSize NumReads NumWrites FailedReads FailedWrites \
InvalidIO NotifyFree ZeroPages GoodCompress NoCompress PagesStored PagesUsed OrigDataSize \
ComprDataSize MemUsedTotal " "the names in --stats"
grep -q "^DiskSize:	   65536 kB$" /tmp/stats || fail "$(cat /tmp/stats)"
run rzscontrol ramzswap0 --stats --verbose >/tmp/stats
grep -q '^RecompressAfter:	      30 s$' /tmp/stats || fail "$(cat /tmp/stats)"

refused_with "ramzswap0 is busy: it is swapped on" rzscontrol /dev/ramzswap0 --reset
refused_with "already initialised: reset it first to initialise it again" rzscontrol /dev/ramzswap0 --init
refused_with "reset it first to change its parameters" rzscontrol /dev/ramzswap0 --disksize_kb=4096
refused_with "disksize of 4096 bytes is too small: give at least 40 kB" rzscontrol /dev/ramzswap1 --disksize_kb=4 --init
refused_with "zero" rzscontrol /dev/ramzswap1 --disksize_kb=0
refused_with "17179869184" rzscontrol /dev/ramzswap1 --disksize_kb=17179869185
refused_with "memlimit of 64512 bytes is too small" rzscontrol /dev/ramzswap1 --memlimit_kb=63
refused_with "backing swap /dev/none" rzscontrol /dev/ramzswap1 --backing_swap=/dev/none
refused_with "root lacks CAP_SYS_ADMIN" unprivileged rzscontrol /dev/ramzswap1 --init
equal "$(cat /sys/block/ramzswap1/initstate)" 0 "initstate after refusals"
refused_with "no daemon is running" rzscontrol /dev/ramzswap2 --init

# What is refused forgets nothing that was set before.
run rzscontrol /dev/ramzswap1 --disksize_kb=8192
refused_with "backing swap" rzscontrol /dev/ramzswap1 --backing_swap=/dev/null --init
run rzscontrol /dev/ramzswap1 --init
equal "$(cat /sys/block/ramzswap1/disksize)" 8388608 "the size that was set before"
run rzscontrol /dev/ramzswap1 --reset

# A memory limit needs no backing swap, on either road.
limited() {
	run rzscontrol "$1" --memlimit_kb=8192 --disksize_kb=16384 --init
	run rzscontrol "$1" --stats >/tmp/stats
	grep -q "^MemLimit:	    8192 kB$" /tmp/stats || fail "$1: $(cat /tmp/stats)"
	run rzscontrol "$1" --reset
}
limited /dev/ramzswap1

# A daemon's devices have the numbers that the driver has not.
load fuse
if load loop && [ -e /dev/fuse ]; then
	compcached --num-devices 2 >/tmp/daemon.log 2>&1 &
	daemon=$!
	until_true 20 test -S /run/compcache/control.sock
	limited /dev/ramzswap2
	run rzscontrol /dev/ramzswap2 --disksize_kb=16384 --init
	[ -L /dev/ramzswap2 ] || fail "the daemon's device is no link"
	run rzscontrol /dev/ramzswap2 --stats >/tmp/stats
	grep -q "^DiskSize:	   16384 kB$" /tmp/stats || fail "$(cat /tmp/stats)"
	refused_with "ramzswap4; this daemon has 2 (ramzswap2 to ramzswap3)" rzscontrol /dev/ramzswap4 --init
	run rzscontrol /dev/ramzswap0 --stats >/dev/null
	refused_with "ramzswap1; this daemon has" compcache --driver user swap on ramzswap1
	run compcache status >/tmp/status
	grep -q '^/dev/ramzswap0  */dev/ramzswap0' /tmp/status || fail "$(cat /tmp/status)"
	grep -q '^/dev/ramzswap2  */dev/loop' /tmp/status || fail "$(cat /tmp/status)"
	kill $daemon
	wait $daemon || fail "the daemon: $(cat /tmp/daemon.log)"
	used_as_swap || fail "the end of the daemon took the kernel driver's device away"
else
	echo "no fuse or no loop here: without the daemon's devices"
fi
run swapoff /dev/ramzswap0
run rzscontrol /dev/ramzswap0 --reset
done_clean
