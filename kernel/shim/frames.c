// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Frames of 64 KiB for the pool, and the shrinker that takes them back. */
#include <linux/atomic.h>
#include <linux/gfp.h>
#include <linux/jiffies.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/shrinker.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "shim.h"

#define FRAME_ORDER 4
#define FRAME_PAGES (1 << FRAME_ORDER)

static atomic64_t frames_mapped = ATOMIC64_INIT(0);

/*
 * While no memory is left at all, the reserves of the kernel included, nobody tries again to gather a
 * frame before so many jiffies are over: writes fail at once then, and the kernel is through with all
 * pages sooner.
 */
#define EXHAUSTED_FOR (HZ / 20 + 1)

/* Pages that are asked for at once when memory has been out for long: 1 MiB. */
#define ASKED_PAGES 256

static unsigned long exhausted_until = INITIAL_JIFFIES;

/* Sixteen single pages, mapped side by side. May sleep. */
static void *map_frame(gfp_t gfp)
{
	struct page **pages;
	void *frame = NULL;
	int i;

	pages = kmalloc_array(FRAME_PAGES, sizeof(*pages), gfp);
	if (!pages)
		return NULL;
	for (i = 0; i < FRAME_PAGES; i++) {
		pages[i] = alloc_page(gfp);
		if (!pages[i])
			break;
	}
	/* With VM_MAP_PUT_PAGES vfree() frees the pages and their array. */
	if (i == FRAME_PAGES)
		frame = vmap(pages, FRAME_PAGES, VM_MAP | VM_MAP_PUT_PAGES, PAGE_KERNEL);
	if (frame) {
		atomic64_inc(&frames_mapped);
		return frame;
	}
	while (i--)
		__free_page(pages[i]);
	kfree(pages);
	return NULL;
}

/*
 * A frame, or NULL. Without may_wait it never sleeps and leaves the kernel's reserves alone; with
 * it, it may use them, because what is stored in it frees more than it takes.
 */
void *rzk_frame_alloc(bool may_wait)
{
	gfp_t gfp = GFP_NOIO | __GFP_NOWARN;
	unsigned int noio;
	struct page *page;
	void *frame;
	bool ours;

	if (!may_wait) {
		page = alloc_pages(GFP_NOWAIT | __GFP_NOWARN | __GFP_NOMEMALLOC, FRAME_ORDER);
		return page ? page_address(page) : NULL;
	}
	might_sleep();
	if (time_before(jiffies, READ_ONCE(exhausted_until)))
		return NULL;
	/*
	 * A thread of a device gets ahead of writers, who help themselves: it takes what is free. It must not
	 * reclaim, for which it would scan all pages in vain: those that can be reclaimed are to be written, and
	 * it must not start that.
	 */
	ours = rzk_in_own_thread();
	if (ours)
		gfp = GFP_NOWAIT | __GFP_NOWARN;
	page = alloc_pages(gfp | __GFP_NORETRY | __GFP_NOMEMALLOC, FRAME_ORDER);
	if (page)
		return page_address(page);
	/* vmap() takes page tables for itself, and must not start I/O for them either. */
	noio = memalloc_noio_save();
	frame = map_frame(gfp);
	memalloc_noio_restore(noio);
	/* To a thread of a device the reserves are closed: that it finds none says little. */
	if (!frame && !ours)
		WRITE_ONCE(exhausted_until, jiffies + EXHAUSTED_FOR);
	return frame;
}

/* May be called where rzk_frame_alloc(true) may. */
void rzk_frame_free(void *frame)
{
	if (is_vmalloc_addr(frame)) {
		atomic64_dec(&frames_mapped);
		vfree(frame);
	} else {
		free_pages((unsigned long)frame, FRAME_ORDER);
	}
}

/* Frames of all devices that are made of single pages. */
u64 rzk_frames_vmapped(void)
{
	return atomic64_read(&frames_mapped);
}

/* Whether a page cannot be had without trying harder. Leaves the kernel's reserves alone. May sleep. */
bool rzk_memory_exhausted(void)
{
	struct page *page = alloc_page(GFP_NOIO | __GFP_NOWARN | __GFP_NORETRY | __GFP_NOMEMALLOC);

	if (!page)
		return true;
	__free_page(page);
	return false;
}

/*
 * Asks for some memory until the kernel has it, for which it kills a program if it must: for more than
 * comes free by itself if programs take each other's pages. It may free what file systems hold, but
 * write no page: our own devices are full. Called by a thread of a device that holds nothing; sleeps.
 */
void rzk_reclaim_or_oom(void)
{
	unsigned int flags = current->flags & PF_MEMALLOC_NOIO;
	struct page *page, *next;
	LIST_HEAD(pages);
	int nice = task_nice(current);
	int left = ASKED_PAGES;

	/* Those who wait for memory have the processors busy. */
	set_user_nice(current, MIN_NICE);
	/* It would forbid __GFP_FS, without which the OOM killer is not called. */
	current->flags &= ~PF_MEMALLOC_NOIO;
	while (left--) {
		page = alloc_page((GFP_KERNEL & ~__GFP_IO) | __GFP_NOWARN);
		if (!page)
			break;
		list_add(&page->lru, &pages);
	}
	current->flags |= flags;
	set_user_nice(current, nice);
	list_for_each_entry_safe(page, next, &pages, lru)
		__free_page(page);
}

struct rzk_shrinker {
#ifdef RZK_PROBE_SHRINKER_ALLOC
	struct shrinker *kernels;
#else
	struct shrinker own;
#endif
	struct rz_live *live;
};

static struct rzk_shrinker *shrinker_of(struct shrinker *shrinker)
{
#ifdef RZK_PROBE_SHRINKER_ALLOC
	return shrinker->private_data;
#else
	return container_of(shrinker, struct rzk_shrinker, own);
#endif
}

static unsigned long count_objects(struct shrinker *shrinker, struct shrink_control *control)
{
	return rz_shrinker_count(shrinker_of(shrinker)->live);
}

static unsigned long scan_objects(struct shrinker *shrinker, struct shrink_control *control)
{
	u64 pages = rz_shrinker_scan(shrinker_of(shrinker)->live, control->nr_to_scan);

	return pages ? pages : SHRINK_STOP;
}

struct rzk_shrinker *rzk_shrinker_register(u32 number, struct rz_live *live)
{
	struct rzk_shrinker *shrinker = kzalloc(sizeof(*shrinker), GFP_KERNEL);
	struct shrinker *kernels;

	if (!shrinker)
		return NULL;
	shrinker->live = live;
#ifdef RZK_PROBE_SHRINKER_ALLOC
	kernels = shrinker_alloc(0, RZK_NAME "%u", number);
	if (!kernels)
		goto failed;
	kernels->private_data = shrinker;
	shrinker->kernels = kernels;
#else
	kernels = &shrinker->own;
#endif
	kernels->count_objects = count_objects;
	kernels->scan_objects = scan_objects;
	kernels->seeks = DEFAULT_SEEKS;
#ifdef RZK_PROBE_SHRINKER_ALLOC
	shrinker_register(kernels);
#else
	if (register_shrinker(kernels, RZK_NAME "%u", number))
		goto failed;
#endif
	return shrinker;

failed:
	kfree(shrinker);
	return NULL;
}

void rzk_shrinker_unregister(struct rzk_shrinker *shrinker)
{
	if (!shrinker)
		return;
#ifdef RZK_PROBE_SHRINKER_ALLOC
	shrinker_free(shrinker->kernels);
#else
	unregister_shrinker(&shrinker->own);
#endif
	kfree(shrinker);
}
