// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that must wait: for the backing swap, or for memory. A work queue with a rescuer goes on
 * with them, so that whoever submitted them does not wait, and so that they get on when there is
 * no memory for another thread.
 */
#include <linux/container_of.h>
#include <linux/mempool.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "shim.h"

/* Memory of the core's for a request, in words (deferred.rs). */
#define MEMORY_WORDS 200

struct deferral {
	struct work_struct work;
	struct rz_live *live;
	u64 memory[MEMORY_WORDS];
};

/* Requests that are sure to find a place, however little memory there is. */
#define RESERVED 16

/* Requests that are under way at once, at most. */
#define AT_ONCE 64

static mempool_t *deferrals;
static struct workqueue_struct *queue;

int rzk_deferrals_start(void)
{
	deferrals = mempool_create_kmalloc_pool(RESERVED, sizeof(struct deferral));
	if (!deferrals)
		return -ENOMEM;
	queue = alloc_workqueue(RZK_NAME, WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_HIGHPRI, AT_ONCE);
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
	unsigned int noio = memalloc_noio_save();

	rz_deferred(deferral->live, deferral->memory);
	memalloc_noio_restore(noio);
	mempool_free(deferral, deferrals);
}

/* Memory for a request that is to be deferred; its size is *size. May sleep. */
void *rzk_deferral_new(struct rz_live *live, size_t *size)
{
	struct deferral *deferral = mempool_alloc(deferrals, GFP_NOIO);

	INIT_WORK(&deferral->work, run);
	deferral->live = live;
	*size = sizeof(deferral->memory);
	return deferral->memory;
}

/* Has rz_deferred() called with the memory, which is freed when that has returned. */
void rzk_deferral_queue(void *memory)
{
	struct deferral *deferral = container_of(memory, struct deferral, memory[0]);

	queue_work(queue, &deferral->work);
}
