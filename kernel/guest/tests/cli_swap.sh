# compcache swap on, set, off and status on devices of the kernel driver, without a daemon: loaded
# on demand, all or nothing, and every bad value refused with a reason.
# of-all: 6.1
# memory: 512
# timeout: 600
. /lib.sh

no_daemon() {
	pidof compcached compcache >/dev/null && fail "a daemon runs"
	[ -e /run/compcache/control.sock ] && fail "a daemon's socket is there"
	return 0
}

# Neither loaded nor installed: the error names the kernel.
release=$(uname -r)
missing="kernel driver: not loaded: module ramzswap not found for $release"
refused_with "driver: user (auto); $missing" compcache status
refused_with "$missing" compcache --driver kernel swap on
refused_with "$missing" compcache --driver kernel swap off

# Installed, it is loaded by whoever wants a device, and not by who looks.
mkdir -p /lib/modules/$release/extra
cp /mod/*.ko /lib/modules/$release/extra/
run depmod
refused_with "not loaded, but installed" compcache status
[ -e /sys/module/ramzswap ] && fail "loaded by a look"
run compcache swap on --size 96M --codec lz4 >/tmp/out
equal "$(cat /tmp/out)" "/dev/ramzswap0: swapped on with priority 1" "what swap on says"
equal "$(ls -d /sys/block/ramzswap* | wc -l)" 16 "how many devices there are"
no_daemon
equal "$(cat $S/disksize)" 100663296 disksize
grep -q '\[lz4\]' $S/comp_algorithm || fail "codec: $(cat $S/comp_algorithm)"
grep -q '^/dev/ramzswap0 .*	1$' /proc/swaps || fail "$(cat /proc/swaps)"

# A second one goes above it.
run compcache swap on ramzswap5 --size 64M --recompress off --recompress-cpu 7 --priority 40 >/dev/null
equal "$(cat /sys/block/ramzswap5/recompress_algorithm)" off recompress_algorithm
equal "$(cat /sys/block/ramzswap5/recompress_cpu)" 7 recompress_cpu
run compcache swap on --size 64M >/tmp/out
equal "$(cat /tmp/out)" "/dev/ramzswap1: swapped on with priority 41" "what the third says"

# Its pages, and what status says of them.
run in_cgroup 24 hog -o -u /tmp/enough 48 &
until_true 60 eval '[ "$(sed -n "s/^pages_stored //p" /sys/block/ramzswap1/stats)" -gt 1000 ]'
run compcache status >/tmp/status
grep -q '^driver: kernel (auto); kernel driver: loaded, 16 device(s), simd=' /tmp/status ||
	fail "$(cat /tmp/status)"
grep -q '^/dev/ramzswap1  */dev/ramzswap1 ' /tmp/status || fail "$(cat /tmp/status)"
grep -q '^/dev/ramzswap2 ' /tmp/status && fail "a device that is not initialised is shown"
run compcache status --json >/tmp/json
for word in '"used": "kernel"' '"daemon": null' '"driver": "kernel"' '"dead_slots": "at once"' \
	'"transport": "kernel"' '"priority": 41'; do
	grep -q "$word" /tmp/json || fail "no $word in $(cat /tmp/json)"
done
run compcache status --verbose ramzswap1 >/tmp/status
grep -q '^DiskSize:	   65536 kB' /tmp/status || fail "$(cat /tmp/status)"
grep -q '^StoreP50:' /tmp/status || fail "$(cat /tmp/status)"

# Changed under load.
run compcache swap set --codec zstd:3 --recompress lz4 --recompress-after 5 ramzswap1
grep -q '\[zstd:3\]' /sys/block/ramzswap1/comp_algorithm || fail "codec after set"
equal "$(cat /sys/block/ramzswap1/recompress_after)" 5 recompress_after
run compcache swap set --recompress off /dev/ramzswap1
run compcache swap set --memlimit 1G ramzswap1
equal "$(cat /sys/block/ramzswap1/mem_limit)" 1073741824 mem_limit
run compcache swap set --memlimit 0 ramzswap1
equal "$(cat /sys/block/ramzswap1/mem_limit)" 0 "mem_limit, taken away"
touch /tmp/enough
wait $! || fail "the hog under status and set"
rm /tmp/enough

