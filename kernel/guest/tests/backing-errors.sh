# The backing swap's device fails: a page that cannot be read is EIO and counted, one that cannot
# be written stays here, or the write fails and the kernel keeps it.
# smp: 2
# memory: 512
# timeout: 300
# allow: Buffer I/O error
# allow: I/O error, dev
. /lib.sh

run load brd rd_nr=1 rd_size=65536
run load dm-flakey
B=$(dm create backing 0 131072 linear "/dev/ram0 0") || fail "no device-mapper"
run load ramzswap
run mkswap $B >/dev/null
set_to backing_dev $B
set_to disksize 48M
run blockio fill /dev/$D 32
[ "$(cut -d' ' -f1 $S/bd_stat)" -gt 300 ] || fail "few pages are in the backing swap: $(cat $S/bd_stat)"

# All reads fail: pages in memory are read, the others are EIO, and are there again afterwards.
run dm load backing 0 131072 error ""
page=0 errors=0
while [ $page -lt 200 ]; do
	dd if=/dev/$D of=/dev/null bs=4096 skip=$page count=1 iflag=direct 2>/dev/null || errors=$((errors + 1))
	page=$((page + 1))
done
between $errors 1 199 "failed reads of 200"
equal "$(io 1)" $errors "failed_reads"
run dm load backing 0 131072 linear "/dev/ram0 0"
run blockio check /dev/$D 32

# All writes fail: what is written is kept here as it is.
run dm load backing 0 131072 error ""
run dd if=/dev/urandom of=/tmp/random bs=4096 count=512 2>/dev/null
run dd if=/tmp/random of=/dev/$D bs=4096 seek=8192 oflag=direct 2>/dev/null
run dd if=/dev/$D of=/tmp/again bs=4096 skip=8192 count=512 iflag=direct 2>/dev/null
run cmp /tmp/random /tmp/again

# No memory here either: the write fails, the old page is still there.
set_to mem_limit 1M
refused dd if=/tmp/random of=/dev/$D bs=4096 seek=4096 count=512 oflag=direct
[ "$(io 2)" -gt 0 ] || fail "no failed write was counted"
set_to mem_limit 0
run dm load backing 0 131072 linear "/dev/ram0 0"
run dd if=/dev/$D of=/tmp/again bs=4096 skip=8192 count=512 iflag=direct 2>/dev/null
run cmp /tmp/random /tmp/again

# Now and then, under swap: 5 s up, 1 s down. Errors may kill the hog (SIGBUS); its pages that it
# does see are right, and the device survives.
run dm load backing 0 131072 flakey "/dev/ram0 0 2 1"
reset_device
run mkswap $B >/dev/null
until_true 20 write_to $S/backing_dev $B
set_to disksize 128M
swap_on
in_cgroup 16 hog -i 60 -r 3 24 >/tmp/hog 2>&1
grep WRONG /tmp/hog && fail "a wrong page was seen"
run dm load backing 0 131072 linear "/dev/ram0 0"
run swapoff /dev/$D
reset_device
run dm remove backing
done_clean
