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

set_to recompress_after 1
set_to recompress_cpu 100
set_to recompress_algorithm zstd:1
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
swap_on
set_to recompress_algorithm zstd:1
run in_cgroup 16 hog -o -h -f -r $(rounds 1) 24
run swapoff /dev/$D
equal "$(cat $S/checksum_failures)" 0 checksum_failures
done_clean
