# compcache and rzscontrol with a backing swap: sizes, defaults and limits are those of a device in
# userspace, and the memory limit changes while it is in use.
# of-all: 6.1
# memory: 512
# timeout: 600
. /lib.sh

run load brd rd_nr=2 rd_size=65536
run load ramzswap num_devices=2
run mkswap /dev/ram0 >/dev/null
run compcache swap on --backing-swap /dev/ram0 --memlimit 16M --codec lz4 --size 8M >/tmp/out 2>/tmp/err
grep -q "disksize 8192 kB is ignored" /tmp/err || fail "$(cat /tmp/err)"
equal "$(cat $S/disksize)" 67108864 disksize
equal "$(cat $S/mem_limit)" 16777216 mem_limit
equal "$(cat $S/backing_dev)" /dev/ram0 backing_dev
run in_cgroup 16 hog -i 60 40
[ "$(cut -d' ' -f3 $S/bd_stat)" -gt 100 ] || fail "nothing went to the backing swap: $(cat $S/bd_stat)"
run compcache swap set --memlimit 8M ramzswap0
equal "$(cat $S/mem_limit)" 8388608 "mem_limit after set"
refused_with "larger than the disk" compcache swap set --memlimit 65M ramzswap0
refused_with "memlimit of 4096 bytes is too small" compcache swap set --memlimit 4K ramzswap0
equal "$(cat $S/mem_limit)" 8388608 "mem_limit after refusals"
run in_cgroup 16 hog -i 60 40
run rzscontrol /dev/ramzswap0 --stats >/tmp/stats
equal "$(head -n 3 /tmp/stats | tr '\n' '|')" \
	"BackingSwap:	/dev/ram0|DiskSize:	   65536 kB|MemLimit:	    8192 kB|" "the first lines of --stats"
grep -q '^BDevNumWrites:' /tmp/stats || fail "$(cat /tmp/stats)"
refused_with "in use" compcache swap on --backing-swap /dev/ram0
run compcache swap set --memlimit 0 ramzswap0
equal "$(cat $S/mem_limit)" 0 "mem_limit, taken away"
run compcache swap off >/dev/null
equal "$(cat $S/backing_dev)" none "backing_dev after swap off"
# No limit from the start, where the default would be one.
run compcache swap on --backing-swap /dev/ram0 --memlimit 0 >/dev/null
equal "$(cat $S/mem_limit)" 0 "mem_limit of none"
equal "$(cat $S/disksize)" 67108864 disksize
run in_cgroup 16 hog -i 60 40
run compcache swap off >/dev/null

# The same by the calls of 2009, parameter by parameter.
refused_with "no SWAPSPACE2 signature" rzscontrol /dev/ramzswap1 -b /dev/ram1 --init
run mkswap /dev/ram1 >/dev/null
refused_with "larger than the disk (65536 kB)" rzscontrol /dev/ramzswap1 -b /dev/ram1 -m 70000 --init
run rzscontrol /dev/ramzswap1 --backing_swap=/dev/ram1
run rzscontrol /dev/ramzswap1 --memlimit_kb=8192
run rzscontrol /dev/ramzswap1 --init
equal "$(cat /sys/block/ramzswap1/mem_limit)" 8388608 "mem_limit of the second"
equal "$(cat /sys/block/ramzswap1/disksize)" 67108864 "disksize of the second"
run rzscontrol /dev/ramzswap1 --reset

# A file, which no block device's claim keeps from others. What serves on one road is refused on the
# other, by whatever name.
if ! grep -q -w ext4 /proc/filesystems && ! load ext4; then
	skip "no ext4 in this kernel: files were not tried"
fi
run rmmod brd
run load brd rd_nr=1 rd_size=114688
zcat /filesystems/ext4.gz >/dev/ram0 || fail "no file system of ext4"
mkdir -p /mnt/files
run mount -t ext4 /dev/ram0 /mnt/files
F=/mnt/files/swap
# An empty one, by whichever road.
: >$F
chmod 600 $F
short="backing swap $F: it has 0 bytes, and a swap area has at least 40960"
refused_with "$short" compcache swap on --backing-swap $F
refused_with "$short" rzscontrol /dev/ramzswap1 --backing_swap=$F --init
refused write_to /sys/block/ramzswap1/backing_dev $F
logged "ramzswap1: $short"
run dd if=/dev/zero of=$F bs=1M count=17 2>/dev/null
run mkswap $F >/dev/null
run chmod 600 $F
run ln $F $F.link

