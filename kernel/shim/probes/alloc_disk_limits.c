// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Is a disk made with its queue's limits (from 6.9)? */
#include <linux/blkdev.h>

struct gendisk *probe(void);
struct gendisk *probe(void)
{
	struct queue_limits limits = { .logical_block_size = 4096 };

	return blk_alloc_disk(&limits, NUMA_NO_NODE);
}
