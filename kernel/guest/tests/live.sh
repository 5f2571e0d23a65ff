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

run load ramzswap
set_to disksize 256M
swap_on
# One that swaps as fast as it can, and two that do so in their cgroup, until they are told.
hog -o -h -r 1 -u /tmp/enough 32 &
first=$!
in_cgroup 24 hog -p 2 -f -r 1 -u /tmp/enough 20 &
second=$!

turn=0
while [ $turn -lt $(rounds 2) ]; do
	turn=$((turn + 1))
	for codec in $(codecs); do
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
done

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
