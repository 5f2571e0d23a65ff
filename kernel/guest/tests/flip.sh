# A bit of a compressed page is flipped: the read fails with EIO, is counted and logged, and never
# gives wrong bytes; a new write mends it.
# allow: Buffer I/O error
# allow: I/O error, dev
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
	said "$D: .*checksum"
	run blockio fill /dev/$D 16
	run blockio check /dev/$D 16
	reset_device
done

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
