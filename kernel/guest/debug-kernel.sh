#!/bin/bash
# Runs the guest's tests on a kernel with KASAN, kmemleak, lockdep, RCU's proofs, DEBUG_ATOMIC_SLEEP and
# injected failures: Debian's linux-source-6.12, with a configuration of its own (debug-kernel.config).
# The module's core, which is written in Rust, is compiled so that KASAN sees its accesses, too.
#
#   kernel/guest/debug-kernel.sh DIRECTORY [TEST]...
#
# DIRECTORY keeps the source and what is built of it (2 GB; half an hour of processor time, the first
# time). TEST is the name of a test without .sh; all run if none is given, which takes hours.
# Consoles are left in target/kernel/RELEASE/guests. Wants flex, bison, bc, libelf-dev and libssl-dev.
set -euo pipefail

cd "$(dirname "$0")/../.."
directory=$(realpath -m "${1:?the directory of the kernel is wanted}")
shift
source=$directory/linux-source-6.12
mkdir -p "$directory/module"

if [ ! -d "$source" ]; then
	(cd "$directory" && apt-get download linux-source-6.12 && dpkg-deb -x linux-source-6.12_*.deb . &&
		tar -xf usr/src/linux-source-6.12.tar.xz) || {
		echo "no linux-source-6.12: it is in Debian 13 and in bookworm-backports" >&2
		exit 1
	}
fi
if [ ! -e "$source/arch/x86/boot/bzImage" ]; then
	make -C "$source" allnoconfig
	(cd "$source" && scripts/kconfig/merge_config.sh -m .config "$OLDPWD/kernel/guest/debug-kernel.config")
	make -C "$source" olddefconfig
	make -C "$source" -j"$(nproc)" bzImage modules
fi

cp -r kernel/shim/. "$directory/module/"
objects=$(cargo xtask kernel objects --kasan)
cp "$(sed -n 1p <<<"$objects")" "$directory/module/rzcore.obj"
cp "$(sed -n 2p <<<"$objects")" "$directory/module/rzsimd.obj"
make -C "$source" M="$directory/module" modules

# KASAN needs memory and time of its own. With five levels of page tables it takes its own shadow for
# wild if an interrupt comes while the boot CPU is identified: that ends the checks of locks.
only=()
for test; do
	only+=(--only "$test")
done
cargo xtask kernel test --tree "$source" --module "$directory/module/ramzswap.ko" \
	--append no5lvl --memory-times 2 --timeout 7200 --keep "${only[@]}"
