// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Does freezing a queue return flags to thaw it with (from 6.14)? */
#include <linux/blk-mq.h>

void probe(struct request_queue *queue);
void probe(struct request_queue *queue)
{
	unsigned int flags = blk_mq_freeze_queue(queue);

	blk_mq_unfreeze_queue(queue, flags);
}
