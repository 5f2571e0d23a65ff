# A bit of a compressed page is flipped: the read fails with EIO, is counted and logged, and never
# gives wrong bytes; a new write mends it.
# allow: Buffer I/O error
# allow: I/O error, dev
# allow: Read-error on swap-device
# memory: 512
. /lib.sh

run load ramzswap debug=1
for codec in $(codecs); do
	echo "$codec"
	set_to comp_algorithm "$codec"
	set_to disksize 16M
	run blockio fill /dev/$D 16
	failures=0 page=1
	while [ $page -lt 4000 ]; do
		if write_to $S/debug_flip $page 2>/dev/null; then
			run blockio failing /dev/$D $page >/dev/null
			failures=$((failures + 1))
			equal "$(cat $S/checksum_failures)" $failures checksum_failures
		fi
		page=$((page + 97))
	done
	[ $failures -gt 20 ] || fail "only $failures pages could be changed"
	equal "$(io 1)" $failures failed_reads
	logged "$D: .*checksum"
	run blockio fill /dev/$D 16
	run blockio check /dev/$D 16
	reset_device
done

# Under swap: whoever needs the page gets a signal, and it counts as often as it could not be had,
# even if the kernel asks twice for that.
set_to comp_algorithm lz4
set_to disksize 64M
swap_on
in_cgroup 8 hog -i 0 -o -r 1 -u /tmp/enough 16 >/tmp/hog 2>&1 &
hog=$!
until_true 60 stored_at_least 8388608
kill -STOP $(cat $CG/limited/cgroup.procs)
page=1 flipped=0
while [ $page -lt 4096 ]; do
	write_to $S/debug_flip $page 2>/dev/null && flipped=$((flipped + 1))
	page=$((page + 17))
done
[ $flipped -gt 20 ] || fail "only $flipped pages could be changed"
kill -CONT $(cat $CG/limited/cgroup.procs)
wait $hog && fail "nobody noticed that $flipped pages were changed"
grep WRONG /tmp/hog && fail "a wrong page was seen"
failures=$(dmesg | grep -c "Read-error on swap-device")
[ "$failures" -gt 0 ] || fail "no read from swap failed"
equal "$(io 1)" "$failures" "failed_reads"
equal "$(cat $S/checksum_failures)" "$failures" checksum_failures
run swapoff /dev/$D
reset_device

# Beyond the end, and not numbers.
set_to disksize 16M
for bad in 4096 -1 x 18446744073709551616; do
	refused write_to $S/debug_flip $bad
done
# Without the parameter there is no such attribute.
reset_device
run rmmod ramzswap
run load ramzswap
[ -e $S/debug_flip ] && fail "debug_flip without debug=1"
done_clean
