# Cold pages are recompressed by themselves, while others are written, and come back as they were.
# smp: 2
# memory: 512
# timeout: 600
. /lib.sh

run load ramzswap
grep -q zstd=1 $S/features || skip "this kernel has no zstd for modules"
set_to comp_algorithm lz4
set_to recompress_algorithm off
set_to disksize 96M
run blockio fill /dev/$D 24
before=$(mm 2)

# Out of range: refused, nothing changed.
for bad in 0 86401 -1 x ""; do
	write_refused EINVAL recompress_after "$bad"
done
for bad in 0 101 -1 x; do
	write_refused EINVAL recompress_cpu "$bad"
done
for bad in zstd:-8 zstd:99 none; do
	write_refused EINVAL recompress_algorithm $bad
done

# now_ms: since the machine was started.
now_ms() {
	awk '{ printf "%d", $1 * 1000 }' /proc/uptime
}

recompressed_since() {
	[ "$(stat_of recompressed)" -gt "$1" ]
}

# worked_since NS: has the thread used 200 ms of a CPU since it had used so much?
worked_since() {
	[ "$(stat_of recompress_cpu_ns)" -gt $(($1 + 200000000)) ]
}

# A tenth of one CPU: the thread sleeps for the rest of the time.
set_to recompress_after 1
set_to recompress_cpu 10
set_to recompress_algorithm zstd:1
until_true 60 recompressed_since 0
began=$(now_ms) used=$(stat_of recompress_cpu_ns)
until_true 60 worked_since "$used"
used=$((($(stat_of recompress_cpu_ns) - used) / 1000000)) took=$(($(now_ms) - began))
echo "recompress_cpu 10: $used ms of CPU in $took ms"
[ $((used * 100)) -le $((took * 30)) ] || fail "$used ms of CPU in $took ms are more than 30 %"

set_to recompress_cpu 100
smaller() {
	[ "$(mm 2)" -lt $((before * 95 / 100)) ]
}
until_true 120 smaller
echo "compressed bytes: $before before, $(mm 2) after, $(stat_of recompressed) pages"
run blockio check /dev/$D 24

# Written and freed beside it.
run blockio random /dev/$D 24 4 $(rounds 200)
run blockio fill /dev/$D 24
run blockio half /dev/$D 24
set_to recompress_algorithm off
# What is on it before is thrown away: all that is stored from here on is the hog's.
swap_on -d
set_to recompress_algorithm zstd:1
in_cgroup 16 hog -o -h -f -r $(rounds 1) -u /tmp/enough 24 &
hog=$!
until_true 60 stored_at_least 8388608
# The hog pauses, so that its pages become cold, and then checks all of them.
recompressed=$(stat_of recompressed)
run kill -STOP $(cat $CG/limited/cgroup.procs)
until_true 60 recompressed_since "$recompressed"
run kill -CONT $(cat $CG/limited/cgroup.procs)
touch /tmp/enough
wait $hog || fail "the hog whose pages were recompressed"
run swapoff /dev/$D
equal "$(cat $S/checksum_failures)" 0 checksum_failures
done_clean
