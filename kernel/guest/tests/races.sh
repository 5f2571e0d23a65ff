# Initialisation, reset, unloading, and changes of codec and limit, all at once, with requests in
# flight, while opened and while swapped on.
# smp: 4
# memory: 512
# timeout: 1200
. /lib.sh

run load ramzswap
all=$(codecs | tr -s ' ' , | sed 's/,$//')
run races $D $(rounds 150) io init reset stats "codec=$all" limit free ioctl
run races $D $(rounds 60) io io reset init ioctl "unload=/mod/ramzswap.ko"
[ -e $S ] || run load ramzswap
echo 1 >$S/reset
set_to mem_limit 0
set_to comp_algorithm lz4
set_to disksize 128M

# While it is swapped on nothing of that is possible.
swap_on
hog -o -r 1 -u /tmp/enough 24 &
hog=$!
run races $D $(rounds 80) reset init stats "codec=$all" limit ioctl
equal "$(cat $S/initstate)" 1 "initstate after refused resets"
refused rmmod ramzswap
set_to mem_limit 0
touch /tmp/enough
wait $hog || fail "the hog under races"
run swapoff /dev/$D

# While it is open, too; and once it is closed, it can be reset.
exec 3<>/dev/$D
equal "$(errno_of $S/reset 1)" EBUSY "the error of a reset while opened"
refused rmmod ramzswap
exec 3>&-
reset_device

# By the very descriptor that requests are in flight through, whose owner has it open, with nothing but
# memory and with a backing swap.
run load brd rd_nr=1 rd_size=32768
run mkswap /dev/ram0 >/dev/null
run blockio reset /dev/$D 16 8 $(rounds 30)
run blockio reset /dev/$D 16 8 $(rounds 30) /dev/ram0
reset_device

# Reset as soon as a swap-off, or requests, are over; and unloading right after them.
n=0
while [ $n -lt $(rounds 10) ]; do
	n=$((n + 1))
	set_to disksize 32M
	swap_on
	in_cgroup 8 hog -r 0 -x 12 >/dev/null || fail "hog $n"
	run swapoff /dev/$D
	until_true 10 write_to $S/reset 1 2>/dev/null
	[ $((n % 5)) = 0 ] || continue
	run rmmod ramzswap
	run load ramzswap
done
done_clean
