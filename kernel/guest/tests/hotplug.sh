# CPUs come and go while pages are swapped and written.
# smp: 4
# memory: 512
# timeout: 600
. /lib.sh

[ -e /sys/devices/system/cpu/cpu1/online ] || skip "this kernel cannot switch CPUs off"
run load ramzswap
set_to disksize 256M
swap_on
hog -o -h -p 2 -r 1 -u /tmp/enough 16 &
first=$!
in_cgroup 24 hog -p 2 -f -r 1 -u /tmp/enough 20 &
second=$!
n=0
while [ $n -lt $(rounds 6) ]; do
	n=$((n + 1))
	for cpu in 1 2 3; do
		run write_to /sys/devices/system/cpu/cpu$cpu/online 0
	done
	for cpu in 3 1 2; do
		run write_to /sys/devices/system/cpu/cpu$cpu/online 1
	done
done
touch /tmp/enough
wait $first || fail "the first hogs"
wait $second || fail "the second hogs"
run swapoff /dev/$D
reset_device

# Set up while CPUs are away, which then come; and the other way round.
write_to /sys/devices/system/cpu/cpu2/online 0
set_to disksize 64M
write_to /sys/devices/system/cpu/cpu2/online 1
run blockio fill /dev/$D 32
run taskset 4 blockio check /dev/$D 32
run blockio random /dev/$D 32 4 300
write_to /sys/devices/system/cpu/cpu3/online 0
reset_device
write_to /sys/devices/system/cpu/cpu3/online 1
done_clean
