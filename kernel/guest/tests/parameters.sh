# The module's parameters: what they do, and what is refused, with a reason in the log.
. /lib.sh

# bad PARAMETER=VALUE: the module does not load, says why, and leaves nothing.
bad() {
	dmesg -c >/dev/null
	refused insmod /mod/ramzswap.ko "$@"
	[ -e /dev/ramzswap0 ] && fail "a device in spite of $*"
	grep -q '^ramzswap ' /proc/modules && fail "the module in spite of $*"
	dmesg | grep 'ramzswap' >/tmp/reason || fail "no reason in the log for $*"
	cat /tmp/reason
	grep -q 'Unknown symbol' /tmp/reason && fail "not the reason that was looked for: $*"
	log_is_clean
}

# What it needs of other modules is there from here on.
run load ramzswap
run rmmod ramzswap
bad num_devices=0
bad num_devices=33
bad num_devices=4294967296
bad num_devices=-1
bad num_devices=x
bad disksize_kb=0
bad memlimit_kb=0
bad disksize_kb=20480 memlimit_kb=0
bad disksize_kb=1
bad disksize_kb=39
bad disksize_kb=17179869188
bad disksize_kb=18446744073709551615
bad disksize_kb=x
bad disksize_kb=+20480
bad memlimit_kb=+8192 disksize_kb=20480
bad memlimit_kb=x
bad codec=none disksize_kb=20480
bad codec= disksize_kb=20480
bad backing_swap=/dev/none
bad backing_swap=/dev/null
bad simd=2
bad synchronous=x
bad disksize_kb=20480 backing_swap=$(printf '%0200d' 0)

# Nobody saw a device of a module that was not loaded: there were no more events than if there was
# none to be made.
events_of() {
	before=$(cat /sys/kernel/uevent_seqnum)
	refused insmod /mod/ramzswap.ko "$@"
	echo $(($(cat /sys/kernel/uevent_seqnum) - before))
}
none=$(events_of num_devices=33)
for bad in disksize_kb=39 memlimit_kb=1 backing_swap=/dev/none; do
	equal "$(events_of num_devices=4 $bad)" "$none" "events of a module with $bad"
done

for name in disksize_kb memlimit_kb; do
	grep -q "parmtype=$name:ulong" /mod/ramzswap.ko || fail "the type of $name in modinfo"
done
run load ramzswap num_devices=32
equal "$(cat /sys/module/ramzswap/parameters/disksize_kb)" 0 "disksize_kb if none was given"
equal "$(ls -d /sys/block/ramzswap* | wc -l)" 32 "how many devices there are"
# A second module of the name, and unloading what is in use.
refused insmod /mod/ramzswap.ko
echo 16M >/sys/block/ramzswap31/disksize || fail "the last device"
run mkswap /dev/ramzswap31 >/dev/null
run swapon /dev/ramzswap31
refused rmmod ramzswap
run swapoff /dev/ramzswap31
exec 3</dev/ramzswap5
refused rmmod ramzswap
exec 3<&-
run rmmod ramzswap
dmesg -c >/dev/null

# As in 2010: device 0 is initialised by any of the three.
run load brd rd_nr=1 rd_size=32768
run mkswap /dev/ram0 >/dev/null
run load ramzswap backing_swap=/dev/ram0 memlimit_kb=8192
equal "$(cat $S/initstate)" 1 "initstate of device 0"
equal "$(cat $S/backing_dev)" /dev/ram0 backing_dev
equal "$(cat $S/mem_limit)" 8388608 mem_limit
equal "$(cat $S/disksize)" 33554432 "disksize, that of the backing swap"
run blockio fill /dev/$D 24
run blockio check /dev/$D 24
# rmmod needs no reset.
run rmmod ramzswap

# A backing swap that is in use, and one that is too small.
run mkswap /dev/ram0 >/dev/null
run swapon /dev/ram0
bad backing_swap=/dev/ram0
grep -q 'in use' /tmp/reason || fail "not the reason for one in use"
run swapoff /dev/ram0
# Its header names page 8 as the last one.
printf '\010\0\0\0' | run dd of=/dev/ram0 bs=1 seek=1028 conv=notrunc 2>/dev/null
bad backing_swap=/dev/ram0
grep -q '9 pages' /tmp/reason || fail "not the reason for one of 9 pages"
run load ramzswap num_devices=2 disksize_kb=20480 memlimit_kb=8192 codec=lzo
equal "$(cat $S/initstate)" 1 "initstate of device 0"
equal "$(cat $S/disksize)" 20971520 disksize
equal "$(cat $S/mem_limit)" 8388608 mem_limit
grep -q '\[lzo\]' $S/comp_algorithm || fail "comp_algorithm is $(cat $S/comp_algorithm)"
equal "$(cat /sys/block/ramzswap1/initstate)" 0 "initstate of device 1"
grep -q '\[lzo\]' /sys/block/ramzswap1/comp_algorithm || fail "the second device's codec"
run blockio fill /dev/$D 4
reset_device
run rmmod ramzswap

# Vector code can be switched off, and the kernel's read-ahead can be chosen.
for simd in 0 1; do
	vector=none logged=none
	[ $simd = 1 ] && grep -q -w avx2 /proc/cpuinfo && vector=avx2 logged=AVX2
	for synchronous in 0 1; do
		dmesg -c >/dev/null
		run load ramzswap simd=$simd synchronous=$synchronous
		cat $S/features
		logged "ramzswap: .*vector code: $logged,"
		grep -q "synchronous=$synchronous" $S/features || fail "features: $(cat $S/features)"
		grep -q "simd=$vector " $S/features || fail "features: $(cat $S/features), not simd=$vector"
		set_to disksize 64M
		run blockio fill /dev/$D 16
		run blockio check /dev/$D 16
		swap_on
		run in_cgroup 8 hog -r 1 16
		run swapoff /dev/$D
		reset_device
		run rmmod ramzswap
	done
done

# The name alone means yes, as for any switch.
run load ramzswap synchronous
grep -q "synchronous=1" $S/features || fail "features: $(cat $S/features)"
run rmmod ramzswap

run load ramzswap
done_clean
