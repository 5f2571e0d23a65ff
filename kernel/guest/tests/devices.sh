# Several devices at once, each with a codec, a size and a limit of its own: file systems on them,
# then swap on all of them by turns. (What zram's own tests zram01 and zram02 go by.)
# smp: 4
# memory: 768
# timeout: 600
. /lib.sh

grep -q -w ext4 /proc/filesystems || load ext4 || skip "no ext4 in this kernel"
run load ramzswap num_devices=4
names=$(codecs)
n=0
for codec in $names; do
	[ $n -lt 4 ] || break
	s=/sys/block/ramzswap$n
	run write_to $s/comp_algorithm "$codec"
	run write_to $s/disksize $((32 + n * 32))M
	run write_to $s/mem_limit $((24 + n * 8))M
	equal "$(cat $s/disksize)" $(((32 + n * 32) << 20)) "the size of $n"
	grep -q "\[$codec\]" $s/comp_algorithm || fail "codec of $n: $(cat $s/comp_algorithm)"
	n=$((n + 1))
done
equal $n 4 "how many codecs there are, at least"

# Text until it is full. It takes less memory than it has bytes.
for n in 0 1 2 3; do
	run mke2fs -F -b 4096 -m 0 /dev/ramzswap$n >/dev/null
	mkdir -p /mnt/$n
	run mount -t ext4 /dev/ramzswap$n /mnt/$n
done
for n in 0 1 2 3; do
	sh -c "yes 'all work and no play' | dd of=/mnt/$n/text bs=64k count=$((256 + n * 256)) iflag=fullblock" 2>/dev/null &
done
wait
sync
for n in 0 1 2 3; do
	set -- $(cat /sys/block/ramzswap$n/mm_stat)
	echo "device $n: $1 bytes take $3"
	[ "$1" -gt 8388608 ] || fail "only $1 bytes are on device $n"
	[ "$3" -lt "$1" ] || fail "device $n takes $3 bytes for $1"
	pool=$(sed -n "s/^pool_bytes //p" /sys/block/ramzswap$n/stats)
	[ "$pool" -le "$4" ] || fail "device $n has a pool of $pool bytes, of $4"
	run umount /mnt/$n
	[ ! -x /bin/e2fsck ] || run e2fsck -f -n /dev/ramzswap$n
	run write_to /sys/block/ramzswap$n/reset 1
	run write_to /sys/block/ramzswap$n/mem_limit 0
	run write_to /sys/block/ramzswap$n/disksize 48M
	run mkswap /dev/ramzswap$n >/dev/null
	run swapat 7 /dev/ramzswap$n
done

# Pages go to each in turn.
run in_cgroup 16 hog -p 2 -f -r $(rounds 1) 20
for n in 0 1 2 3; do
	writes=$(sed -n 's/^writes //p' /sys/block/ramzswap$n/stats)
	[ "$writes" -gt 500 ] || fail "device $n got $writes pages"
	# One goes while the others serve.
	run swapoff /dev/ramzswap$n
	run write_to /sys/block/ramzswap$n/reset 1
	[ $n = 3 ] || run in_cgroup 8 hog -o -r 1 10
done
done_clean
