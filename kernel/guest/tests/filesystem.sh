# A file system on the device: made, filled, checked, unmounted, mounted again.
# smp: 2
# memory: 512
. /lib.sh

grep -q -w ext4 /proc/filesystems || load ext4 || skip "no ext4 in this kernel"
run load ramzswap
set_to disksize 128M
run mke2fs -F -b 4096 /dev/$D >/dev/null
mkdir -p /mnt/disk
run mount -t ext4 -o discard /dev/$D /mnt/disk
n=0
while [ $n -lt 40 ]; do
	n=$((n + 1))
	mkdir -p /mnt/disk/$n
	run cp /bin/busybox /mnt/disk/$n/program
	run dd if=/dev/urandom of=/mnt/disk/$n/random bs=4096 count=60 2>/dev/null
	run sh -c "seq 1 20000 >/mnt/disk/$n/text"
done
(cd /mnt/disk && find . -type f -exec sha256sum {} +) >/tmp/sums
equal "$(errno_of $S/reset 1)" EBUSY "the error of a reset while mounted"
run umount /mnt/disk
fsck() {
	[ -x /bin/e2fsck ] || return 0
	run e2fsck -f -n /dev/$D
}
fsck
run mount -t ext4 -o discard /dev/$D /mnt/disk
run sh -c "cd /mnt/disk && sha256sum -c /tmp/sums >/tmp/checked"
stored=$(mm 1)
rm -r /mnt/disk/1? /mnt/disk/2?
sync
run fstrim /mnt/disk
[ "$(mm 1)" -lt "$stored" ] || fail "nothing was freed by fstrim: $(mm 1) of $stored"
run umount /mnt/disk
fsck
run mount -t ext4 /dev/$D /mnt/disk
grep -v -E '\./(1|2)./' /tmp/sums >/tmp/left
run sh -c "cd /mnt/disk && sha256sum -c /tmp/left >/tmp/checked"
run umount /mnt/disk
done_clean
