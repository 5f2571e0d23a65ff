// SPDX-License-Identifier: GPL-2.0 OR MIT
/* The module: parameters, messages, start and end. */
#include <linux/blkdev.h>
#include <linux/bug.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/printk.h>
#include <linux/sysfs.h>
#include <asm/cpufeature.h>
#include <asm/fpu/api.h>
#include <asm/fpu/xcr.h>
#include <asm/fpu/types.h>

#include "shim.h"

static ulong num_devices = 1;
module_param(num_devices, ulong, 0444);
MODULE_PARM_DESC(num_devices, "number of devices, 1 to 32 (default 1)");

/* A size that was set to 0 is refused; one that was not set is 0, too. */
struct size {
	ulong kb;
	bool set;
};

static int set_size(const char *text, const struct kernel_param *parameter)
{
	struct size *size = parameter->arg;
	/* Which kstrtoul takes, and the attributes and the commands do not. */
	int error = *text == '+' ? -EINVAL : kstrtoul(text, 0, &size->kb);

	size->set = !error;
	return error;
}

static int show_size(char *buffer, const struct kernel_param *parameter)
{
	const struct size *size = parameter->arg;

	return sysfs_emit(buffer, "%lu\n", size->kb);
}

static const struct kernel_param_ops size_operations = {
	.set = set_size,
	.get = show_size,
};

static struct size disksize_kb;
module_param_cb(disksize_kb, &size_operations, &disksize_kb, 0444);
__MODULE_PARM_TYPE(disksize_kb, "ulong");
MODULE_PARM_DESC(disksize_kb, "size of device 0 in kB; initialises it");

static struct size memlimit_kb;
module_param_cb(memlimit_kb, &size_operations, &memlimit_kb, 0444);
__MODULE_PARM_TYPE(memlimit_kb, "ulong");
MODULE_PARM_DESC(memlimit_kb, "most memory for the pages of device 0 in kB; initialises it");

static char *backing_swap;
module_param(backing_swap, charp, 0444);
MODULE_PARM_DESC(backing_swap, "swap area (partition or file) behind device 0; initialises it");

static char *codec;
module_param(codec, charp, 0444);
MODULE_PARM_DESC(codec, "codec of new devices (default wks)");

/* The core decides if it was not set. The value comes first, for the kernel's functions of a bool. */
struct choice {
	bool value;
	bool set;
};

static int set_choice(const char *text, const struct kernel_param *parameter)
{
	struct choice *choice = parameter->arg;
	int error = param_set_bool(text, parameter);

	choice->set = !error;
	return error;
}

static const struct kernel_param_ops choice_operations = {
	.flags = KERNEL_PARAM_OPS_FL_NOARG,
	.set = set_choice,
	.get = param_get_bool,
};

static struct choice synchronous = { .value = true };
module_param_cb(synchronous, &choice_operations, &synchronous, 0444);
__MODULE_PARM_TYPE(synchronous, "bool");
MODULE_PARM_DESC(synchronous, "swap without read-ahead and without copies of pages that were read back (default 1, with a backing swap 0)");

static bool simd = true;
module_param(simd, bool, 0444);
MODULE_PARM_DESC(simd, "use vector instructions if the processor has them (default 1)");

static bool debug;
module_param(debug, bool, 0444);
MODULE_PARM_DESC(debug, "offer the attribute debug_flip, which damages a page (default 0)");

u32 rzk_features(void)
{
	u32 has = 0;

#ifdef RZK_PROBE_SLOT_FREE_NOTIFY
	has |= RZK_HAS_FREE_NOTIFY;
#endif
#if defined(RZK_PROBE_RW_PAGE) || defined(QUEUE_FLAG_SYNCHRONOUS) || defined(BLK_FEAT_SYNCHRONOUS)
	has |= RZK_HAS_SYNCHRONOUS;
#endif
#ifdef RZK_PROBE_ZSTD
	has |= RZK_HAS_ZSTD;
#endif
	if (boot_cpu_has(X86_FEATURE_XMM4_2))
		has |= RZK_HAS_CRC32;
	/* All that the vector object is compiled for, and the kernel saves these registers. */
	if (boot_cpu_has(X86_FEATURE_AVX2) && boot_cpu_has(X86_FEATURE_BMI1) &&
	    boot_cpu_has(X86_FEATURE_BMI2) && boot_cpu_has(X86_FEATURE_POPCNT) &&
	    boot_cpu_has(X86_FEATURE_ABM) &&
	    cpu_has_xfeatures(XFEATURE_MASK_SSE | XFEATURE_MASK_YMM, NULL))
		has |= RZK_HAS_AVX2;
	return has;
}

/*
 * A line that names its device. It may quote what was asked for: whatever is in that, it stays one
 * line, and sends a terminal that shows the log nothing but text.
 */
void rzk_print(u32 level, const char *text, size_t length)
{
	switch (level) {
	case RZK_LOG_ERROR:
		pr_err("%*pE\n", (int)length, text);
		break;
	case RZK_LOG_WARNING:
		pr_warn("%*pE\n", (int)length, text);
		break;
	case RZK_LOG_INFO:
		pr_info("%*pE\n", (int)length, text);
		break;
	case RZK_LOG_FAILED_READ:
		pr_err_ratelimited("%*pE\n", (int)length, text);
		break;
	case RZK_LOG_FAILED_STORE:
		pr_err_ratelimited("%*pE\n", (int)length, text);
		break;
	case RZK_LOG_REFUSED:
		pr_err_ratelimited("%*pE\n", (int)length, text);
		break;
	}
}

void rzk_bug(void)
{
	BUG();
}

static int __init ramzswap_init(void)
{
	struct rzk_parameters parameters = {
		.num_devices = num_devices,
		.disksize_kb = disksize_kb.kb,
		.memlimit_kb = memlimit_kb.kb,
		.backing_swap = backing_swap,
		.codec = codec,
		.synchronous = synchronous.value,
		.simd = simd,
		.debug = debug,
		.set = (disksize_kb.set ? RZK_SET_DISKSIZE : 0) |
		       (memlimit_kb.set ? RZK_SET_MEMLIMIT : 0) |
		       (backing_swap ? RZK_SET_BACKING : 0) |
		       (synchronous.set ? RZK_SET_SYNCHRONOUS : 0),
	};
	int error;

	error = rzk_register_blkdev();
	if (error)
		return error;
	error = rz_init(&parameters);
	if (error)
		rzk_unregister_blkdev();
	return error;
}

static void __exit ramzswap_exit(void)
{
	rz_exit();
	rzk_unregister_blkdev();
}

module_init(ramzswap_init);
module_exit(ramzswap_exit);

MODULE_DESCRIPTION("Compressed swap devices in memory");
MODULE_AUTHOR("The compcache developers");
/* The core is MIT OR Apache-2.0; what is compiled here is GPL-2.0 OR MIT. */
MODULE_LICENSE("Dual MIT/GPL");
