# The numbers agree: of sysfs, of the ioctls, of rzscontrol and of the block layer.
# smp: 4
# memory: 512
. /lib.sh

value() {
	sed -n "s/^$1 //p" /tmp/stats
}

pool_at_most() {
	[ "$(stat_of pool_bytes)" -le "$1" ]
}

run load ramzswap
set_to comp_algorithm lz4
set_to mem_limit 40M
set_to disksize 64M
run blockio fill /dev/$D 32
run blockio check /dev/$D 32
run dd if=/dev/zero of=/dev/$D bs=4096 seek=8192 count=1000 oflag=direct 2>/dev/null
run blockio random /dev/$D 32 4 $(rounds 200)

agree() {
	run ioctl2010 /dev/$D stats252 >/tmp/stats
	equal "$(value disksize)" "$(cat $S/disksize)" disksize
	equal "$(value memlimit)" "$(cat $S/mem_limit)" memlimit
	equal "$(value compr_data_size)" "$(mm 2)" compr_data_size
	equal "$(value mem_used_total)" "$(mm 3)" mem_used_total
	equal "$(mm 4)" "$(cat $S/mem_limit)" mem_limit
	[ "$(mm 5)" -ge "$(mm 3)" ] || fail "mem_used_max $(mm 5) is less than mem_used_total $(mm 3)"
	equal "$(value failed_reads) $(value failed_writes) $(value invalid_io)" \
		"$(io 1) $(io 2) $(io 3)" "errors"
	equal "$(value notify_free)" "$(io 4)" notify_free
	equal "$(value num_reads)" "$(stat_of reads)" reads
	equal "$(value num_writes)" "$(stat_of writes)" writes
	equal "$(value orig_data_size)" $(($(value pages_stored) * 4096)) orig_data_size
	# zram's orig_data_size has same-filled pages in it; that of 2010 has not.
	between $((($(mm 1) - $(value orig_data_size)) / 4096)) 0 "$(mm 6)" "pages between both sizes"
	[ "$(mm 6)" -ge "$(value pages_zero)" ] || fail "same_pages $(mm 6) < pages_zero $(value pages_zero)"
	[ "$(mm 8)" -gt 0 ] || fail "no huge_pages"
	[ "$(mm 9)" -ge "$(mm 8)" ] || fail "huge_pages_since $(mm 9) < huge_pages $(mm 8)"
}
agree

# The latency histogram counts each read and write once.
loads=$(awk '$1 ~ /[Ll]oad|LOAD/ { sum += $3 } END { print sum }' $S/latency)
stores=$(awk '$1 ~ /[Ss]tore|STORE/ { sum += $3 } END { print sum }' $S/latency)
echo "latency: $loads loads, $stores stores; reads $(stat_of reads), writes $(stat_of writes)"
between "$loads" 1 "$(stat_of reads)" "loads of the histogram"
between "$stores" 1 "$(stat_of writes)" "stores of the histogram"

# Sectors of the block layer.
set -- $(cat $S/stat)
equal "$3" $(($(stat_of reads) * 8)) "sectors read"
equal "$7" $(($(without_header "$(stat_of writes)") * 8)) "sectors written"

# The memory limit is never passed, from where less is used.
run blkdiscard /dev/$D
until_true 30 pool_at_most 12582912
set_to mem_limit 12M
blockio fill /dev/$D 64 >/dev/null 2>&1
[ "$(stat_of pool_bytes)" -le 12582912 ] || fail "$(stat_of pool_bytes) bytes are used, of 12 MiB"
agree
set_to mem_limit 0
run blkdiscard /dev/$D
equal "$(mm 1) $(mm 2) $(mm 6) $(mm 8)" "0 0 0 0" "pages when all is discarded"
done_clean
