// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Is a block device opened and closed with its holder (6.5 and 6.6)? */
#include <linux/blkdev.h>

void probe(const char *path);
void probe(const char *path)
{
	blkdev_put(blkdev_get_by_path(path, BLK_OPEN_READ, NULL, NULL), NULL);
}
