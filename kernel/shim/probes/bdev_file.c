// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Is an open block device a file (from 6.9)? */
#include <linux/blkdev.h>

struct block_device *probe(const char *path);
struct block_device *probe(const char *path)
{
	return file_bdev(bdev_file_open_by_path(path, BLK_OPEN_READ, NULL, NULL));
}
