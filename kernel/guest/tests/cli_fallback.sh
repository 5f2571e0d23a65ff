# If the kernel driver has no free device, or its names are taken, devices in userspace do it.
# of-all: 6.1
# memory: 640
# timeout: 600
. /lib.sh

load fuse
load loop || skip "no loop devices in this kernel"
[ -e /dev/fuse ] || skip "no FUSE in this kernel"

# A device in userspace was first: the driver's node of that name cannot be.
run compcache --driver user swap on ramzswap0 --size 32M >/dev/null
[ -L /dev/ramzswap0 ] || fail "no link"
run load ramzswap num_devices=2
run compcache status >/tmp/status
grep -q '^/dev/ramzswap0  */dev/loop' /tmp/status || fail "$(cat /tmp/status)"
run compcache swap on --size 32M >/tmp/out
grep -q '^/dev/ramzswap1: ' /tmp/out || fail "$(cat /tmp/out)"
equal "$(cat /sys/block/ramzswap1/initstate)" 1 "initstate of the driver's second device"

# No more of the driver's: one in userspace, and the reason is printed.
run compcache swap on --size 32M >/tmp/out 2>/tmp/err
grep -q "a device in userspace is used: all devices of the kernel driver are in use" /tmp/err ||
	fail "$(cat /tmp/err)"
run in_cgroup 16 hog 24
run compcache swap off >/tmp/out
equal "$(grep -c 'swapped off' /tmp/out)" 3 "how many were swapped off"
grep -q ramzswap /proc/swaps && fail "$(cat /proc/swaps)"
done_clean
