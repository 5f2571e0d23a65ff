// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Is a block device told which swap slots are freed? */
#include <linux/blkdev.h>

static void slot_freed(struct block_device *bdev, unsigned long index)
{
}

const struct block_device_operations probe = { .swap_slot_free_notify = slot_freed };
