// SPDX-License-Identifier: GPL-2.0 OR MIT
/*
 * A backing swap: a block device, or a regular file whose blocks are looked up once, as swapon does
 * for its files. Data moves by bios of our own, past the page cache.
 */
#include <linux/bio.h>
#include <linux/blkdev.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "shim.h"

/* Neighbouring pages whose sectors are neighbours too. */
struct extent {
	u64 first;
	u64 count;
	sector_t sector;
};

struct rzk_backing {
	/* A regular file, or NULL. */
	struct file *file;
	struct block_device *bdev;
	struct rzk_workers *workers;
	/* The exclusive claim on a block device. */
#if defined(RZK_PROBE_BDEV_FILE)
	struct file *claim;
#elif defined(RZK_PROBE_BDEV_HANDLE)
	struct bdev_handle *claim;
#endif
	struct extent *extents;
	size_t extent_count;
	size_t extent_room;
};

static int claim_device(struct rzk_backing *backing, const char *path)
{
#if defined(RZK_PROBE_BDEV_FILE)
	struct file *claim = bdev_file_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, backing,
						    NULL);

	if (IS_ERR(claim))
		return PTR_ERR(claim);
	backing->claim = claim;
	backing->bdev = file_bdev(claim);
#elif defined(RZK_PROBE_BDEV_HANDLE)
	struct bdev_handle *claim = bdev_open_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, backing,
						      NULL);

	if (IS_ERR(claim))
		return PTR_ERR(claim);
	backing->claim = claim;
	backing->bdev = claim->bdev;
#elif defined(RZK_PROBE_BDEV_HOLDER_OPS)
	struct block_device *bdev = blkdev_get_by_path(path, BLK_OPEN_READ | BLK_OPEN_WRITE, backing,
						       NULL);

	if (IS_ERR(bdev))
		return PTR_ERR(bdev);
	backing->bdev = bdev;
#else
	struct block_device *bdev = blkdev_get_by_path(path, FMODE_READ | FMODE_WRITE | FMODE_EXCL,
						       backing);

	if (IS_ERR(bdev))
		return PTR_ERR(bdev);
	backing->bdev = bdev;
#endif
	/* What the page cache has would become stale. */
	sync_blockdev(backing->bdev);
	invalidate_bdev(backing->bdev);
	return 0;
}

static void release_device(struct rzk_backing *backing)
{
#if defined(RZK_PROBE_BDEV_FILE)
	fput(backing->claim);
#elif defined(RZK_PROBE_BDEV_HANDLE)
	bdev_release(backing->claim);
#elif defined(RZK_PROBE_BDEV_HOLDER_OPS)
	blkdev_put(backing->bdev, backing);
#else
	blkdev_put(backing->bdev, FMODE_READ | FMODE_WRITE | FMODE_EXCL);
#endif
}

/*
 * Marks a file as swap: nobody may write, truncate or swap on it. -EBUSY if somebody did already,
 * or has it open for writing: he may write past the mark (a mapping does), and counts on what he
 * wrote, as a device in userspace does whose backing swap it is. One who opens it after the mark
 * cannot write.
 */
static int claim_file(struct rzk_backing *backing)
{
	struct inode *inode = file_inode(backing->file);
	int error = vfs_fsync(backing->file, 0);

	if (error)
		return error;
	inode_lock(inode);
	if (IS_SWAPFILE(inode))
		error = -EBUSY;
	else
		inode->i_flags |= S_SWAPFILE;
	/* Who opens it now sees the mark, or is seen here. One of them is ours. */
	smp_mb();
	if (!error && atomic_read(&inode->i_writecount) > 1) {
		inode->i_flags &= ~S_SWAPFILE;
		error = -EBUSY;
	}
	inode_unlock(inode);
	if (!error)
		invalidate_mapping_pages(inode->i_mapping, 0, -1);
	return error;
}

static void release_file(struct rzk_backing *backing)
{
	struct inode *inode = file_inode(backing->file);

	inode_lock(inode);
	inode->i_flags &= ~S_SWAPFILE;
	inode_unlock(inode);
	invalidate_mapping_pages(inode->i_mapping, 0, -1);
}

/*
 * Opens and claims a partition or file; *bytes is its size, *found the file system of a file. NULL if that failed, with the step (RZK_BACKING_*) and the error. May sleep.
 */
