// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that must wait: for the backing swap, or for memory. A work queue with a rescuer goes on
 * with them, so that whoever submitted them does not wait, and so that they get on when there is
 * no memory for another thread.
 */
#include <linux/bug.h>
#include <linux/mempool.h>
#include <linux/sched/mm.h>
#include <linux/string.h>
#include <linux/workqueue.h>

#include "shim.h"

/* What the core keeps of a request, in words (deferred.rs). */
#define KEPT_WORDS 20

struct deferral {
	struct work_struct work;
	struct rz_live *live;
	u64 kept[KEPT_WORDS];
};

/* Requests that are sure to find a place. */
#define RESERVED 64

static mempool_t *deferrals;
static struct workqueue_struct *queue;

int rzk_deferrals_start(void)
{
	deferrals = mempool_create_kmalloc_pool(RESERVED, sizeof(struct deferral));
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
	struct deferral *deferral = container_of(work, struct deferral, work);
	struct deferral copy = *deferral;
	unsigned int noio;

	/* Others may wait for its place while this one waits for the backing swap. */
	mempool_free(deferral, deferrals);
	noio = memalloc_noio_save();
	rz_deferred(copy.live, copy.kept);
	memalloc_noio_restore(noio);
}

/* Has rz_deferred() called with a copy of what is kept. May sleep. */
void rzk_defer(struct rz_live *live, const void *kept, size_t length)
{
	struct deferral *deferral = mempool_alloc(deferrals, GFP_NOIO);

	INIT_WORK(&deferral->work, run);
	deferral->live = live;
	if (WARN_ON_ONCE(length > sizeof(deferral->kept)))
		length = sizeof(deferral->kept);
	memcpy(deferral->kept, kept, length);
	queue_work(queue, &deferral->work);
}
