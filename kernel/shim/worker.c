// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * Requests that must wait for a backing swap. Threads of its own go on with them, so that whoever
 * submitted them does not wait.
 *
 * Two serve: they do not wait for a disk (but for a page that was written while it was read), so that
 * what has arrived ends at once. A request may wait for another one: the writes whose pages are in
 * transit have a thread that waits for no such page, so that they are sure of their turn however many
 * wait for them in the other. Two send bios, one those that read, one those that write: each may have
 * to wait until the disk takes one more.
 *
 * They are no work queues: when memory is out, which is when pages are swapped out, a work queue wants
 * another thread, gets none, and its rescuer looks ten times a second for what has come meanwhile. A
 * kernel that waits for each page then swaps out ten pages a second.
 */
#include <linux/build_bug.h>
#include <linux/container_of.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/kthread.h>
#include <linux/mempool.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/semaphore.h>
#include <linux/slab.h>

#include "shim.h"

/* Memory of the core's for a request, in words (sys/mod.rs). */
#define MEMORY_WORDS 152

struct deferred_bio {
	struct kthread_work work;
	struct rz_live *live;
	struct rzk_mover mover;
	u64 memory[MEMORY_WORDS];
};

/* Requests that are sure to find memory, however little there is. */
#define RESERVED 16

/* Requests that write, and those that read, at once, at most: then submitters wait, as at a disk. */
#define AT_ONCE 128

/* Before this was the name of one that is awake, the other woke it, too. */
#ifndef kthread_run_worker
#define kthread_run_worker kthread_create_worker
#endif

/* What the threads do. */
enum role {
	/* Serve requests that may wait for pages in transit, and those that have some. */
	WAIT,
	MOVE,
	/* Send bios that read, and those that write. */
	READ_BIOS,
	WRITE_BIOS,
	ROLES,
};

static const char *const names[ROLES] = { "wait", "move", "read", "write" };

struct rzk_workers {
	mempool_t *pool;
	/* Of reads and of writes. */
	struct semaphore places[2];
	struct kthread_worker *threads[ROLES];
};

static struct rzk_workers *workers_of(struct rzk_backing *backing)
{
	return *rzk_backing_workers(backing);
}

/* Starts those of a backing swap of device `number`. -ENOMEM if there is no memory. May sleep. */
int rzk_workers_start(struct rzk_backing *backing, u32 number)
{
	struct rzk_workers *workers = kzalloc(sizeof(*workers), GFP_KERNEL);
	struct kthread_worker *thread;
	int role;

	BUILD_BUG_ON(sizeof(struct deferred_bio) > 2048);
	if (!workers)
		return -ENOMEM;
	*rzk_backing_workers(backing) = workers;
	sema_init(&workers->places[0], AT_ONCE);
	sema_init(&workers->places[1], AT_ONCE);
	workers->pool = mempool_create_kmalloc_pool(RESERVED, sizeof(struct deferred_bio));
	if (!workers->pool)
		goto failed;
	for (role = 0; role < ROLES; role++) {
		thread = kthread_run_worker(0, RZK_NAME "%u/%s", number, names[role]);
		if (IS_ERR(thread))
			goto failed;
		set_user_nice(thread->task, MIN_NICE);
		workers->threads[role] = thread;
	}
	return 0;

failed:
	rzk_workers_stop(backing);
	return -ENOMEM;
}

/* Stops them, if they were started. All requests must have ended. May sleep. */
void rzk_workers_stop(struct rzk_backing *backing)
{
	struct rzk_workers *workers = workers_of(backing);
	int role;

	if (!workers)
		return;
	*rzk_backing_workers(backing) = NULL;
	for (role = 0; role < ROLES; role++)
		if (workers->threads[role])
			kthread_destroy_worker(workers->threads[role]);
	/* Which takes NULL, too. */
	mempool_destroy(workers->pool);
	kfree(workers);
}

