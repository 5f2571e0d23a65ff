# What the guest's tests share. A test is POSIX sh, run as root with busybox's applets, and begins
# with `. /lib.sh`. It ends by `done_clean`, which takes the device and the module away and looks
# at the kernel's log; whatever fails before ends it with status 1.

D=ramzswap0			# the device
S=/sys/block/$D
CG=/sys/fs/cgroup
HEADER=4096			# bytes of the swap header, page 0 of a device that was initialised

# fail REASON...: which is the last that is said.
fail() {
	[ -e $CG/limited/memory.events ] && echo "cgroup:" $(cat $CG/limited/memory.events)
	dmesg | tail -n 40
	failed "$@"
}

# failed REASON...: as fail, by who has shown already what in the kernel's log is of interest.
failed() {
	: >/tmp/log-was-shown
	echo "FAILED: $*"
	exit 1
}

skip() {
	echo "SKIPPED: $*"
	exit 77
}

# run COMMAND...: it must succeed.
run() {
	"$@" || fail "$* (status $?)"
}

# refused COMMAND...: it must not succeed. Its messages are left in /tmp/refused.
refused() {
	"$@" >/tmp/refused 2>&1 && fail "not refused: $*"
	return 0
}

# refused_with TEXT COMMAND...: it must not succeed, and say this.
refused_with() {
	_text=$1
	shift
	refused "$@"
	grep -q -e "$_text" /tmp/refused || fail "'$_text' is not in: $(cat /tmp/refused)"
}

# equal FOUND WANTED WHAT
equal() {
	[ "$1" = "$2" ] || fail "$3 is '$1', not '$2'"
}

# between FOUND LEAST MOST WHAT
between() {
	[ "$1" -ge "$2" ] && [ "$1" -le "$3" ] || fail "$4 is $1, not $2 to $3"
}

# until_true SECONDS COMMAND...: waits until the command succeeds.
until_true() {
	_tries=$(($1 * 20))
	shift
	until "$@"; do
		_tries=$((_tries - 1))
		[ $_tries -gt 0 ] || fail "it never came true: $*"
		usleep 50000
	done
}

# set_to ATTRIBUTE VALUE: writes an attribute of the device, which must take it.
set_to() {
	echo "$2" >"$S/$1" || fail "$1 does not take '$2'"
}

# write_to PATH VALUE: echo's status, for `refused`.
write_to() {
	echo "$2" >"$1"
}

# errno_of PATH VALUE: the name of the error by which a write is refused, or `none`.
errno_of() {
	if LC_ALL=C write_to "$1" "$2" 2>/tmp/errno; then
		echo none
		return
	fi
	case $(cat /tmp/errno) in
	*nvalid\ argument*) echo EINVAL ;;
	*esource\ busy*) echo EBUSY ;;
	*not\ permitted*) echo EPERM ;;
	*ermission\ denied*) echo EACCES ;;
	*ut\ of\ memory* | *annot\ allocate*) echo ENOMEM ;;
	*umerical\ result* | *esult\ too\ large*) echo ERANGE ;;
	*o\ such\ device\ or*) echo ENXIO ;;
	*o\ such\ device*) echo ENODEV ;;
	*o\ such\ file*) echo ENOENT ;;
	*alue\ too\ large*) echo EOVERFLOW ;;
	*ile\ too\ large*) echo EFBIG ;;
	*o\ space*) echo ENOSPC ;;
	*) cat /tmp/errno ;;
	esac
}

# write_refused ERRNO ATTRIBUTE VALUE: refused with it, named in the kernel's log, and unchanged.
write_refused() {
	_before=$(cat "$S/$2" 2>/dev/null)
	_lines=$(dmesg | grep -c "$D: ")
	equal "$(errno_of "$S/$2" "$3")" "$1" "the error of '$3' to $2"
	equal "$(cat "$S/$2" 2>/dev/null)" "$_before" "$2 after '$3' was refused"
	[ "$(dmesg | grep -c "$D: ")" -gt "$_lines" ] || fail "no line in the log about '$3' to $2"
}

# logged TEXT: is this in the kernel's log?
logged() {
	dmesg | grep -q -e "$1" || fail "the log does not say '$1'"
}

# stat_of NAME: a line of the attribute `stats`.
stat_of() {
	sed -n "s/^$1 //p" "$S/stats"
}

