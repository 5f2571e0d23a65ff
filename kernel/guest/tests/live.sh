# What is changed while pages come and go: codec, memory limit, recompression; half is freed,
# and swap is switched off and on.
# smp: 4
# memory: 512
# timeout: 600
. /lib.sh

# written_since COUNT: have pages been written since there were so many?
written_since() {
	[ "$(stat_of writes)" -gt $(($1 + 500)) ]
}

# recompressed_since COUNT: have pages been recompressed since there were so many?
recompressed_since() {
	[ "$(stat_of recompressed)" -gt "$1" ]
}

# signal_hogs SIGNAL: to all of them. Recompression waits for a device that is not busy, so they pause.
signal_hogs() {
	run kill "-$1" $first $(cat $CG/limited/cgroup.procs)
}

run load ramzswap
grep -q zstd=1 $S/features || skip "this kernel has no zstd for modules"
set_to recompress_after 1
set_to recompress_cpu 100
set_to recompress_algorithm off
set_to disksize 256M
swap_on
# One that swaps as fast as it can, and two that do so in their cgroup, until they are told.
hog -o -h -r 1 -u /tmp/enough 32 &
first=$!
in_cgroup 24 hog -p 2 -f -r 1 -u /tmp/enough 20 &
second=$!

turn=0 policy=off
while [ $turn -lt $(rounds 2) ]; do
	turn=$((turn + 1))
	for codec in $(codecs); do
		[ $policy = off ] && policy=zstd:1 || policy=off
		set_to recompress_algorithm $policy
		equal "$(cat $S/recompress_algorithm)" $policy recompress_algorithm
		set_to comp_algorithm "$codec"
		chosen "$codec" || fail "comp_algorithm after '$codec': $(cat $S/comp_algorithm)"
		written=$(stat_of writes)
		until_true 60 written_since "$written"
	done
	# With too little for them, writes fail, and the kernel keeps its pages.
	set_to mem_limit 8M
	between "$(mm 4)" 8388608 8388608 "mem_limit"
	written=$(stat_of writes)
	until_true 60 written_since "$written"
	set_to mem_limit 0
	# What lies there is recompressed while they pause, and comes back when they go on.
	set_to comp_algorithm lz4
	written=$(stat_of writes)
	until_true 60 written_since "$written"
	policy=zstd:1
	set_to recompress_algorithm $policy
	recompressed=$(stat_of recompressed)
	signal_hogs STOP
	until_true 60 recompressed_since "$recompressed"
	signal_hogs CONT
done
echo "recompressed: $(stat_of recompressed) pages"

for again in 1 2 3; do
	# What comes back must have room in its cgroup, or the kernel kills for it.
	unlimit_cgroup
	run swapoff /dev/$D
	run swap_on
	limit_cgroup 24
done
unlimit_cgroup
touch /tmp/enough
wait $first || fail "the hog alone"
wait $second || fail "the hogs of the cgroup"
run swapoff /dev/$D
holds_header_only "after swapoff"
done_clean
