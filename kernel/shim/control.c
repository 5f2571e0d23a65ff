// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Control: sysfs attributes, and what the ioctls need. */
#include <linux/blkdev.h>
#include <linux/capability.h>
#include <linux/device.h>
#include <linux/sysfs.h>
#include <linux/uaccess.h>

#include "shim.h"

bool rzk_capable_sys_admin(void)
{
	return capable(CAP_SYS_ADMIN);
}

int rzk_copy_from_user(void *to, u64 from, size_t length)
{
	return copy_from_user(to, u64_to_user_ptr(from), length) ? -EFAULT : 0;
}

int rzk_copy_to_user(u64 to, const void *from, size_t length)
{
	return copy_to_user(u64_to_user_ptr(to), from, length) ? -EFAULT : 0;
}

/* An attribute, and the number by which the core knows it (device/attributes.rs). */
struct numbered_attribute {
	struct device_attribute kernels;
	u32 number;
};

static u32 number_of(struct device_attribute *attribute)
{
	return container_of(attribute, struct numbered_attribute, kernels)->number;
}

static ssize_t show(struct device *dev, struct device_attribute *attribute, char *buffer)
{
	return rz_attribute_show(rzk_device_of(dev_to_disk(dev)), number_of(attribute), buffer,
				 PAGE_SIZE);
}

static ssize_t store(struct device *dev, struct device_attribute *attribute, const char *text,
		     size_t length)
{
	return rz_attribute_store(rzk_device_of(dev_to_disk(dev)), number_of(attribute), text,
				  length);
}

#define READ_ONLY(name_, number_) \
	static struct numbered_attribute name_ = { __ATTR(name_, 0444, show, NULL), number_ }
#define READ_WRITE(name_, number_) \
	static struct numbered_attribute name_ = { __ATTR(name_, 0644, show, store), number_ }
#define WRITE_ONLY(name_, number_) \
	static struct numbered_attribute name_ = { __ATTR(name_, 0200, NULL, store), number_ }

READ_WRITE(disksize, 0);
READ_ONLY(initstate, 1);
WRITE_ONLY(reset, 2);
READ_WRITE(mem_limit, 3);
READ_WRITE(comp_algorithm, 4);
READ_WRITE(backing_dev, 5);
READ_ONLY(mm_stat, 6);
READ_ONLY(io_stat, 7);
READ_ONLY(bd_stat, 8);
READ_WRITE(recompress_algorithm, 9);
READ_WRITE(recompress_after, 10);
READ_WRITE(recompress_cpu, 11);
READ_ONLY(latency, 12);
READ_ONLY(checksum_failures, 13);
READ_ONLY(stats, 14);
READ_ONLY(features, 15);
WRITE_ONLY(debug_flip, 16);

static struct attribute *attributes[] = {
	&disksize.kernels.attr,
	&initstate.kernels.attr,
	&reset.kernels.attr,
	&mem_limit.kernels.attr,
	&comp_algorithm.kernels.attr,
	&backing_dev.kernels.attr,
	&mm_stat.kernels.attr,
	&io_stat.kernels.attr,
	&bd_stat.kernels.attr,
	&recompress_algorithm.kernels.attr,
	&recompress_after.kernels.attr,
	&recompress_cpu.kernels.attr,
	&latency.kernels.attr,
	&checksum_failures.kernels.attr,
	&stats.kernels.attr,
	&features.kernels.attr,
	&debug_flip.kernels.attr,
	NULL,
};

static umode_t is_visible(struct kobject *kobject, struct attribute *attribute, int index)
{
	return rz_attribute_visible(index) ? attribute->mode : 0;
}

static const struct attribute_group group = {
	.attrs = attributes,
	.is_visible = is_visible,
};

const struct attribute_group *rzk_attribute_groups[] = {
	&group,
	NULL,
};