static void queue(struct deferred_bio *deferred, enum role role, kthread_work_func_t work)
{
	struct rzk_workers *workers = workers_of(deferred->mover.backing);

	kthread_init_work(&deferred->work, work);
	kthread_queue_work(workers->threads[role], &deferred->work);
}

static void serve(struct kthread_work *work);

/*
 * Memory that a bio takes on its way is given back with the pages that it writes, so it may be of the
 * reserves: as in reclaim, where the kernel sends its own.
 */
static void send(struct kthread_work *work)
{
	struct deferred_bio *deferred = container_of(work, struct deferred_bio, work);
	bool write = deferred->mover.write;
	unsigned int noio = memalloc_noio_save();
	unsigned int noreclaim = write ? memalloc_noreclaim_save() : 0;

	rzk_mover_go_on(&deferred->mover);
	if (write)
		memalloc_noreclaim_restore(noreclaim);
	memalloc_noio_restore(noio);
}

static void queue_send(struct deferred_bio *deferred)
{
	queue(deferred, deferred->mover.write ? WRITE_BIOS : READ_BIOS, send);
}

/* The pages of a run that have set out have arrived, or failed. In any context. */
static void moved(struct rzk_mover *mover)
{
	struct deferred_bio *deferred = container_of(mover, struct deferred_bio, mover);

	if (mover->run.count && !mover->error)
		queue_send(deferred);
	else
		queue(deferred, mover->write ? MOVE : WAIT, serve);
}

/* Whoever gets the request next may run before this has returned: that is the last thing done to it. */
static void serve(struct kthread_work *work)
{
	struct deferred_bio *deferred = container_of(work, struct deferred_bio, work);
	struct rzk_mover *mover = &deferred->mover;
	struct rzk_workers *workers = workers_of(mover->backing);
	unsigned int noio = memalloc_noio_save();
	bool write = mover->write;
	struct rzk_run next;

	switch (rz_work_run(deferred->live, deferred->memory, mover->error, &next)) {
	case RZK_WORK_ENDED:
		mempool_free(deferred, workers->pool);
		up(&workers->places[write]);
		break;
	case RZK_WORK_WAITS:
		mover->error = 0;
		/* What it waits for takes a disk's time. */
		if (current == workers->threads[WAIT]->task)
			usleep_range(50, 200);
		queue(deferred, WAIT, serve);
		break;
	case RZK_WORK_MOVES:
		mover->run = next;
		mover->at = next.from->at;
		mover->error = 0;
		queue_send(deferred);
		break;
	}
	memalloc_noio_restore(noio);
}

/*
 * Memory for a request that is to be deferred; its size is *size. NULL if there is none and the
 * caller may not wait for that of another request. May sleep if it may wait.
 */
void *rzk_work_alloc(struct rzk_backing *backing, struct rz_live *live, bool write, bool may_wait,
		     size_t *size)
{
	struct rzk_workers *workers = workers_of(backing);
	struct deferred_bio *deferred;

	if (may_wait)
		down(&workers->places[write]);
	else if (down_trylock(&workers->places[write]))
		return NULL;
	deferred = mempool_alloc(workers->pool, may_wait ? GFP_NOIO : GFP_NOWAIT | __GFP_NOWARN);
	if (!deferred) {
		up(&workers->places[write]);
		return NULL;
	}
	deferred->live = live;
	deferred->mover.backing = backing;
	deferred->mover.write = write;
	deferred->mover.run.count = 0;
	deferred->mover.error = 0;
	deferred->mover.moved = moved;
	*size = sizeof(deferred->memory);
	return deferred->memory;
}

/*
 * Has rz_work_run() called with the memory, which is freed when that has ended the request. If it has
 * to wait for a page in transit, it is called again later; if it has a run to move, when that is done,
 * with how it went. in_transit: the request has such pages itself.
 */
void rzk_work_queue(void *memory, bool in_transit)
{
	queue(container_of(memory, struct deferred_bio, memory[0]), in_transit ? MOVE : WAIT, serve);
}
