# A disk behind the device that takes few requests at once: what has arrived ends while others wait for
# the disk, and whoever sends more than the device takes waits, as at the disk itself.
# smp: 2
# memory: 512
# timeout: 600
. /lib.sh

MOST=128		# writes, that the driver takes at once
C=/sys/kernel/config

# All of Debian's have it.
run load null_blk nr_devices=0
[ -d $C/nullb ] || run mount -t configfs none $C
run mkdir $C/nullb/nullb0
# 8 requests at once, 5 ms each.
for setting in size=96 memory_backed=1 blocksize=4096 hw_queue_depth=8 submit_queues=1 irqmode=2 \
	completion_nsec=5000000; do
	echo "${setting#*=}" >$C/nullb/nullb0/${setting%=*} || fail "null_blk: $setting"
done
echo 1 >$C/nullb/nullb0/power || fail "null_blk has no power"
B=/dev/nullb0
run dd if=/dev/zero of=$B bs=1M count=96 2>/dev/null
run load ramzswap
backed_by $B 96M
swap_on
hog_begins 16 hog -o -i 100 -r 1 -u /tmp/enough 48
most=0
see_writes() {
	read -r _reads _writes <$S/inflight
	[ "$_writes" -le "$most" ] || most=$_writes
}
ended() {
	see_writes
	! kill -0 "$1" 2>/dev/null
}
# busy: are there more than the disk takes, of which some have arrived?
busy() {
	see_writes
	[ "$most" -ge 64 ] && [ "$(cut -d' ' -f1 $S/bd_stat)" -ge 2000 ]
}
until_true 300 busy
touch /tmp/enough
until_true 300 ended $hog
hog_ends || fail "the program on a slow disk"
# Those of both CPUs that wait for their turn are counted by the block layer, too.
echo "$most writes at once"
[ "$most" -le $((MOST + 8)) ] || fail "$most writes at once, not $MOST"
equal "$(io 1) $(io 2) $(io 3)" "0 0 0" "failed reads, failed writes, invalid requests"
run swapoff /dev/$D
reset_device
echo 0 >$C/nullb/nullb0/power
run rmdir $C/nullb/nullb0
done_clean
