# The ioctls of compcache 0.6.2, from 64-bit and 32-bit programs: order, errors, statistics.
. /lib.sh

ENOENT=2 ENOTTY=25 EBUSY=16 EFAULT=14 EINVAL=22

value() {
	sed -n "s/^$1 //p" /tmp/stats
}

run load brd rd_nr=1 rd_size=32768
run load ramzswap
for ioctl in ioctl2010 ioctl2010-32; do
	echo "$ioctl"
	# Before INIT: no statistics; a reset of what was never initialised succeeds.
	run $ioctl /dev/$D stats!$ENOTTY stats252!$ENOTTY reset unknown!$ENOTTY reset
	run $ioctl /dev/$D disksize=null!$EFAULT memlimit=null!$EFAULT backing=null!$EFAULT

	# rzscontrol's order within one call, then all that INIT forbids.
	run $ioctl /dev/$D memlimit=10240 disksize=20480 init
	run $ioctl /dev/$D disksize=4096!$EBUSY memlimit=4096!$EBUSY backing=/dev/ram0!$EBUSY \
		init!$EBUSY unknown!$ENOTTY stats=null!$EFAULT
	equal "$(blockdev --getsize64 /dev/$D)" 20971520 "the size"

	run $ioctl /dev/$D stats >/tmp/stats
	equal "$(value name)" "" "the backing swap's name"
	equal "$(value disksize)" 20971520 disksize
	equal "$(value memlimit)" 10485760 memlimit
	for name in failed_reads failed_writes invalid_io pages_zero bdev_num_reads bdev_num_writes; do
		equal "$(value $name)" 0 $name
	done
	equal "$(without_header "$(value num_writes)")" 0 num_writes
	equal "$(without_header "$(value pages_stored)")" 0 pages_stored
	equal "$(without_header "$(value orig_data_size)" $HEADER)" 0 orig_data_size
	# It makes a swap area: no mkswap is needed.
	run swapon /dev/$D
	run swapoff /dev/$D

	# 1024 pages of contents and 256 of zeros are written, the former are read.
	run blockio fill /dev/$D 4
	run dd if=/dev/zero of=/dev/$D bs=4096 seek=1024 count=256 oflag=direct 2>/dev/null
	run blockio check /dev/$D 4
	for form in stats stats252; do
		run $ioctl /dev/$D $form >/tmp/stats
		equal "$(without_header "$(value num_writes)")" 1280 "num_writes of $form"
		[ "$(value num_reads)" -ge 1024 ] || fail "num_reads $(value num_reads) of $form"
		equal "$(value pages_zero)" 256 "pages_zero of $form"
		between "$(value pages_stored)" 900 1024 "pages_stored of $form"
		equal "$(value orig_data_size)" $(($(value pages_stored) * 4096)) "orig_data_size of $form"
		between "$(value compr_data_size)" 100000 3500000 "compr_data_size of $form"
		[ "$(value mem_used_total)" -ge "$(value compr_data_size)" ] || fail "mem_used_total of $form"
		between "$(value good_compress_pct)" 50 99 "good_compress_pct of $form"
		between "$(value pages_expand_pct)" 5 20 "pages_expand_pct of $form"
		[ "$(value pages_used)" -gt 0 ] || fail "pages_used of $form"
	done
	equal "$(value notify_free)" 0 notify_free

	# In use: no reset. Then one, after which all begins again.
	run mkswap /dev/$D >/dev/null
	run swapon /dev/$D
	run $ioctl /dev/$D reset!$EBUSY disksize=4096!$EBUSY memlimit=4096!$EBUSY backing=/dev/ram0!$EBUSY \
		init!$EBUSY unknown!$ENOTTY
	equal "$(cat $S/disksize) $(cat $S/mem_limit)" "20971520 10485760" "the size and the limit of one in use"
	run swapoff /dev/$D
	run $ioctl /dev/$D reset stats!$ENOTTY reset
	equal "$(blockdev --getsize64 /dev/$D)" 0 "the size after a reset"

	# With a backing swap, in rzscontrol's order within one call. The disk is as large as it.
	run mkswap /dev/ram0 >/dev/null
	run $ioctl /dev/$D backing=/dev/ram0 memlimit=10240 init
	equal "$(blockdev --getsize64 /dev/$D)" 33554432 "the size, that of the backing swap"
	run blockio fill /dev/$D 24
	run blockio check /dev/$D 24
	run $ioctl /dev/$D stats >/tmp/stats
	equal "$(value name)" /dev/ram0 "the backing swap's name"
	equal "$(value memlimit)" 10485760 memlimit
	[ "$(value bdev_num_writes)" -gt 300 ] || fail "bdev_num_writes is $(value bdev_num_writes)"
	[ "$(value bdev_num_reads)" -gt 300 ] || fail "bdev_num_reads is $(value bdev_num_reads)"
	run $ioctl /dev/$D reset

	# What cannot be: nothing of it stays.
	run $ioctl /dev/$D backing=unterminated!$EINVAL
	# (A 32-bit program cannot even say so much.)
	[ $ioctl = ioctl2010-32 ] ||
		run $ioctl /dev/$D disksize=18014398509481984!$EINVAL memlimit=18014398509481984!$EINVAL
	run $ioctl /dev/$D memlimit=0!$EINVAL memlimit=63!$EINVAL disksize=0!$EINVAL
	equal "$(cat $S/mem_limit)" 0 "mem_limit, after bad ones were refused"
	run $ioctl /dev/$D backing=/dev/none init!$ENOENT
	equal "$(cat $S/initstate)" 0 "initstate after a backing swap that is not there"
	set_to backing_dev none
	run $ioctl /dev/$D disksize=16!$EINVAL init
	[ "$(cat $S/disksize)" -gt 20971520 ] || fail "not the default size, after a bad one was refused"
	run $ioctl /dev/$D reset
done

# Without CAP_SYS_ADMIN the statistics may be read, and nothing changed.
run ioctl2010 /dev/$D disksize=8192 init
run unprivileged ioctl2010 /dev/$D reset!1 init!1 disksize=4096!1 memlimit=4096!1 backing=/dev/ram0!1
equal "$(cat $S/initstate)" 1 initstate
done_clean
