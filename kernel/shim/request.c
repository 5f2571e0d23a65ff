// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Requests: their pages, one by one, and their end. */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/build_bug.h>
#include <linux/highmem.h>
#include <linux/pagemap.h>

#include "shim.h"

static u32 kind_of(struct bio *bio)
{
	switch (bio_op(bio)) {
	case REQ_OP_READ:
		return RZK_READ;
	case REQ_OP_WRITE:
		return RZK_WRITE;
	case REQ_OP_DISCARD:
	case REQ_OP_WRITE_ZEROES:
		return RZK_DISCARD;
	default:
		return RZK_OTHER;
	}
}

/* Process context. */
void rzk_submit_bio(struct bio *bio)
{
	rz_submit_bio(rzk_device_of(bio->bi_bdev->bd_disk), bio, kind_of(bio), bio->bi_iter.bi_sector,
		  bio->bi_iter.bi_size);
}

/* Begins to account for a request in the disk's statistics; the result is for rzk_bio_end_io(). */
u64 rzk_bio_start_io_acct(struct bio *bio)
{
	return bio_start_io_acct(bio);
}

/* Ends a request, with 0 or a negative error number. It is gone afterwards. */
void rzk_bio_end_io(struct bio *bio, int error, u64 started)
{
	bio_end_io_acct(bio, started);
	bio->bi_status = errno_to_blk_status(error);
	bio_endio(bio);
}

/* Ends a request that was not accounted for. */
void rzk_bio_fail(struct bio *bio, int error)
{
	bio->bi_status = errno_to_blk_status(error);
	bio_endio(bio);
}

void rzk_bio_iter_init(struct bio *bio, struct rzk_bio_iter *iter)
{
	BUILD_BUG_ON(sizeof(*iter) > 3 * sizeof(u64));
	iter->at = bio->bi_iter;
}

/* Maps the page at the iterator; NULL if what is there is no whole page. */
void *rzk_bio_kmap(struct bio *bio, const struct rzk_bio_iter *iter)
{
	struct bio_vec segment = bio_iter_iovec(bio, iter->at);

	if (segment.bv_offset || segment.bv_len != PAGE_SIZE)
		return NULL;
	return kmap_local_page(segment.bv_page);
}

/* Unmaps the page at the iterator, which was filled if it was read, and goes on to the next. */
void rzk_bio_kunmap(struct bio *bio, struct rzk_bio_iter *iter, void *page, bool read)
{
	if (read)
		flush_dcache_page(bio_iter_page(bio, iter->at));
	kunmap_local(page);
	bio_advance_iter_single(bio, &iter->at, PAGE_SIZE);
}

#ifdef RZK_PROBE_RW_PAGE
int rzk_rw_page(struct block_device *bdev, sector_t sector, struct page *page, enum req_op op)
{
	bool write = op_is_write(op);
	unsigned long started;
	void *mapped;
	int error;

	if (PageTransHuge(page))
		return -EOPNOTSUPP;
	mapped = kmap_local_page(page);
	started = bdev_start_io_acct(bdev, PAGE_SECTORS, op, jiffies);
	error = rz_rw_page(rzk_device_of(bdev->bd_disk), sector, mapped, write);
	bdev_end_io_acct(bdev, op, started);
	if (!write)
		flush_dcache_page(page);
	kunmap_local(mapped);
	/* On an error the kernel sends the page once more, as a bio. */
	if (!error)
		page_endio(page, write, 0);
	return error;
}
#endif
