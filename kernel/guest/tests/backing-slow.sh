# A slow disk behind the device: the kernel does not wait for each page that it writes, and as many are
# on their way at once as it sends.
# smp: 2
# memory: 512
# timeout: 600
. /lib.sh

run load brd rd_nr=1 rd_size=98304
run load dm-delay
# 100 ms for each write.
B=$(dm create backing 0 196608 delay "/dev/ram0 0 0 /dev/ram0 0 100") || fail "no device-mapper"
run load ramzswap
backed_by $B 96M
grep -q " synchronous=0 " $S/features || fail "features: $(cat $S/features)"
swap_on
hog_begins 16 hog -o -i 100 -r 1 -u /tmp/enough 48
on_their_way() {
	read -r _reads _writes <$S/inflight
	[ "$_writes" -ge "$1" ]
}
until_true 120 on_their_way 24
hog_ends || fail "the program on a slow disk"
equal "$(io 1) $(io 2) $(io 3)" "0 0 0" "failed reads, failed writes, invalid requests"
run swapoff /dev/$D
reset_device
grep -q " synchronous=1 " $S/features || fail "features without a backing swap: $(cat $S/features)"
run dm remove backing
done_clean
