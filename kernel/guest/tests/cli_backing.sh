# compcache and rzscontrol with a backing swap: sizes, defaults and limits are those of a device in
# userspace, and the memory limit changes while it is in use.
# memory: 512
# timeout: 600
. /lib.sh

says() {
	words=$1
	shift
	refused "$@"
	grep -q -e "$words" /tmp/refused || fail "'$words' is not in: $(cat /tmp/refused)"
}

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
says "larger than the disk" compcache swap set --memlimit 65M ramzswap0
says "memlimit of 4096 bytes is too small" compcache swap set --memlimit 4K ramzswap0
equal "$(cat $S/mem_limit)" 8388608 "mem_limit after refusals"
run in_cgroup 16 hog -i 60 40
run rzscontrol /dev/ramzswap0 --stats >/tmp/stats
equal "$(head -n 3 /tmp/stats | tr '\n' '|')" \
	"BackingSwap:	/dev/ram0|DiskSize:	   65536 kB|MemLimit:	    8192 kB|" "the first lines of --stats"
grep -q '^BDevNumWrites:' /tmp/stats || fail "$(cat /tmp/stats)"
says "in use" compcache swap on --backing-swap /dev/ram0
says "larger than the disk (65536 kB)" rzscontrol /dev/ramzswap1 -b /dev/ram1 -m 70000 --init
run compcache swap off >/dev/null
equal "$(cat $S/backing_dev)" none "backing_dev after swap off"

# The same by the calls of 2009, parameter by parameter.
says "no SWAPSPACE2 signature" rzscontrol /dev/ramzswap1 -b /dev/ram1 --init
run mkswap /dev/ram1 >/dev/null
run rzscontrol /dev/ramzswap1 --backing_swap=/dev/ram1
run rzscontrol /dev/ramzswap1 --memlimit_kb=8192
run rzscontrol /dev/ramzswap1 --init
equal "$(cat /sys/block/ramzswap1/mem_limit)" 8388608 "mem_limit of the second"
equal "$(cat /sys/block/ramzswap1/disksize)" 67108864 "disksize of the second"
run rzscontrol /dev/ramzswap1 --reset
done_clean
