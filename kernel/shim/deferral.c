// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that must wait: for the backing swap, or for memory. A work queue with a rescuer goes on
 * with them, so that whoever submitted them does not wait, and so that they get on when there is
 * no memory for another thread.
 */
#include <linux/bio.h>
#include <linux/mempool.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "shim.h"

struct rzk_deferral {
	struct work_struct work;
	struct rz_live *live;
	struct bio *bio;
	struct rzk_cursor cursor;
	u64 started;
};

/* Requests that are sure to find a place. */
#define RESERVED 64

static mempool_t *deferrals;
static struct workqueue_struct *queue;

int rzk_deferrals_start(void)
{
	deferrals = mempool_create_kmalloc_pool(RESERVED, sizeof(struct rzk_deferral));
	if (!deferrals)
		return -ENOMEM;
	queue = alloc_workqueue(RZK_NAME, WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_HIGHPRI, RESERVED);
	if (!queue) {
		mempool_destroy(deferrals);
		return -ENOMEM;
	}
	return 0;
}

void rzk_deferrals_stop(void)
{
	destroy_workqueue(queue);
	mempool_destroy(deferrals);
}

static void run(struct work_struct *work)
{
	struct rzk_deferral *deferral = container_of(work, struct rzk_deferral, work);
	struct rzk_deferral copy = *deferral;
	unsigned int noio;

	/* Others may wait for its place while this one waits for the backing swap. */
	mempool_free(deferral, deferrals);
	noio = memalloc_noio_save();
	rz_deferred(copy.live, copy.bio, &copy.cursor, copy.started);
	memalloc_noio_restore(noio);
}

/* Has rz_deferred() called for the rest of a request, from the cursor on. May sleep. */
void rzk_defer(struct rz_live *live, struct bio *bio, const struct rzk_cursor *cursor, u64 started)
{
	struct rzk_deferral *deferral = mempool_alloc(deferrals, GFP_NOIO);

	INIT_WORK(&deferral->work, run);
	deferral->live = live;
	deferral->bio = bio;
	deferral->cursor = *cursor;
	deferral->started = started;
	queue_work(queue, &deferral->work);
}
