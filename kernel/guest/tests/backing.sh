# A backing swap on a partition and in a file: incompressible pages and those over the limit go
# there and come back; what cannot serve as one is refused.
# smp: 4
# memory: 512
# timeout: 1200
. /lib.sh

run load brd rd_nr=2 rd_size=65536 max_part=4
run load ramzswap num_devices=2

# A partition of 36 MiB.
printf 'n\np\n1\n2048\n+36M\nw\n' | fdisk /dev/ram0 >/tmp/fdisk 2>&1
partition=/dev/ram0p1
if [ ! -b $partition ]; then
	cat /tmp/fdisk
	fail "no partition was made"
fi

use() {
	echo "backing swap $1"
	run mkswap "$1" >/dev/null
	set_to backing_dev "$1"
	equal "$(cat $S/backing_dev)" "$1" backing_dev
	set_to comp_algorithm lz4
	# The disk is as large as the backing swap.
	set_to disksize 40K
	[ "$(blockdev --getsize64 /dev/$D)" -ge 33554432 ] || fail "the disk is too small"
	run blockio fill /dev/$D 24
	[ "$(cut -d' ' -f1 $S/bd_stat)" -gt 300 ] || fail "few pages went to the backing swap: $(cat $S/bd_stat)"
	run blockio check /dev/$D 24
	set -- $(cat $S/bd_stat)
	[ "$2" -gt 300 ] || fail "only $2 pages were read from the backing swap"
	# Page 0 stays here, where the backing swap has its header.
	between "$(mm 8)" 0 1 "huge_pages, that ought to be in the backing swap"
	run blockio random /dev/$D 24 4 $(rounds 200)
	run blockio fill /dev/$D 24
	run blockio half /dev/$D 24

	# Over the limit: what does not fit goes there, too.
	set_to mem_limit 4M
	run blockio fill /dev/$D 24
	run blockio check /dev/$D 24
	[ "$(stat_of pool_bytes)" -le 4194304 ] || fail "$(stat_of pool_bytes) bytes are used, of 4 MiB"
	set_to mem_limit 0
	run blkdiscard /dev/$D
	equal "$(cut -d' ' -f1 $S/bd_stat)" 0 "pages in the backing swap when all is discarded"

	swap_on
	run in_cgroup 12 hog -i 60 -p 2 -r $(rounds 1) -f -h 10
	run in_cgroup 12 hog -i 100 -r $(rounds 1) -o -m 12
	run in_cgroup 12 hog -i 60 -r $(rounds 1) -x 20
	run swapoff /dev/$D
	reset_device
	equal "$(cat $S/backing_dev)" none "backing_dev after a reset"
}

use $partition

# A file, in extents: others lie between them.
run mke2fs -F -b 4096 /dev/ram1 >/dev/null
mkdir -p /mnt/files
grep -q -w ext4 /proc/filesystems || run load ext4
run mount -t ext4 /dev/ram1 /mnt/files
n=0
while [ $n -lt 36 ]; do
	n=$((n + 1))
	run dd if=/dev/zero of=/mnt/files/swap bs=1M seek=$n count=1 conv=notrunc 2>/dev/null
	run dd if=/dev/zero of=/mnt/files/between$n bs=64k count=1 2>/dev/null
	sync
done
run dd if=/dev/zero of=/mnt/files/swap bs=1M count=36 conv=notrunc 2>/dev/null
use /mnt/files/swap
cp /mnt/files/swap /mnt/files/hole
run truncate -s 16M /mnt/files/hole
run truncate -s 48M /mnt/files/hole

# What must be refused: the names are in the log, and nothing is held on to.
for bad in /dev/none /dev/null /mnt/files /mnt/files/hole /dev/$D ""; do
	lines=$(dmesg | grep -c "$D: ")
	refused write_to $S/backing_dev "$bad"
	[ "$(dmesg | grep -c "$D: ")" -gt "$lines" ] || fail "no line in the log about '$bad'"
	equal "$(cat $S/backing_dev)" none "backing_dev after '$bad'"
done
run dd if=/dev/zero of=/mnt/files/small bs=4096 count=4 2>/dev/null
refused write_to $S/backing_dev /mnt/files/small
run mkswap /mnt/files/swap >/dev/null
run swapon /mnt/files/swap
refused write_to $S/backing_dev /mnt/files/swap
run swapoff /mnt/files/swap
run mkswap $partition >/dev/null
run swapon $partition
refused write_to $S/backing_dev $partition
run swapoff $partition
equal "$(cat $S/backing_dev)" none "backing_dev after all that"

# Another device of ours, or a file on one, would have its requests wait for each other.
O=/sys/block/ramzswap1
run write_to $O/disksize 64M
ours="a ramzswap device: give a partition of a disk"
dmesg -c >/dev/null
refused write_to $S/backing_dev /dev/ramzswap1
logged "$D: .*/dev/ramzswap1: .*$ours"
equal "$(cat $S/backing_dev)" none "backing_dev after another device"
run mke2fs -F -b 4096 /dev/ramzswap1 >/dev/null
mkdir -p /mnt/ours
run mount -t ext4 /dev/ramzswap1 /mnt/ours
run dd if=/dev/zero of=/mnt/ours/swap bs=1M count=16 2>/dev/null
run mkswap /mnt/ours/swap >/dev/null
sync
refused write_to $S/backing_dev /mnt/ours/swap
logged "$D: .*/mnt/ours/swap: .*$ours"
equal "$(cat $S/backing_dev)" none "backing_dev after a file on another device"
run umount /mnt/ours
run write_to $O/reset 1

# Held while it serves.
run mkswap $partition >/dev/null
set_to backing_dev $partition
set_to disksize 16M
refused swapon $partition
write_refused EBUSY backing_dev none
reset_device
run swapon $partition
run swapoff $partition
run umount /mnt/files
done_clean
