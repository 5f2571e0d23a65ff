# The sequence of 2009: four devices, rzscontrol --init, swap, --stats, swapoff, --reset, rmmod.
# memory: 512
. /lib.sh

run load ramzswap num_devices=4
for n in 0 1 2 3; do
	[ -b /dev/ramzswap$n ] || fail "no /dev/ramzswap$n"
	equal "$(cat /sys/block/ramzswap$n/initstate)" 0 "initstate of $n"
done
[ -e /dev/ramzswap4 ] && fail "a fifth device"

# No size was set: a quarter of RAM.
refused rzscontrol /dev/$D --stats
run rzscontrol /dev/$D --init
total=$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)
between $(($(cat $S/disksize) / 1024)) $((total / 4 - 64)) $((total / 4 + 64)) "the size in KiB"
refused rzscontrol /dev/$D --init
refused rzscontrol /dev/$D --disksize_kb=65536 --init

run swapat 100 /dev/$D
run in_cgroup 16 hog -p 2 -r $(rounds 1) 12
refused rzscontrol /dev/$D --reset
run in_cgroup 16 hog -o -r 1 -u /tmp/enough 24 &
until_true 60 stored_at_least 8388608
run rzscontrol /dev/$D --stats >/tmp/stats
for name in DiskSize NumReads NumWrites PagesStored OrigDataSize ComprDataSize MemUsedTotal; do
	grep -q "^$name:" /tmp/stats || fail "no $name in the statistics"
done
touch /tmp/enough
wait $! || fail "the hog under --stats"
run swapoff /dev/$D
run rzscontrol /dev/$D --reset
run rzscontrol /dev/$D --reset
equal "$(cat $S/initstate)" 0 initstate
refused rzscontrol /dev/$D --stats

# The others work beside it, each by itself, and one after the other is taken away.
for n in 1 2 3; do
	run rzscontrol /dev/ramzswap$n --disksize_kb=$((n * 8192)) --init
	equal "$(blockdev --getsize64 /dev/ramzswap$n)" $((n * 8388608)) "the size of $n"
	run blockio fill /dev/ramzswap$n 8
done
run rzscontrol /dev/ramzswap2 --reset
run blockio check /dev/ramzswap1 8
run blockio check /dev/ramzswap3 8
done_clean