# Refused, and nothing is changed by it.
settings() {
	grep . /sys/block/ramzswap[1-3]/comp_algorithm /sys/block/ramzswap[1-3]/disksize \
		/sys/block/ramzswap[1-3]/mem_limit /sys/block/ramzswap[1-3]/recompress_*
	cat /proc/swaps
}
settings >/tmp/before
refused_with "already swapped on" compcache swap on ramzswap1
refused_with "memlimit of 61440 bytes is too small" compcache swap set --memlimit 60K ramzswap1
refused_with "zero" compcache swap on --size 0
refused_with "not a size" compcache swap on --size +64M
refused_with "1 bytes is too small\|4096" compcache swap on --size 1
refused_with "too large" compcache swap on --size 16385G
refused_with "unknown codec 'gzip': choose one of lzo, lz4, " compcache swap on --codec gzip
grep wkdm /tmp/refused && fail "a codec is offered that the driver has not"
refused_with "zstd:-7 to zstd:9" compcache swap on --codec zstd:99
refused_with "not in the kernel driver, which has .*lz4" compcache swap on --codec wkdm
refused_with "not in the kernel driver" compcache swap set --codec wkdm ramzswap1
refused_with "not in the kernel driver" compcache swap set --recompress wkdm ramzswap1
refused_with "1 to 86400" compcache swap on --recompress-after 0
refused_with "1 to 86400" compcache swap set --recompress-after 86401 ramzswap1
refused_with "1 to 100" compcache swap set --recompress-cpu 101 ramzswap1
refused_with "32767" compcache swap on --priority 32768
refused_with "memlimit of 61440 bytes is too small" compcache swap on --memlimit 60K
refused_with "backing swap /dev/none" compcache swap on --backing-swap /dev/none
refused_with "neither a file nor a block device" compcache swap on --backing-swap /dev/null
refused_with "does not encrypt its backing swap" compcache swap on --backing-encryption on
refused_with "at most 127" compcache --driver kernel swap on --backing-swap "/$(printf '%0200d' 0)"
refused_with "no such device: ramzswap40" compcache --driver kernel swap on ramzswap40
refused_with "no such device: ramzswap17" compcache --driver kernel swap off ramzswap17
refused_with "is not swapped on" compcache swap off ramzswap2
refused_with "no such device or mount" compcache status sda
settings >/tmp/after
cmp /tmp/before /tmp/after || fail "something was changed: $(diff /tmp/before /tmp/after)"

# On a device that is not in use it is said when a change applies.
run compcache swap set --codec lzo --memlimit 1M ramzswap3 2>/tmp/err
grep -q "ramzswap3 is not initialised: what was set applies when it is" /tmp/err || fail "$(cat /tmp/err)"
run compcache swap set --memlimit 0 ramzswap3 2>/dev/null
run compcache swap on --size 16M ramzswap3 >/dev/null
grep -q '\[lzo\]' /sys/block/ramzswap3/comp_algorithm || fail "the codec that was set before"
equal "$(cat /sys/block/ramzswap3/mem_limit)" 0 "the limit that was taken away before"
run compcache swap off ramzswap3 >/dev/null

# Not by whom the kernel does not allow it, though the files are open to them.
refused_with "set .* of ramzswap2.*only root" unprivileged compcache swap on --size 64M
equal "$(cat /sys/block/ramzswap2/initstate)" 0 "initstate after a refusal"
printf 'root:x:0:0::/root:/bin/sh\nuser:x:1234:1234::/:/bin/sh\n' >/etc/passwd
refused_with "needs root" su user -c '/bin/compcache --driver kernel swap on --size 64M'
run su user -c '/bin/compcache status' >/tmp/status
grep -q '^/dev/ramzswap1 ' /tmp/status || fail "status for others: $(cat /tmp/status)"

# One that was set up by hand is used as it is, unless it holds something else.
echo 32M >/sys/block/ramzswap6/disksize || fail "by hand"
run blockio fill /dev/ramzswap6 8
refused_with "it holds something else than swap" compcache swap on ramzswap6
run blockio check /dev/ramzswap6 8
echo 32M >/sys/block/ramzswap7/disksize || fail "by hand"
run compcache swap on ramzswap7 >/dev/null
run compcache swap off ramzswap7 >/tmp/out
equal "$(cat /tmp/out)" "/dev/ramzswap7: swapped off" "what swap off says"
equal "$(cat /sys/block/ramzswap7/initstate)" 0 "initstate after swap off"
# Open elsewhere it stays, with a reason.
run compcache swap on ramzswap7 --size 32M >/dev/null
exec 3</dev/ramzswap7
refused_with "ramzswap7 is busy" compcache swap off ramzswap7
exec 3<&-
run compcache swap on ramzswap7 >/dev/null

run compcache swap off >/tmp/out
for n in 0 1 5 7; do
	grep -q "^/dev/ramzswap$n: swapped off" /tmp/out || fail "$(cat /tmp/out)"
	equal "$(cat /sys/block/ramzswap$n/initstate)" 0 "initstate of $n after swap off"
done
run compcache swap off >/tmp/out
equal "$(cat /tmp/out)" "no ramzswap device was swapped on" "a second swap off"
no_daemon

# With all of them in use there is none for another.
run rmmod ramzswap
echo 'options ramzswap num_devices=2' >/etc/modprobe.d/ramzswap.conf 2>/dev/null || {
	mkdir -p /etc/modprobe.d
	echo 'options ramzswap num_devices=2' >/etc/modprobe.d/ramzswap.conf
}
run compcache swap on --size 32M >/dev/null
run compcache swap on --size 32M >/dev/null
equal "$(ls -d /sys/block/ramzswap* | wc -l)" 2 "the administrator's number of devices"
refused_with "all devices of the kernel driver are in use (2)" compcache --driver kernel swap on --size 32M
run compcache swap off >/dev/null
done_clean
