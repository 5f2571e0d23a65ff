# A program that needs more than the machine has, with no cgroup around it, with each codec: the driver
# works when the kernel has no page to spare, and no 64 KiB in one piece.
# memory: 224
# smp: 2
# timeout: 1200
. /lib.sh

# free_mib: what programs can have without swap.
free_mib() {
	echo $(($(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 1024))
}

# watch_mapped: leaves the most frames that were made of single pages in /tmp/mapped, until /tmp/over
# is there.
watch_mapped() {
	most=0
	while [ ! -e /tmp/over ]; do
		now=$(stat_of mapped_frames)
		[ "${now:-0}" -gt $most ] && most=$now && echo $most >/tmp/mapped
		usleep 200000
	done
}

# A thread of the device's that reclaims to have a frame would scan all pages in vain: it may not write
# them. (Single pages it may: vmap() does, and it looks whether memory is out once a write was refused.)
T=/sys/kernel/debug/tracing
run write_to $T/events/vmscan/mm_vmscan_direct_reclaim_begin/filter 'comm ~ "ramzswap*" && order > 0'
run write_to $T/events/vmscan/mm_vmscan_direct_reclaim_begin/enable 1

run load ramzswap
echo 0 >/tmp/mapped
watch_mapped &
for codec in $(codecs); do
	echo "$codec"
	set_to comp_algorithm "$codec"
	set_to disksize 512M
	swap_on
	run hog -r $(rounds 0) -i 5 $(($(free_mib) * 4 / 3))
	[ "$codec" != lz4 ] || run hog -p 3 -r $(rounds 1) -i 5 -f $(($(free_mib) / 4))
	[ "$(stat_of writes)" -gt 10000 ] || fail "only $(stat_of writes) pages were written"
	run swapoff /dev/$D
	reset_device
	equal "$(stat_of mapped_frames)" 0 "mapped_frames after a reset"
done
touch /tmp/over
wait
echo "frames of single pages: $(cat /tmp/mapped)"
[ "$(cat /tmp/mapped)" -gt 0 ] || fail "no frame was made of single pages, though memory was short"
grep direct_reclaim $T/trace >/tmp/reclaims && fail "$(wc -l </tmp/reclaims) times: $(head -n 1 /tmp/reclaims)"
done_clean
