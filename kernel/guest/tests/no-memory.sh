# Memory is out at set-up: an error, nothing held back, and the next one works.
# memory: 320
# timeout: 300
. /lib.sh

run load ramzswap
# The table of slots alone is larger than memory, or as large.
for size in 16T 1T 256G 64G 32G 24G 20G 16G; do
	if write_to $S/disksize $size 2>/tmp/why; then
		echo "$size fits"
		reset_device
		continue
	fi
	grep -q -i -E 'memory|allocate' /tmp/why || fail "$size: $(cat /tmp/why)"
	equal "$(cat $S/initstate)" 0 "initstate after $size"
	logged "$D: .*memory"
done

set_to disksize 32M
run blockio fill /dev/$D 8
run blockio check /dev/$D 8
reset_device

# If the kernel can be told to fail: each allocation of a set-up in turn (debug-kernel.sh).
if [ -e /proc/self/fail-nth ]; then
	for kind in failslab fail_page_alloc; do
		echo N >/sys/kernel/debug/$kind/ignore-gfp-wait
		echo 0 >/sys/kernel/debug/$kind/verbose
	done
	echo 0 >/sys/kernel/debug/fail_page_alloc/min-order
	echo N >/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem
	n=0 failures=0
	while [ $n -lt 120 ]; do
		n=$((n + 1))
		sh -c "echo $n >/proc/self/fail-nth; echo 16M >$S/disksize" 2>/dev/null
		if [ "$(cat $S/initstate)" = 1 ]; then
			reset_device
		else
			failures=$((failures + 1))
		fi
	done
	echo "$n set-ups with a failure, $failures refused"
	[ $failures -gt 5 ] || fail "no failure came through"
	set_to disksize 16M
	run blockio fill /dev/$D 16
	run blockio check /dev/$D 16
	reset_device
fi

# Writes without memory fail, and are counted; what was there stays.
set_to mem_limit 2M
set_to disksize 64M
refused blockio fill /dev/$D 32
[ "$(io 2)" -gt 0 ] || fail "no failed write was counted"
[ "$(stat_of pool_bytes)" -le 2097152 ] || fail "$(stat_of pool_bytes) bytes are used, of 2 MiB"
done_clean