daemon=
load fuse
if load loop && [ -e /dev/fuse ]; then
	# Its device is ramzswap2.
	compcached --num-devices 1 >/tmp/daemon.log 2>&1 &
	daemon=$!
	until_true 20 test -S /run/compcache/control.sock
else
	echo "no fuse or no loop here: without a daemon's device"
fi
run rzscontrol /dev/ramzswap0 --backing_swap=$F --memlimit_kb=1024 --init
for name in $F $F.link; do
	refused_with "in use by ramzswap0 of the kernel driver" \
		rzscontrol /dev/ramzswap1 --backing_swap=$name --memlimit_kb=2048 --init
	refused_with "in use by ramzswap0 of the kernel driver" compcache swap on --backing-swap $name
	equal "$(cat /sys/block/ramzswap1/backing_dev) $(cat /sys/block/ramzswap1/mem_limit)" \
		"none 0" "what is left of refused parameters"
	[ -z "$daemon" ] || refused_with "in use by ramzswap0 of the kernel driver" \
		rzscontrol /dev/ramzswap2 --backing_swap=$name --memlimit_kb=2048 --init
done
run rzscontrol /dev/ramzswap0 --reset

# Paths go byte for byte, to the driver's calls and to its attributes.
odd='/mnt/files/ odd [lz4] '
run ln $F "$odd"
run rzscontrol /dev/ramzswap1 --backing_swap="$odd" --memlimit_kb=2048 --init
equal "$(cat /sys/block/ramzswap1/backing_dev)" "$odd" "the path by rzscontrol"
run rzscontrol /dev/ramzswap1 --reset
run compcache --driver kernel swap on ramzswap1 --backing-swap "$odd" --memlimit 2M >/dev/null
equal "$(cat /sys/block/ramzswap1/backing_dev)" "$odd" "the path by compcache"
run compcache swap off ramzswap1 >/dev/null
cd /mnt/files
refused write_to /sys/block/ramzswap1/backing_dev swap
logged "ramzswap1: the path of the backing swap does not begin with '/'"
run rzscontrol /dev/ramzswap1 --backing_swap=swap --memlimit_kb=2048 --init
cd /
run rzscontrol /dev/ramzswap1 --reset

# A program that has it open for writing is seen by the driver only, which says that something is
# busy: the backing swap, and not the device.
sleep 600 3<>$F &
writer=$!
until_true 20 test -e /proc/$writer/fd/3
refused_with "backing swap $F is in use by" rzscontrol /dev/ramzswap1 --backing_swap=$F --memlimit_kb=2048 --init
refused_with "backing swap $F is in use by" compcache --driver kernel swap on ramzswap1 --backing-swap $F --memlimit 2M
equal "$(cat /sys/block/ramzswap1/backing_dev) $(cat /sys/block/ramzswap1/mem_limit)" \
	"none 0" "what is left of refused parameters"
kill $writer
wait $writer

if [ -n "$daemon" ]; then
	run rzscontrol /dev/ramzswap2 --backing_swap=$F --memlimit_kb=1024 --init
	for name in $F $F.link; do
		refused_with "in use" rzscontrol /dev/ramzswap1 --backing_swap=$name --memlimit_kb=2048 --init
		equal "$(errno_of /sys/block/ramzswap1/backing_dev $name)" EBUSY "the error of a file that a daemon has"
	done
	logged "ramzswap1: backing swap $F.link: it is in use"
	equal "$(cat /sys/block/ramzswap1/backing_dev) $(cat /sys/block/ramzswap1/mem_limit)" \
		"none 0" "what is left of refused parameters"
	run rzscontrol /dev/ramzswap2 --reset
	run rzscontrol /dev/ramzswap1 --backing_swap=$F --memlimit_kb=2048 --init
	run rzscontrol /dev/ramzswap1 --reset
	kill $daemon
	wait $daemon || fail "the daemon: $(cat /tmp/daemon.log)"
fi
run umount /mnt/files
done_clean
