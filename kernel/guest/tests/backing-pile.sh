# More requests for one page than are under way at once, while that page goes to the backing swap: those
# who wait for it do not keep it from arriving.
# smp: 4
# memory: 512
# timeout: 300
. /lib.sh

run load brd rd_nr=1 rd_size=65536
run load ramzswap
backed_by /dev/ram0 64M
run blockio pile /dev/$D 8 200 40
[ "$(cut -d' ' -f3 $S/bd_stat)" -gt 200 ] || fail "the page stayed here: $(cat $S/bd_stat)"
equal "$(io 1) $(io 2) $(io 3)" "0 0 0" "failed reads, failed writes, invalid requests"
run blockio fill /dev/$D 8
run blockio check /dev/$D 8
reset_device
done_clean
