# Writes to sysfs: out of range, while initialised, while swapped on, without CAP_SYS_ADMIN. Each
# is refused with its error and a line in the log, and changes nothing.
. /lib.sh

run load ramzswap num_devices=2 debug=1

# Before initialisation.
for bad in 0 1 4096 40959 17592186044417 17T -1 +64M x 1X "" 18446744073709551616; do
	write_refused EINVAL disksize "$bad"
	equal "$(cat $S/initstate)" 0 "initstate after '$bad'"
done
for bad in -1 +64M 0x+1000 x 1X 18446744073709551616 99999999T; do
	write_refused EINVAL mem_limit "$bad"
done
for bad in none lz5 wks: wks:faster zstd:+3 zstd:-8 zstd:10 zstd:x "" "$(printf '%0300d' 0)"; do
	write_refused EINVAL comp_algorithm "$bad"
done
# What is quoted makes no second line of the log, and nothing that a terminal obeys.
write_refused EINVAL comp_algorithm "$(printf 'lz4\nx\033[2J')"
logged "$D: .*"'lz4\\nx\\e\[2J'
write_refused EINVAL mem_limit "$(printf '1\n\033[2J')"
logged "$D: .*"'1\\n\\e\[2J'
write_refused ENOENT backing_dev "$(printf '/tmp/a\nb\033[2J')"
logged "$D: .*"'/tmp/a\\nb\\e\[2J'
for bad in 0 2 x ""; do
	write_refused EINVAL reset "$bad"
done
for name in initstate mm_stat io_stat bd_stat latency checksum_failures stats features; do
	refused write_to $S/$name 1
	cat $S/$name >/dev/null 2>&1 || [ "$(cat $S/initstate)" = 0 ] || fail "$name cannot be read"
done
set_to reset 1

# Suffixes, and what may be written with and without an end of line.
for size in 41943040 40960K 40M; do
	printf '%s' $size >$S/disksize || fail "disksize does not take '$size'"
	equal "$(cat $S/disksize)" 41943040 "disksize after $size"
	equal "$(blockdev --getsize64 /dev/$D)" 41943040 "the device's size after $size"
	reset_device
done
set_to disksize 1G
equal "$(cat $S/disksize)" 1073741824 "disksize after 1G"
reset_device
set_to disksize 40K
run blockio refuse /dev/$D
reset_device

# While initialised: sizes and the backing swap cannot be changed; codec and limit can.
set_to disksize 64M
for value in 64M 128M 0; do
	write_refused EBUSY disksize $value
done
write_refused EBUSY backing_dev /dev/none
write_refused EINVAL mem_limit x
write_refused EINVAL comp_algorithm none
set_to mem_limit 16M
equal "$(cat $S/mem_limit)" 16777216 mem_limit
set_to mem_limit 0
for codec in $(codecs); do
	set_to comp_algorithm "$codec"
	chosen "$codec" || fail "comp_algorithm after $codec: $(cat $S/comp_algorithm)"
	equal "$(tr -cd '[' <$S/comp_algorithm | wc -c)" 1 "how many are in brackets"
done
for name in initstate mm_stat io_stat bd_stat latency checksum_failures stats features; do
	run cat $S/$name >/dev/null
done
equal "$(wc -w <$S/mm_stat)" 9 "the fields of mm_stat"
equal "$(wc -w <$S/io_stat)" 4 "the fields of io_stat"
equal "$(wc -w <$S/bd_stat)" 3 "the fields of bd_stat"

# While swapped on.
swap_on
write_refused EBUSY reset 1
write_refused EBUSY disksize 128M
write_refused EBUSY backing_dev /dev/none
write_refused EBUSY backing_dev none
equal "$(cat $S/initstate)" 1 initstate
refused rmmod ramzswap
run swapoff /dev/$D
reset_device

# Without CAP_SYS_ADMIN: EPERM for what changes the device, though root owns the files.
for change in "disksize 64M" "comp_algorithm lz4" "mem_limit 1M" "reset 1" "backing_dev none" \
	"recompress_after 5" "recompress_cpu 5" "recompress_algorithm off" "debug_flip 1"; do
	set -- $change
	before=$(cat $S/$1 2>/dev/null)
	unprivileged sh -c "echo $2 >$S/$1" 2>/tmp/errno && fail "$1 may be written without CAP_SYS_ADMIN"
	grep -q -i permitted /tmp/errno || fail "$1 without CAP_SYS_ADMIN: $(cat /tmp/errno)"
	equal "$(cat $S/$1 2>/dev/null)" "$before" "$1 after that"
done
# Nobody else may even open them.
for name in disksize comp_algorithm mem_limit reset backing_dev; do
	case $(stat -c %A $S/$name) in
	?????w???? | ????????w?) fail "others may write $name: $(stat -c %A $S/$name)" ;;
	esac
done
equal "$(cat $S/initstate)" 0 initstate

# The second device saw none of it.
equal "$(cat /sys/block/ramzswap1/initstate)" 0 "initstate of the second device"
done_clean
