// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Can a page be read or written without a bio (until 6.2)? */
#include <linux/blkdev.h>

static int rw_page(struct block_device *bdev, sector_t sector, struct page *page, enum req_op op)
{
	return 0;
}

const struct block_device_operations probe = { .rw_page = rw_page };
