# A thousand times initialised and reset, and fifty times loaded: no memory is lost.
# memory: 256
# timeout: 600
. /lib.sh

# KiB that are free, once what can be given back was.
free_kib() {
	sync
	echo 3 >/proc/sys/vm/drop_caches
	sed -n 's/^MemFree: *\([0-9]*\) kB/\1/p' /proc/meminfo
}

# Bytes of the module's in vmalloc space, its own code left out.
mapped() {
	grep -E '\[ramzswap\]| rzk?_' /proc/vmallocinfo | awk '{ sum += $2 } END { print sum + 0 }'
}

# objects: of each cache of kmalloc's, in use or kept by a CPU: a line `CACHE COUNT` each.
objects() {
	for cache in /sys/kernel/slab/kmalloc-*; do
		echo 1 >$cache/shrink
		echo "${cache##*/} $(cut -d' ' -f1 $cache/objects)"
	done
}

# cycle N: every tenth has a backing swap.
cycle() {
	[ $(($1 % 10)) != 0 ] || set_to backing_dev /dev/ram0
	set_to disksize 16M
	run dd if=/tmp/random of=/dev/$D bs=256k count=1 oflag=direct 2>/dev/null
	set_to reset 1
	read -r state <$S/initstate
	equal "$state" 0 initstate
}

# KiB that may be missing though nothing is lost: KASAN keeps what was freed in a quarantine of up to
# a 32nd of all memory.
quarantine=0
if grep -q ' kasan_report$' /proc/kallsyms; then
	quarantine=$(($(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo) / 32))
fi

run load ramzswap
run dd if=/dev/urandom of=/tmp/random bs=256k count=1 2>/dev/null
# All of the backing swap is written once: it takes no memory afterwards.
run load brd rd_nr=1 rd_size=16384
run dd if=/dev/zero of=/dev/ram0 bs=1M count=16 2>/dev/null
run mkswap /dev/ram0 >/dev/null
for n in 1 2 3 4 5 6 7 8 9 10; do
	cycle $n
done
free_before=$(free_kib) mapped_before=$(mapped)
objects >/tmp/objects
n=0
while [ $n -lt 1000 ]; do
	cycle $n
	n=$((n + 1))
done
free_after=$(free_kib)
echo "free: $free_before KiB before, $free_after KiB after; mapped: $mapped_before, $(mapped)"
equal "$(mapped)" "$mapped_before" "what is mapped after 1000 cycles"
# What is lost in every cycle, or in every other one, however small it is, fills a cache of kmalloc's.
# (Not with KASAN: what is in its quarantine counts as in use.)
if [ $quarantine = 0 ] && [ -e /sys/kernel/slab/kmalloc-64/objects ]; then
	objects >/tmp/objects_after
	awk 'FNR == NR { before[$1] = $2; next } $2 - before[$1] >= 400 { print $1, before[$1], $2 }' \
		/tmp/objects /tmp/objects_after >/tmp/grown
	[ ! -s /tmp/grown ] || fail "objects are lost: $(cat /tmp/grown)"
fi
# 2 KiB a cycle would be 2 MiB; what is less the kernel's own caches do.
[ $((free_before - free_after)) -lt $((2048 + quarantine)) ] || fail "$((free_before - free_after)) KiB are lost"

run rmmod ramzswap
free_before=$(free_kib)
n=0
while [ $n -lt 50 ]; do
	run load ramzswap num_devices=4 disksize_kb=16384
	run rmmod ramzswap
	n=$((n + 1))
done
free_after=$(free_kib)
echo "free: $free_before KiB before, $free_after KiB after 50 loads"
[ $((free_before - free_after)) -lt $((4096 + quarantine)) ] || fail "$((free_before - free_after)) KiB are lost by loading"
[ "$(mapped)" = 0 ] || fail "mapped without the module: $(mapped)"
done_clean
