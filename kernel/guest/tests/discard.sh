# Slots are freed at once if the kernel tells, and by discard if it does not; swapon -d
# discards all before.
# memory: 512
. /lib.sh

run load ramzswap
set_to disksize 64M
# What is on it before, swapon -d throws away.
run blockio fill /dev/$D 64
swap_on -d
holds_header_only "after swapon -d"

in_cgroup 64 hog -o -r 0 -u /tmp/enough 24 &
hog=$!
until_true 60 stored_at_least 16777216
freed=$(io 4)
touch /tmp/enough
wait $hog || fail "the hog"
# The kernel keeps up to 64 freed slots a CPU for itself; if it does not tell of slots, those that lie
# in clusters of up to 2 MiB with others, or that a CPU writes to.
grep -q free_notify=1 $S/features && most=300000 || most=8388608
until_true 30 stored_at_most $most
now=$(io 4)
echo "freed: $freed before, $now after; $(cat $S/features)"
if grep -q free_notify=1 $S/features; then
	[ "$now" -gt $((freed + 2000)) ] || fail "the kernel did not tell of freed slots"
fi
run swapoff /dev/$D
# If the kernel does not tell, they are freed by the next swapon -d.
if grep -q free_notify=0 $S/features; then
	logged 'ramzswap: .*freed slots: by discard only: use swapon --discard'
	run swapon -d /dev/$D
	run swapoff /dev/$D
fi
holds_header_only "after swapoff"
equal "$(mm 6)" 0 "same_pages after swapoff"
done_clean
