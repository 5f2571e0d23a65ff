# The backing swap's device comes and goes under swap: reads and writes fail, are counted and logged,
# nobody sees a wrong byte, and the device goes on when its disk does.
# smp: 2
# memory: 512
# timeout: 600
# allow: Buffer I/O error
# allow: I/O error, dev
. /lib.sh

SECTORS=131072
run load brd rd_nr=1 rd_size=65536
run load dm-flakey
B=$(dm create backing 0 $SECTORS linear "/dev/ram0 0") || fail "no device-mapper"
run load ramzswap
backed_by $B 64M
swap_on

# more_failed READS WRITES: have more reads, and more writes, failed than so many? -1: or none.
more_failed() {
	[ "$(io 1)" -gt "$1" ] && [ "$(io 2)" -gt "$2" ]
}

failures_above() {
	[ $(($(io 1) + $(io 2))) -gt "$1" ]
}

in_file_at_least() {
	[ "$(cut -d' ' -f1 $S/bd_stat)" -ge "$1" ]
}

# swapping: a program begins that sends its pages to swap again and again; most belong in the backing
# swap. Its cgroup has room for all, so that it need not be killed if none can be sent.
swapping() {
	hog_begins 48 hog -o -i 70 -r 1 -u /tmp/enough 16
}

echo "writes fail, reads do not: the kernel keeps the pages, and the program goes on"
swapping
until_true 60 in_file_at_least 1000
run dm load backing 0 $SECTORS flakey "/dev/ram0 0 0 1000 1 error_writes"
until_true 60 more_failed -1 $(($(io 2) + 500))
run dm load backing 0 $SECTORS linear "/dev/ram0 0"
hog_ends || fail "the program did not survive failing writes"
equal "$(io 1)" 0 "failed reads while only writes failed"
logged "$D: writing pages .* of the backing swap failed"

echo "all fails: the program may be killed for a page that cannot be read"
swapping
until_true 60 in_file_at_least 1000
run dm load backing 0 $SECTORS error ""
until_true 60 more_failed 0 -1
run dm load backing 0 $SECTORS linear "/dev/ram0 0"
hog_ends
logged "$D: reading pages .* of the backing swap failed"

echo "a second up, a second down"
run dm load backing 0 $SECTORS flakey "/dev/ram0 0 1 1"
n=0
while [ $n -lt $(rounds 2) ]; do
	n=$((n + 1))
	failed=$(($(io 1) + $(io 2)))
	swapping
	until_true 60 failures_above $failed
	hog_ends
done
run dm load backing 0 $SECTORS linear "/dev/ram0 0"

echo "the disk is sound again: so is the device"
failed="$(io 1) $(io 2)"
equal "$(io 3)" 0 "invalid requests"
swapping
until_true 60 in_file_at_least 1000
hog_ends || fail "the program on a sound disk"
run swapoff /dev/$D
run blockio fill /dev/$D 24
run blockio check /dev/$D 24
equal "$(io 1) $(io 2)" "$failed" "failed reads and writes on a sound disk"
equal "$(cat $S/checksum_failures)" 0 "checksum_failures"
reset_device
run dm remove backing
done_clean
