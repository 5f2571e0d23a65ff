# Requests of 4 KiB to 2 MiB: verified, discarded, zeroed, at once; same-filled pages; pages never
# written; buffers that change meanwhile; what must be refused.
# smp: 4
# memory: 512
# timeout: 1200
. /lib.sh

run load ramzswap
allow_huge_pages
for codec in $(codecs); do
	echo "$codec"
	set_to comp_algorithm "$codec"
	set_to disksize 16M
	holds_header_only "at first"
	run blkdiscard -l $HEADER /dev/$D
	run blockio blank /dev/$D 16
	run blockio fill /dev/$D 16
	run blockio check /dev/$D 16
	# By 2 MiB, of one huge page: each is one request of 4096 sectors.
	set -- $(cat $S/stat)
	reads=$1 sectors_read=$3 writes=$5 sectors_written=$7
	run blockio large /dev/$D 16
	set -- $(cat $S/stat)
	equal "$(($3 - sectors_read)) $(($7 - sectors_written))" "32768 32768" "sectors read and written"
	equal "$(($1 - reads)) $(($5 - writes))" "8 8" "reads and writes of them"
	run blockio random /dev/$D 16 4 $(rounds 200)
	run blockio same /dev/$D 4
	run blockio fill /dev/$D 16
	run blockio half /dev/$D 16
	run blockio overlap /dev/$D 4 4 $(rounds 200)
	run blockio unstable /dev/$D 1 1 $(rounds 500)
	run blockio refuse /dev/$D
	run blkdiscard /dev/$D
	run blockio blank /dev/$D 16
	equal "$(mm 1)" 0 "orig_data_size when all is discarded"
	equal "$(mm 2)" 0 "compr_data_size when all is discarded"
	reset_device
done

# A page that was never written is one of zeros; one that repeats a word costs no memory.
set_to disksize 32M
run dd if=/dev/zero of=/dev/$D bs=1M count=32 oflag=direct 2>/dev/null
equal "$(mm 2)" 0 "compr_data_size of zeros"
equal "$(mm 6)" 8192 "same_pages"
run blockio blank /dev/$D 32
done_clean
