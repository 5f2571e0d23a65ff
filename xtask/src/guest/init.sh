#!/bin/busybox sh
# The guest's first process: mounts, runs /test.sh, says how it ended, powers off.
export PATH=/bin HOME=/root
/bin/busybox mkdir -p /proc /sys /dev /tmp /run /root /etc /mnt
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
mkdir -p /dev/shm /dev/pts
mount -t tmpfs -o mode=1777 tmpfs /dev/shm
mount -t tmpfs -o mode=1777 tmpfs /tmp
mount -t tmpfs tmpfs /run
mount -t devpts devpts /dev/pts
mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null
mount -t debugfs debugfs /sys/kernel/debug 2>/dev/null
ip link set lo up 2>/dev/null
cd /root
echo "GUEST BOOT $(uname -r) after $(cut -d' ' -f1 /proc/uptime) s"
setsid cttyhack sh /test.sh </dev/null
status=$?
[ $status = 0 ] || [ -e /tmp/log-was-shown ] || dmesg | tail -n 40
sync
echo "GUEST EXIT $status"
# The console is written out before the power goes.
sleep 0.2
poweroff -f