# mm N: number N of mm_stat, from 1: orig_data_size compr_data_size mem_used_total mem_limit
# mem_used_max same_pages pages_compacted huge_pages huge_pages_since.
mm() {
	set -- "$1" $(cat $S/mm_stat)
	shift "$1"
	echo "$1"
}

# stored_at_least BYTES, stored_at_most BYTES: of pages, before compression.
stored_at_least() {
	[ "$(mm 1)" -ge "$1" ]
}

stored_at_most() {
	[ "$(mm 1)" -le "$1" ]
}

# io N: number N of io_stat, from 1: failed_reads failed_writes invalid_io notify_free.
io() {
	set -- "$1" $(cat $S/io_stat)
	shift "$1"
	echo "$1"
}

# without_header COUNT [BYTES]: of pages, writes or bytes, those but for the swap header: one, or so
# many bytes. The driver writes it itself, past the block layer, when a device is initialised.
without_header() {
	echo $(($1 - ${2:-1}))
}

# holds_header_only WHEN: is no other page left?
holds_header_only() {
	equal "$(without_header "$(mm 1)" $HEADER)" 0 "orig_data_size $1, but for the swap header,"
}

# rounds COUNT: so often does a test the same, by default. `--append work=4` of `cargo xtask kernel
# test` makes it four times as often: the kernel hands its command line's words to the first process.
rounds() {
	echo $(($1 * ${work:-1}))
}

# codecs: the names that comp_algorithm offers.
codecs() {
	tr -d '[]' <$S/comp_algorithm
}

# chosen CODEC: is it the one in brackets, with or without a level?
chosen() {
	grep -q "\[$1[]:]" $S/comp_algorithm
}

# limit_cgroup MIB: gives the cgroup of in_cgroup so much memory. Above `memory.high` the kernel
# reclaims and slows down; it kills at twice that only. At `memory.max` it kills as soon as some tries
# of one process find nothing to reclaim, as they may while others hold all that there is.
limit_cgroup() {
	run write_to $CG/limited/memory.max "$((2 * $1))M"
	run write_to $CG/limited/memory.high "${1}M"
}

# unlimit_cgroup: takes the limit away.
unlimit_cgroup() {
	run write_to $CG/limited/memory.high max
	run write_to $CG/limited/memory.max max
}

# in_cgroup MIB COMMAND...: with so much memory (limit_cgroup); swap is not limited.
in_cgroup() {
	echo +memory >$CG/cgroup.subtree_control || fail "no memory controller"
	mkdir -p $CG/limited
	limit_cgroup "$1"
	shift
	(
		sh -c "echo \$PPID >$CG/limited/cgroup.procs"
		exec "$@"
	)
}

# swap_on [OPTION...]: makes the device a swap disk, and uses it.
swap_on() {
	run mkswap /dev/$D >/dev/null
	run swapon "$@" /dev/$D
}

# backed_by FILE SIZE: initialises the device with a backing swap.
backed_by() {
	run mkswap "$1" >/dev/null
	set_to backing_dev "$1"
	set_to disksize "$2"
}

# hog_begins MIB COMMAND...: a program with so much memory (in_cgroup), that goes on until hog_ends. Its
# arguments name /tmp/enough as where it sees that.
hog_begins() {
	rm -f /tmp/enough
	in_cgroup "$@" >/tmp/hog 2>&1 &
	hog=$!
}

# hog_ends: the status is its own. Whether it was killed or not, it has seen no wrong byte.
hog_ends() {
	touch /tmp/enough
	wait $hog
	_status=$?
	cat /tmp/hog
	grep -q WRONG /tmp/hog && fail "a wrong page was seen"
	return $_status
}

# used_as_swap: is the device?
used_as_swap() {
	grep -q "^/dev/$D " /proc/swaps
}

# reset_device: whatever it is, it must go back to nothing.
reset_device() {
	set_to reset 1
	equal "$(cat $S/initstate)" 0 initstate
}

# allow_huge_pages: to programs that ask for them. With less than 512 MiB the kernel switches them off.
allow_huge_pages() {
	run write_to /sys/kernel/mm/transparent_hugepage/enabled madvise
}

# huge_pages_out: how many were swapped out in one piece; nothing if the kernel cannot do that.
huge_pages_out() {
	sed -n 's/^thp_swpout //p' /proc/vmstat
}

