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
backed_by $B 48M
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

# All writes fail: so do those of pages that belong there, and what was there before stays.
run dm load backing 0 131072 error ""
run dd if=/dev/urandom of=/tmp/random bs=4096 count=64 2>/dev/null
refused dd if=/tmp/random of=/dev/$D bs=4096 seek=1 count=64 oflag=direct
[ "$(io 2)" -gt 0 ] || fail "no failed write was counted"
failed=$(io 2)
# Pages that stay in memory need no backing swap.
run dd if=/lib.sh of=/dev/$D bs=4096 seek=9000 count=1 conv=sync oflag=direct 2>/dev/null
equal "$(io 2)" "$failed" "failed writes, after one that needs no backing swap"
run dm load backing 0 131072 linear "/dev/ram0 0"
run blockio check /dev/$D 32

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
