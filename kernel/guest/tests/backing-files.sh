# A backing swap in a file of ext4, xfs, f2fs and btrfs: one that has a place for each page serves,
# and is kept from everybody else; one with holes, never written, shared with a copy, or on a file
# system that moves blocks or copies on write is refused, with the reason.
# smp: 2
# memory: 640
# timeout: 600
. /lib.sh

F=/mnt/files/swap

# made KIND: a new file system on a new disk.
made() {
	! grep -q '^brd ' /proc/modules || run rmmod brd
	run load brd rd_nr=1 rd_size=114688
	zcat /filesystems/$1.gz >/dev/ram0 || fail "no file system of $1"
	mkdir -p /mnt/files
}

# file_of MIB: the file, written and with the header of a swap area.
file_of() {
	rm -f $F
	run dd if=/dev/zero of=$F bs=1M count=$1 2>/dev/null
	run mkswap $F >/dev/null
}

# refused_for REASON [FILE [DEVICE]]: the file is not taken, and the log says why.
refused_for() {
	_lines=$(dmesg | wc -l)
	refused write_to /sys/block/${3:-$D}/backing_dev "${2:-$F}"
	dmesg | tail -n +$((_lines + 1)) >/tmp/log
	grep -q -e "$1" /tmp/log || fail "the log does not say '$1': $(cat /tmp/log)"
	equal "$(cat /sys/block/${3:-$D}/backing_dev)" none "backing_dev after a refusal"
}

# serves: the file does, and nobody else may have it meanwhile.
serves() {
	set_to backing_dev $F
	set_to comp_algorithm lz4
	# The disk is as large as the file.
	set_to disksize 40K
	run blockio fill /dev/$D 16
	run blockio check /dev/$D 16
	[ "$(cut -d' ' -f1 $S/bd_stat)" -gt 100 ] || fail "few pages are in the file: $(cat $S/bd_stat)"
	refused swapon $F
	refused dd if=/dev/zero of=$F bs=4096 count=1 seek=9 conv=notrunc
	refused truncate -s 4M $F
	refused fallocate -l 32M $F
	refused_for "in use" $F ramzswap1
	run ln $F $F.link
	refused_for "in use" $F.link ramzswap1
	refused rm $F.link
	# All of it is where it was before.
	run blockio check /dev/$D 16
	swap_on
	run in_cgroup 8 hog -i 80 -r 1 -o 16
	run swapoff /dev/$D
	reset_device
	# It is everybody's again.
	run rm $F.link
	run mkswap $F >/dev/null
	run swapon $F
	refused_for "in use"
	run swapoff $F
}

has() {
	grep -q -w "$1" /proc/filesystems || load "$1" && return
	lacking="$lacking $1"
	return 1
}

run load ramzswap num_devices=2
lacking=
for kind in ext4 xfs; do
	has $kind || continue
	echo $kind
	made $kind
	run mount -t $kind /dev/ram0 /mnt/files
	file_of 17
	serves

	file_of 9
	run truncate -s 17M $F
	run mkswap $F >/dev/null
	refused_for "page 2304 has no place of its own"
	# A hole of one page, and room that was reserved but never written.
	file_of 1
	run dd if=/dev/zero of=$F bs=4096 seek=257 count=4095 conv=notrunc 2>/dev/null
	run mkswap $F >/dev/null
	refused_for "page 256 has no place of its own"
	rm $F
	run fallocate -l 17825792 $F
	run mkswap $F >/dev/null
	refused_for "page [0-9]* has no place of its own"
	if [ $kind = xfs ]; then
		file_of 17
		run cp --reflink=always $F $F.copy
		refused_for "has no place of its own"
		rm $F.copy
	fi
	run umount /mnt/files
done

# One that moves blocks when it wants room, whatever a file is marked as.
# Cloud kernels come without.
if grep -q -w f2fs /proc/filesystems || load f2fs; then
	echo f2fs
	made f2fs
	run mount -t f2fs /dev/ram0 /mnt/files
	file_of 17
	refused_for "its file system, f2fs, does not keep a file at one place"
	# It is everybody's still.
	run dd if=/dev/zero of=$F bs=4096 count=1 seek=9 conv=notrunc 2>/dev/null
	run umount /mnt/files
else
	echo "no f2fs in this kernel: not tried"
fi
# One that copies on write does not tell places, whatever it does for this file.
if has btrfs; then
	made btrfs
	for options in rw nodatacow; do
		echo "btrfs, $options"
		run mount -t btrfs -o $options /dev/ram0 /mnt/files
		file_of 17
		refused_for "its file system, btrfs, does not keep a file at one place"
		run umount /mnt/files
	done
fi
# Nor does one that has no disk.
dd if=/dev/zero of=/tmp/swap bs=1M count=1 2>/dev/null
run mkswap /tmp/swap >/dev/null
refused_for "its file system, [a-z]*, does not keep a file at one place" /tmp/swap
[ -z "$lacking" ] || skip "no$lacking in this kernel"
done_clean