# writes_done, sectors_written: by the block layer's count.
writes_done() {
	set -- $(cat $S/stat)
	echo "$5"
}

sectors_written() {
	set -- $(cat $S/stat)
	echo "$7"
}

# hogs_with_each_codec: all kinds of memory that is swapped, and that none of it is left.
hogs_with_each_codec() {
	allow_huge_pages
	for codec in $(codecs); do
		echo "$codec"
		set_to comp_algorithm "$codec"
		set_to disksize 128M
		swap_on
		run in_cgroup 8 hog -p 2 -r $(rounds 1) -f -h 8
		run in_cgroup 8 hog -r $(rounds 1) -o -m -f 10
		huge=$(huge_pages_out) writes=$(writes_done) sectors=$(sectors_written)
		run in_cgroup 8 hog -r $(rounds 1) -t -o 10
		# If the kernel can swap them in one piece, it did: a request then has more than a page.
		if [ -n "$huge" ]; then
			[ "$(huge_pages_out)" -gt "$huge" ] || fail "no huge page was swapped out in one piece"
			writes=$(($(writes_done) - writes)) sectors=$(($(sectors_written) - sectors))
			[ $sectors -gt $((writes * 8)) ] || fail "$writes writes of $sectors sectors, which are single pages"
		fi
		run in_cgroup 8 hog -r $(rounds 1) -x 14
		run swapoff /dev/$D
		holds_header_only "after swapoff"
		equal "$(io 1) $(io 2) $(io 3)" "0 0 0" "failed reads, failed writes, invalid requests"
		reset_device
	done
}

# log_is_clean [PATTERN]: has the kernel nothing to complain about, but for what matches?
log_is_clean() {
	bad='WARNING|BUG|Oops|[Gg]eneral protection|Call Trace|KASAN:|INFO: lockdep|possible recursive|deadlock'
	bad="$bad|suspicious RCU|blocked for more than|soft lockup|stall|invalid opcode|panic|leaked"
	bad="$bad|sleeping function|scheduling while atomic|Bad page|list_(add|del) corruption"
	if dmesg | grep -E "$bad" | grep -v -E 'ommand line:|deadlock detection|RCU.*stall.*(timeout|enabled)'"${1:+|$1}" >/tmp/bad; then
		cat /tmp/bad
		first=$(head -n 1 /tmp/bad)
		dmesg | grep -F -B 3 -A 40 -e "$first"
		failed "the kernel complains: $first"
	fi
}

# nothing_mapped_by_us: is nothing in vmalloc space the module's, which has no device initialised or is
# gone? Its functions have no names then.
nothing_mapped_by_us() {
	! awk '$3 ~ /^0x|^rzk?_/ || /\[ramzswap\]/' /proc/vmallocinfo | grep . >/tmp/mapped_by_us
}

# memory_is_leaked: shows what kmemleak finds, if the kernel has it (debug-kernel.sh); is any of it ours?
# It reports what is older than five seconds, and was found twice.
memory_is_leaked() {
	kmemleak=/sys/kernel/debug/kmemleak
	[ -e $kmemleak ] || return 1
	sleep 6
	echo scan >$kmemleak
	echo scan >$kmemleak
	cat $kmemleak >/tmp/kmemleak
	cat /tmp/kmemleak
	grep -q -E '\[ramzswap\]|\] 0x[0-9a-f]+$' /tmp/kmemleak
}

# done_clean [PATTERN]: the end of each test. Lines of the log that match are no complaint.
done_clean() {
	for left in $(sed -n 's,^\(/dev/ramzswap[0-9]*\) .*,\1,p' /proc/swaps); do
		run swapoff "$left"
	done
	for left in /sys/block/ramzswap*; do
		[ -e "$left" ] || continue
		echo 1 >"$left/reset" || fail "no reset of $left"
	done
	if grep -q '^ramzswap ' /proc/modules; then
		nothing_mapped_by_us || fail "memory of no device: $(cat /tmp/mapped_by_us)"
		# While its functions have names.
		memory_is_leaked && fail "memory is leaked"
		run rmmod ramzswap
	fi
	nothing_mapped_by_us || fail "memory of no module: $(cat /tmp/mapped_by_us)"
	grep -q '^ramzswap ' /proc/modules && fail "the module is still there"
	[ -e /dev/$D ] && fail "/dev/$D is still there"
	log_is_clean "$@"
	echo "PASSED"
	exit 0
}
