// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that must wait: for the backing swap, or for memory. Work queues with rescuers go on with
 * them, so that whoever submitted them does not wait, and so that they get on when there is no memory
 * for another thread.
 *
 * There are two, because a request may wait for another one: the writes whose pages are in transit
 * already have a queue in which nobody waits for such pages, so that they are sure of their turn
 * however many wait for them in the other.
 */
#include <linux/container_of.h>
#include <linux/mempool.h>
#include <linux/sched/mm.h>
#include <linux/workqueue.h>

#include "shim.h"

/* Memory of the core's for a request, in words (deferred.rs). */
#define MEMORY_WORDS 200

struct deferred_bio {
	struct work_struct work;
	struct rz_live *live;
	u64 memory[MEMORY_WORDS];
};

/* Requests that are sure to find a place, however little memory there is. */
#define RESERVED 16

/* Requests that are under way at once, at most. */
#define AT_ONCE 64

static mempool_t *pool;
/* Those that may wait for pages in transit, and those that may not. */
static struct workqueue_struct *waiting, *moving;

static struct workqueue_struct *new_queue(const char *name)
{
	return alloc_workqueue("%s", WQ_MEM_RECLAIM | WQ_UNBOUND | WQ_HIGHPRI, AT_ONCE, name);
}

int rzk_workqueues_alloc(void)
{
	pool = mempool_create_kmalloc_pool(RESERVED, sizeof(struct deferred_bio));
	if (!pool)
		return -ENOMEM;
	waiting = new_queue(RZK_NAME);
	if (!waiting)
		goto no_waiting;
	moving = new_queue(RZK_NAME "_move");
	if (!moving)
		goto no_moving;
	return 0;

no_moving:
	destroy_workqueue(waiting);
no_waiting:
	mempool_destroy(pool);
	return -ENOMEM;
}

void rzk_workqueues_destroy(void)
{
	destroy_workqueue(moving);
	destroy_workqueue(waiting);
	mempool_destroy(pool);
}

static void run(struct deferred_bio *deferred, bool may_wait)
{
	unsigned int noio = memalloc_noio_save();
	bool ended = rz_work_run(deferred->live, deferred->memory, may_wait);

	memalloc_noio_restore(noio);
	if (ended)
		mempool_free(deferred, pool);
	else
		rzk_work_queue(deferred->memory, true);
}

static void run_waiting(struct work_struct *work)
{
	run(container_of(work, struct deferred_bio, work), true);
}

static void run_moving(struct work_struct *work)
{
	run(container_of(work, struct deferred_bio, work), false);
}

/*
 * Memory for a request that is to be deferred; its size is *size. NULL if there is none and the
 * caller may not wait for that of another request. May sleep if it may wait.
 */
void *rzk_work_alloc(struct rz_live *live, bool may_wait, size_t *size)
{
	struct deferred_bio *deferred = mempool_alloc(pool, may_wait ? GFP_NOIO :
						  GFP_NOWAIT | __GFP_NOWARN);

	if (!deferred)
		return NULL;
	deferred->live = live;
	*size = sizeof(deferred->memory);
	return deferred->memory;
}

/*
 * Has rz_work_run() called with the memory, which is freed when that has ended the request. If it
 * may not wait and has to, it is called once more, and then it may.
 */
void rzk_work_queue(void *memory, bool may_wait)
{
	struct deferred_bio *deferred = container_of(memory, struct deferred_bio, memory[0]);

	INIT_WORK(&deferred->work, may_wait ? run_waiting : run_moving);
	queue_work(may_wait ? waiting : moving, &deferred->work);
}