struct rzk_backing *rzk_backing_open(const char *path, u64 *bytes, struct rzk_file_system *found,
				     u32 *step, int *error)
{
	struct rzk_backing *backing = kzalloc(sizeof(*backing), GFP_KERNEL);
	struct file *file;
	umode_t mode;

	*step = RZK_BACKING_MEMORY;
	*error = -ENOMEM;
	if (!backing)
		return NULL;
	*step = RZK_BACKING_OPEN;
	file = filp_open(path, O_RDWR | O_LARGEFILE, 0);
	if (IS_ERR(file)) {
		*error = PTR_ERR(file);
		goto no_file;
	}
	mode = file_inode(file)->i_mode;
	if (S_ISBLK(mode)) {
		filp_close(file, NULL);
		*step = RZK_BACKING_CLAIM;
		*error = claim_device(backing, path);
		if (*error)
			goto no_file;
		if (rzk_bdev_is_ramzswap(backing->bdev)) {
			release_device(backing);
			goto ours;
		}
		*bytes = bdev_nr_bytes(backing->bdev);
		return backing;
	}
	*step = RZK_BACKING_KIND;
	*error = -EINVAL;
	if (!S_ISREG(mode))
		goto no_claim;
	found->magic = file_inode(file)->i_sb->s_magic;
	strscpy(found->name, file_inode(file)->i_sb->s_type->name, sizeof(found->name));
	*step = RZK_BACKING_PLACE;
	if (!file_inode(file)->i_sb->s_bdev)
		goto no_claim;
	backing->file = file;
	backing->bdev = file_inode(file)->i_sb->s_bdev;
	if (rzk_bdev_is_ramzswap(backing->bdev)) {
		filp_close(file, NULL);
		goto ours;
	}
	*step = RZK_BACKING_CLAIM;
	*error = claim_file(backing);
	if (*error)
		goto no_claim;
	*bytes = i_size_read(file_inode(file));
	return backing;

/* When memory is out it has no room for what it is given. */
ours:
	*step = RZK_BACKING_OURS;
	*error = -EINVAL;
	goto no_file;
no_claim:
	filp_close(file, NULL);
no_file:
	kfree(backing);
	return NULL;
}

/* Nothing may be under way, and its threads must be gone. May sleep. */
void rzk_backing_close(struct rzk_backing *backing)
{
	if (backing->file) {
		release_file(backing);
		filp_close(backing->file, NULL);
	} else {
		release_device(backing);
	}
	kvfree(backing->extents);
	kfree(backing);
}

/* Where its threads (worker.c) are kept. */
struct rzk_workers **rzk_backing_workers(struct rzk_backing *backing)
{
	return &backing->workers;
}

static int add_extent(struct rzk_backing *backing, u64 page, u64 count, sector_t sector)
{
	struct extent *last = backing->extents + backing->extent_count - 1;
	struct extent *more;
	size_t room;

	if (backing->extent_count &&
	    last->sector + (last->count << PAGE_SECTORS_SHIFT) == sector) {
		last->count += count;
		return 0;
	}
	if (backing->extent_count == backing->extent_room) {
		room = max_t(size_t, 2 * backing->extent_room, 16);
		more = kvmalloc_array(room, sizeof(*more), GFP_KERNEL | __GFP_NOWARN);
		if (!more)
			return -ENOMEM;
		if (backing->extent_count)
			memcpy(more, backing->extents, backing->extent_count * sizeof(*more));
		kvfree(backing->extents);
		backing->extents = more;
		backing->extent_room = room;
	}
	backing->extents[backing->extent_count++] = (struct extent){ page, count, sector };
	return 0;
}

/* The sector of a page of a file; -ENXIO if it is not allocated in one piece. */
static int find_page(struct inode *inode, u64 page, sector_t *sector)
{
	unsigned int blocks = PAGE_SIZE >> inode->i_blkbits;
	sector_t first = 0;
	unsigned int i;

	for (i = 0; i < blocks; i++) {
		sector_t block = page * blocks + i;
		int error = bmap(inode, &block);

		if (error)
			return error;
		if (!block)
			return -ENXIO;
		if (i == 0)
			first = block;
		else if (block != first + i)
			return -ENXIO;
	}
	*sector = first << (inode->i_blkbits - SECTOR_SHIFT);
	return 0;
}

