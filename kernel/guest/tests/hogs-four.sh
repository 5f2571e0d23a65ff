# Programs that need twice their memory, with each codec, on four CPUs.
# smp: 4
# timeout: 1200
. /lib.sh

run load ramzswap
hogs_with_each_codec
done_clean
