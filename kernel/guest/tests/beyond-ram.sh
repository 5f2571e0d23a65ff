# A program that needs more than the machine has, with no cgroup around it: the driver works when
# the kernel has no page to spare.
# memory: 224
# smp: 2
# timeout: 1200
. /lib.sh

run load ramzswap
for codec in wks:balanced lz4; do
	set_to comp_algorithm $codec
	set_to disksize 512M
	swap_on
	free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
	run hog -r $(rounds 1) -i 5 $((free / 1024 * 4 / 3))
	run hog -p 3 -r $(rounds 1) -i 5 -f $((free / 1024 / 4))
	[ "$(stat_of writes)" -gt 10000 ] || fail "only $(stat_of writes) pages were written"
	run swapoff /dev/$D
	reset_device
done
done_clean
