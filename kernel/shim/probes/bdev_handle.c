// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Is an open block device a handle (6.7 and 6.8)? */
#include <linux/blkdev.h>

struct block_device *probe(const char *path);
struct block_device *probe(const char *path)
{
	return bdev_open_by_path(path, BLK_OPEN_READ, NULL, NULL)->bdev;
}
