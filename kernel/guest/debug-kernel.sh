#!/bin/bash
# Runs the guest's tests on a kernel with KASAN, lockdep, RCU's proofs, DEBUG_ATOMIC_SLEEP and
# injected failures: Debian's linux-source-6.12, with a configuration of its own (debug-kernel.config).
#
#   kernel/guest/debug-kernel.sh DIRECTORY [TEST]...
#
# DIRECTORY keeps the source and what is built of it (2 GB, ten minutes the first time). TEST is the
# name of a test without .sh; all run where none is given, which takes an hour or two. Consoles are
# left in DIRECTORY/log. QEMU, BUSYBOX: the programs to use, where not those of `cargo xtask`'s state.
set -euo pipefail

cd "$(dirname "$0")/../.."
guest=$PWD/kernel/guest
directory=$(realpath -m "${1:?the directory of the kernel is wanted}")
shift
state=${COMPCACHE_KERNEL_STATE:-$PWD/target/kernel/state}
source=$directory/linux-source-6.12
QEMU=${QEMU:-qemu-system-x86_64}
BUSYBOX=${BUSYBOX:-$(find "$state/debian12/root" -path '*bin/busybox' -type f | head -n 1)}
mkdir -p "$directory/log" "$directory/bin" "$directory/module"

if [ ! -d "$source" ]; then
	(cd "$directory" && apt-get download linux-source-6.12 && dpkg-deb -x linux-source-6.12_*.deb . &&
		tar -xf usr/src/linux-source-6.12.tar.xz) || {
		echo "no linux-source-6.12: it is in Debian 13 and in bookworm-backports" >&2
		exit 1
	}
fi
if [ ! -e "$source/arch/x86/boot/bzImage" ]; then
	make -C "$source" allnoconfig
	(cd "$source" && scripts/kconfig/merge_config.sh -m .config "$guest/debug-kernel.config")
	make -C "$source" olddefconfig
	make -C "$source" -j"$(nproc)" bzImage modules
fi

# The module: the objects are the same for all kernels.
cargo xtask kernel build --kernel 6.12
built=$(find target/kernel -path '*/6.12*/build/rzcore.obj' -printf '%T@ %h\n' | sort -n | tail -n 1 | cut -d' ' -f2)
rm -rf "$directory/module"
cp -r kernel/shim "$directory/module"
cp "$built"/*.obj "$directory/module/"
make -C "$source" M="$directory/module" modules

for program in "$guest"/programs/*.c; do
	name=$(basename "$program" .c)
	flags='-static -pthread'
	[ "$name" != ioctl2010 ] || flags='-nostdlib -static -ffreestanding -fno-stack-protector -fno-pie -no-pie'
	gcc -O2 $flags -o "$directory/bin/$name" "$program"
done
gcc -m32 -O2 -nostdlib -static -ffreestanding -fno-stack-protector -fno-pie -no-pie \
	-o "$directory/bin/ioctl2010-32" "$guest/programs/ioctl2010.c"

# Built in, or a module that needs no other.
cat >"$directory/load" <<'EOF'
#!/bin/busybox sh
name=$(echo "$1" | tr - _)
shift
[ -e "/mod/$name.ko" ] || exit 0
grep -q "^$name " /proc/modules && exit 0
exec insmod "/mod/$name.ko" "$@"
EOF
find "$source/drivers/block" "$source/mm" "$directory/module" -name '*.ko' >"$directory/modules"

# The value of a line of a test's head.
head_of() {
	sed -n "s/^# $2: //p" "$1" | head -n 1
}

initramfs() {
	{
		for d in bin proc sys dev tmp run mnt mod root; do
			echo "dir /$d 0755 0 0"
		done
		echo "nod /dev/console 0600 0 0 c 5 1"
		echo "file /bin/busybox $BUSYBOX 0755 0 0"
		echo "file /bin/load $directory/load 0755 0 0"
		echo "file /init xtask/src/guest/init.sh 0755 0 0"
		echo "file /lib.sh kernel/guest/lib.sh 0644 0 0"
		echo "file /test.sh $1 0755 0 0"
		for program in "$directory"/bin/*; do
			echo "file /bin/$(basename "$program") $program 0755 0 0"
		done
		while read -r module; do
			echo "file /mod/$(basename "$module") $module 0644 0 0"
		done <"$directory/modules"
	} >"$directory/list"
	"$source/usr/gen_init_cpio" "$directory/list" >"$directory/initramfs"
}

failed=0
[ $# -gt 0 ] || set -- $(cd "$guest/tests" && ls *.sh | sed 's/\.sh$//')
for test; do
	file=$guest/tests/$test.sh
	log=$directory/log/$test.log
	smp=$(head_of "$file" smp)
	limit=$(head_of "$file" timeout)
	initramfs "$file"
	# KASAN needs memory and time of its own.
	timeout $((${limit:-300} * 8)) "$QEMU" -accel tcg -cpu max,-cx16 -smp "${smp:-1}" -m 1280 \
		-nodefaults -display none -serial stdio -no-reboot -nic none \
		-kernel "$source/arch/x86/boot/bzImage" -initrd "$directory/initramfs" \
		-append "console=ttyS0 loglevel=5 panic=-1 oops=panic" </dev/null >"$log" 2>&1 || true
	case $(tr -d '\r' <"$log" | sed -n 's/^GUEST EXIT //p' | tail -n 1) in
	0) echo "$test: passed" ;;
	77) echo "$test: $(grep -a -m 1 SKIPPED "$log")" ;;
	*)
		echo "$test: FAILED, see $log"
		failed=1
		;;
	esac
done
exit $failed
