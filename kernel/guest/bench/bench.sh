# Measures contenders beside each other in one guest, by instructions for each 4 KiB: one CPU,
# QEMU's -icount shift=0. Its orders are words of the kernel's command line:
#   bench.sets=python,node       page sets, /pages/NAME.bin; all that are there if it is missing
#   bench.contenders=zram/lz4,ramzswap/wks:balanced,ramzswap/wks:balanced/simd=0
#                                a driver, a codec, parameters of the module; what this kernel has
#                                not is left out, and named
#   bench.parts=device,cold,half,fault,touch   all if it is missing
# Prints `BENCH SET.CONTENDER.KEY VALUE`: instructions, bytes or pages.
# memory: 512
# timeout: 3600
. /lib.sh

word() {
	tr ' ' '\n' </proc/cmdline | sed -n "s/^bench\.$1=//p" | tr , ' '
}

put() {
	echo "BENCH $prefix.$1 $2"
}

wanted() {
	case " ${parts:-device cold half fault touch} " in
	*" $1 "*) return 0 ;;
	esac
	return 1
}

# Bytes of zram's table and of zsmalloc's handles and page descriptors; ours are in mem_used_total.
tables() {
	[ $driver = zram ] || { echo 0; return; }
	slabs=$(awk '$1 ~ /^zs_handle|^zspage/ { sum += $3 * $4 } END { print sum + 0 }' /proc/slabinfo)
	table=$(grep -E 'disksize_store|zram_meta_alloc' /proc/vmallocinfo | awk '{ sum += $2 } END { print sum + 0 }')
	echo $((slabs + table))
}

free_bytes() {
	echo 3 >/proc/sys/vm/drop_caches
	echo $(($(sed -n 's/^MemFree: *\([0-9]*\) kB/\1/p' /proc/meminfo) * 1024))
}

# moved READ|WRITTEN: pages that were, as the block layer counts them.
moved() {
	set -- "$1" $(cat $S/stat)
	case $1 in
	READ) echo $(($4 / 8)) ;;
	WRITTEN) echo $(($8 / 8)) ;;
	esac
}

memory_as() {
	put "$1" $(($(mm 3) + $(tables)))
}

# start: the driver with its codec and a device of 64 MiB; status 1 if this kernel has it not.
start() {
	if [ $driver = zram ]; then
		for module in lz4 lzo lzo-rle; do
			load $module 2>/dev/null
		done
	fi
	run load $driver $parameters
	D=${driver}0 S=/sys/block/${driver}0
	free_at_first=$(free_bytes)
	write_to $S/comp_algorithm "$codec" 2>/dev/null || return 1
	[ $driver = zram ] || set_to recompress_algorithm off
	set_to disksize 64M
}

measure_cold() {
	[ $driver = ramzswap ] || return
	grep -q zstd=1 $S/features || return
	set_to recompress_after 1
	set_to recompress_cpu 100
	set_to recompress_algorithm zstd:1
	before=-1
	while [ "$(mm 2)" != "$before" ]; do
		before=$(mm 2)
		sleep 10
	done
	set_to recompress_algorithm off
	memory_as memory.cold
	run measure $prefix /pages/$set.bin reread /dev/$D
	# Written again by what is measured next.
	run blkdiscard /dev/$D
}

measure_half() {
	run measure $prefix /pages/$set.bin half /dev/$D
	sleep 2
	memory_as memory.half
	[ -e $S/compact ] || return
	echo 1 >$S/compact
	memory_as memory.half.compacted
}

# Random touches of twice the memory that there is.
measure_touch() {
	before="$(moved READ) $(moved WRITTEN)"
	run in_cgroup 11 measure $prefix /pages/$set.bin touch 20 30000 $S/mm_stat
	put touch.pages.read $(($(moved READ) - ${before% *}))
	put touch.pages.written $(($(moved WRITTEN) - ${before#* }))
}

one() {
	if ! start; then
		echo "$prefix: this kernel's $driver has no $codec"
		run rmmod $driver
		return
	fi
	if wanted device || wanted half; then
		# All pages once, before anything is written over.
		run dd if=/pages/$set.bin of=/dev/$D bs=4096 oflag=direct 2>/dev/null
		memory_as memory
		# What the whole kernel has less than before, as a check of the former.
		put memory.gone $((free_at_first - $(free_bytes)))
		run blkdiscard /dev/$D
		run measure $prefix /pages/$set.bin device /dev/$D
		memory_as memory.churned
	fi
	wanted half && measure_half
	if wanted cold; then
		run measure cold.$prefix /pages/$set.bin device /dev/$D >/dev/null
		measure_cold
	fi
	if wanted fault || wanted touch; then
		run blkdiscard /dev/$D
		swap_on
		! wanted fault || run measure $prefix /pages/$set.bin fault 16
		! wanted touch || measure_touch
		run swapoff /dev/$D
	fi
	echo 1 >$S/reset
	run rmmod $driver
}

sets=$(word sets)
parts=$(word parts)
contenders=$(word contenders)
[ -n "$sets" ] || sets=$(cd /pages && ls | sed 's/\.bin$//')
# What the kernel does after its boot is over then.
sleep 30
for set in $sets; do
	for contender in $contenders; do
		prefix=$set.$(echo $contender | tr / -)
		driver=${contender%%/*}
		codec=${contender#*/}
		parameters=
		case $codec in
		*/*)
			parameters=$(echo ${codec#*/} | tr / ' ')
			codec=${codec%%/*}
			;;
		esac
		one
	done
done
log_is_clean
