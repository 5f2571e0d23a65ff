// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Memory for the core's own structures. Process context only: all of it may sleep. */
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/random.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include "shim.h"

static void *alloc(size_t size, size_t align, gfp_t flags)
{
	might_sleep();
	if (align > PAGE_SIZE)
		return NULL;
	/* kvmalloc aligns a power of two to itself, and everything else to eight bytes. */
	if (align > 8)
		size = roundup_pow_of_two(max(size, align));
	return kvmalloc(size, GFP_KERNEL | __GFP_NOWARN | flags);
}

void *rzk_alloc(size_t size, size_t align)
{
	return alloc(size, align, 0);
}

void *rzk_alloc_zeroed(size_t size, size_t align)
{
	return alloc(size, align, __GFP_ZERO);
}

void rzk_free(void *memory)
{
	kvfree(memory);
}

/* A table that may be as large as a share of the memory; zeroed. */
void *rzk_vzalloc(size_t size)
{
	return __vmalloc(size, GFP_KERNEL | __GFP_ZERO | __GFP_NOWARN | __GFP_RETRY_MAYFAIL);
}

void rzk_vfree(void *memory)
{
	vfree(memory);
}

void rzk_get_random_bytes(void *bytes, size_t length)
{
	get_random_bytes(bytes, length);
}

u64 rzk_totalram_bytes(void)
{
	return (u64)totalram_pages() << PAGE_SHIFT;
}