/*
 * Finds where pages 0..pages lie. -ENXIO if page *hole has no place of its own, -EFBIG if
 * the file system's blocks are larger than a page, -EINVAL if it tells no places. May sleep.
 */
int rzk_backing_bmap(struct rzk_backing *backing, u64 pages, u64 *hole)
{
	struct inode *inode;
	sector_t sector;
	u64 page;
	int error;

	backing->extent_count = 0;
	if (!backing->file)
		return add_extent(backing, 0, pages, 0);
	inode = file_inode(backing->file);
	if (inode->i_blkbits > PAGE_SHIFT)
		return -EFBIG;
	for (page = 0; page < pages; page++) {
		error = find_page(inode, page, &sector);
		if (!error)
			error = add_extent(backing, page, 1, sector);
		if (error) {
			*hole = page;
			return error;
		}
		cond_resched();
	}
	return 0;
}

/* The extent of a page that was mapped. */
static const struct extent *find_extent(const struct rzk_backing *backing, u64 page)
{
	size_t low = 0, high = backing->extent_count;

	while (high - low > 1) {
		size_t middle = low + (high - low) / 2;

		if (backing->extents[middle].first <= page)
			low = middle;
		else
			high = middle;
	}
	return &backing->extents[low];
}

/* Makes a bio for pages from `first` on. Returns how many lie side by side from there. */
static u64 start_bio(struct bio *bio, const struct rzk_backing *backing, struct bio_vec *vecs,
		     unsigned short room, blk_opf_t operation, u64 first)
{
	const struct extent *extent = find_extent(backing, first);
	u64 within = first - extent->first;

	bio_init(bio, backing->bdev, vecs, room, operation | REQ_SWAP);
	bio->bi_iter.bi_sector = extent->sector + (within << PAGE_SECTORS_SHIFT);
	return extent->count - within;
}

/* In any context. */
static void piece_moved(struct bio *bio)
{
	struct rzk_mover *mover = bio->bi_private;

	mover->error = blk_status_to_errno(bio->bi_status);
	bio_uninit(bio);
	mover->moved(mover);
}

/*
 * Begins to move the next pages of a run, which is not empty; calls mover->moved when that is done, in
 * any context, and maybe before it returns: the mover may be gone then. Sleeps for the device's sake
 * only, and takes no memory.
 */
void rzk_mover_go_on(struct rzk_mover *mover)
{
	struct rzk_run *run = &mover->run;
	struct bio *bio = &mover->bio;
	u64 pages = start_bio(bio, mover->backing, mover->vecs, RZK_RUN,
			      mover->write ? REQ_OP_WRITE | REQ_SYNC : REQ_OP_READ, run->first);
	u64 i;

	pages = min3(pages, run->count, (u64)RZK_RUN);
	for (i = 0; i < pages; i++) {
		__bio_add_page(bio, bio_iter_page(run->request, mover->at), PAGE_SIZE, 0);
		bio_advance_iter_single(run->request, &mover->at, PAGE_SIZE);
	}
	run->first += pages;
	run->count -= pages;
	bio->bi_end_io = piece_moved;
	bio->bi_private = mover;
	submit_bio(bio);
}

/* Reads one page and waits until that is done. */
static int read_page(const struct rzk_backing *backing, u64 first, struct page *page,
		     unsigned int offset)
{
	struct bio_vec vec;
	struct bio bio;
	int error;

	start_bio(&bio, backing, &vec, 1, REQ_OP_READ, first);
	__bio_add_page(&bio, page, PAGE_SIZE, offset);
	error = submit_bio_wait(&bio);
	bio_uninit(&bio);
	return error;
}

/* Reads a page of a request, that at its iterator, and waits until that is done. */
int rzk_backing_reread(struct rzk_backing *backing, u64 page, struct bio *request,
		       const struct rzk_bio_iter *iter)
{
	return read_page(backing, page, bio_iter_page(request, iter->at), 0);
}

/* Reads one page into memory from rzk_alloc() and waits until that is done. */
int rzk_backing_read_page(struct rzk_backing *backing, u64 page, void *memory)
{
	return read_page(backing, page,
			 is_vmalloc_addr(memory) ? vmalloc_to_page(memory) : virt_to_page(memory),
			 offset_in_page(memory));
}
