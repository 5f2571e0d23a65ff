// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that must wait: for the backing swap, or for memory. Threads of our own go on with them, so
 * that whoever submitted them does not wait. They never wait for a disk: the end of a transfer queues
 * its request once more, so that as many can be on their way as the disk takes.
 *
 * They are no work queues: when memory is out, which is when pages are swapped out, a work queue wants
 * another thread, gets none, and its rescuer looks ten times a second for what has come meanwhile. A
 * kernel that waits for each page then swaps out ten pages a second.
 *
 * There are two, because a request may wait for another one: the writes whose pages are in transit
 * already have a thread that waits for no such page, so that they are sure of their turn however many
 * wait for them in the other.
 */
#include <linux/container_of.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/mempool.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>

#include "shim.h"

/* Memory of the core's for a request, in words (deferred.rs). */
#define MEMORY_WORDS 200

struct deferred_bio {
	struct kthread_work work;
	struct rz_live *live;
	struct rzk_mover mover;
	u64 memory[MEMORY_WORDS];
};

/* Requests that are sure to find a place, however little memory there is. */
#define RESERVED 16

/* Before this was the name of one that is awake, the other woke it, too. */
#ifndef kthread_run_worker
#define kthread_run_worker kthread_create_worker
#endif

static mempool_t *pool;
/* That of requests that may wait for pages in transit, and that of those that may not. */
static struct kthread_worker *waiting, *moving;

static struct kthread_worker *new_worker(const char *name)
{
	struct kthread_worker *worker = kthread_run_worker(0, "%s", name);

	if (!IS_ERR(worker))
		set_user_nice(worker->task, MIN_NICE);
	return worker;
}

int rzk_workers_alloc(void)
{
	int error = -ENOMEM;

	pool = mempool_create_kmalloc_pool(RESERVED, sizeof(struct deferred_bio));
	if (!pool)
		return error;
	waiting = new_worker(RZK_NAME "/wait");
	if (IS_ERR(waiting)) {
		error = PTR_ERR(waiting);
		goto no_waiting;
	}
	moving = new_worker(RZK_NAME "/move");
	if (IS_ERR(moving)) {
		error = PTR_ERR(moving);
		goto no_moving;
	}
	return 0;

no_moving:
	kthread_destroy_worker(waiting);
no_waiting:
	mempool_destroy(pool);
	return error;
}

void rzk_workers_destroy(void)
{
	kthread_destroy_worker(moving);
	kthread_destroy_worker(waiting);
	mempool_destroy(pool);
}

/* The pages of a run that have set out have arrived, or failed. In any context. */
static void moved(struct rzk_mover *mover)
{
	struct deferred_bio *deferred = container_of(mover, struct deferred_bio, mover);

	rzk_work_queue(deferred->memory, !mover->run.write);
}

/* Whoever gets the request next may run before this has returned: that is the last thing done to it. */
static void run(struct deferred_bio *deferred, bool may_wait)
{
	struct rzk_mover *mover = &deferred->mover;
	unsigned int noio = memalloc_noio_save();
	struct rzk_run next;

	if (mover->run.count && !mover->error) {
		rzk_mover_go_on(mover);
		goto out;
	}
	switch (rz_work_run(deferred->live, deferred->memory, may_wait, mover->error, &next)) {
	case RZK_WORK_ENDED:
		mempool_free(deferred, pool);
		break;
	case RZK_WORK_WAITS:
		mover->run.count = 0;
		mover->error = 0;
		rzk_work_queue(deferred->memory, true);
		break;
	case RZK_WORK_MOVES:
		mover->run = next;
		mover->at = next.from->at;
		mover->error = 0;
		rzk_mover_go_on(mover);
		break;
	}
out:
	memalloc_noio_restore(noio);
}

static void run_waiting(struct kthread_work *work)
{
	run(container_of(work, struct deferred_bio, work), true);
}

static void run_moving(struct kthread_work *work)
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
	deferred->mover.run.count = 0;
	deferred->mover.error = 0;
	deferred->mover.moved = moved;
	*size = sizeof(deferred->memory);
	return deferred->memory;
}

/*
 * Has rz_work_run() called with the memory, which is freed when that has ended the request. If it
 * may not wait and has to, it is called once more, and then it may; if it has a run to move, it is
 * called again when that is done, with how it went. In any context.
 */
void rzk_work_queue(void *memory, bool may_wait)
{
	struct deferred_bio *deferred = container_of(memory, struct deferred_bio, memory[0]);

	kthread_init_work(&deferred->work, may_wait ? run_waiting : run_moving);
	kthread_queue_work(may_wait ? waiting : moving, &deferred->work);
}
