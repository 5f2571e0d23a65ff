// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Is a disk opened by its gendisk, with a mode of the block layer's own (from 6.5)? */
#include <linux/blkdev.h>

static int open_disk(struct gendisk *disk, blk_mode_t mode)
{
	return 0;
}

const struct block_device_operations probe = { .open = open_disk };
