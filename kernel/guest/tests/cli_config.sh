# The configuration: who serves devices, a [[device]] of the kernel driver, which outlives the
# daemon that set it up, and what is wrong in it.
# of-all: 6.1
# memory: 512
# timeout: 300
. /lib.sh

# daemon: starts one, and waits for it.
daemon() {
	compcached --num-devices 2 >/tmp/daemon.log 2>&1 &
	daemon=$!
	until_true 20 test -S /run/compcache/control.sock
	# It answers once it has brought up what it is to.
	run compcache status >/dev/null
}

end_daemon() {
	kill $daemon
	wait $daemon || fail "the daemon: $(cat /tmp/daemon.log)"
}

run load ramzswap num_devices=2
cat >/etc/compcache.toml <<END
driver = "kernel"
[[device]]
number = 1
disksize_kb = 32768
codec = "lzo"
recompress = "off"
swap_on = true
priority = 9
END
daemon
grep -q '^/dev/ramzswap1 .*	9$' /proc/swaps || fail "$(cat /proc/swaps)"
equal "$(cat /sys/block/ramzswap1/disksize)" 33554432 disksize
equal "$(cat /sys/block/ramzswap1/recompress_algorithm)" off recompress_algorithm
end_daemon
grep -q '^/dev/ramzswap1 ' /proc/swaps || fail "it went with the daemon"
daemon
grep -q "initialised already: left as it is" /tmp/daemon.log || fail "$(cat /tmp/daemon.log)"
end_daemon
run compcache status >/tmp/status
grep -q '^driver: kernel (kernel)' /tmp/status || fail "$(cat /tmp/status)"
run compcache swap off >/dev/null

# Number 5 is not there: the start fails, and takes back what it had set up.
cat >>/etc/compcache.toml <<END
[[device]]
number = 5
END
refused_with "it has no ramzswap5: load it with a larger num_devices" compcached --num-devices 8
equal "$(cat /sys/block/ramzswap1/initstate)" 0 "initstate after a start that failed"
grep -q ramzswap /proc/swaps && fail "$(cat /proc/swaps)"

echo 'driver = "zram"' >/etc/compcache.toml
refused_with 'there is no driver "zram": give auto, kernel or user' compcache swap on
refused_with 'there is no driver "zram"' compcached
echo 'driver = "user"' >/etc/compcache.toml
refused_with "driver: user (user)" compcache status
# The command line and the environment win.
run compcache --driver kernel swap on --size 32M >/dev/null
run compcache --driver kernel swap off >/dev/null
COMPCACHE_DRIVER=kernel run compcache swap on --size 32M >/dev/null
COMPCACHE_DRIVER=kernel run compcache swap off >/dev/null
done_clean
