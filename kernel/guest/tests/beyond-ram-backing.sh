# A program that needs more than the machine has, and whose pages do not compress: the backing swap
# takes them when the kernel has no page to spare.
# memory: 384
# smp: 2
# timeout: 600
. /lib.sh

run load ramzswap
# All of it is written once: it takes no memory afterwards. There is room for twice of what does not fit:
# the kernel may kill while swap is full of pages that it has in memory as well.
run load brd rd_nr=1 rd_size=163840
run dd if=/dev/zero of=/dev/ram0 bs=1M count=160 2>/dev/null
backed_by /dev/ram0 160M
swap_on
# The kernel may first swap out the files of this root file system, which nobody reads again.
free=$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)
files=$(sed -n 's/^Shmem: *\([0-9]*\) kB/\1/p' /proc/meminfo)
run hog -r $(rounds 1) -i 100 $(((free + files) / 1024 + 8))
set -- $(cat $S/bd_stat)
echo "backing swap: $2 pages read, $3 written"
[ "$2" -gt 500 ] || fail "only $2 pages were read from the backing swap"
[ "$3" -gt 1000 ] || fail "only $3 pages were written to the backing swap"
equal "$(io 1) $(io 2) $(io 3)" "0 0 0" "failed reads, failed writes, invalid requests"
run swapoff /dev/$D
reset_device
done_clean
