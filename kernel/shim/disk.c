// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Block devices: made and removed, opened, resized, drained. */
#include <linux/blk-mq.h>
#include <linux/blkdev.h>
#include <linux/err.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include "shim.h"

/*
 * Lock order: control, then the disk's open_mutex (which open() is called under). Neither is taken
 * to serve a request.
 */
struct rzk_disk {
	struct gendisk *gendisk;
	struct rz_device *device;
	/* Around every change of the device's state. */
	struct mutex control;
	/* It is to be seen under /dev and /sys. */
	bool added;
	/* Nobody may open the disk: it is being reset. Guarded by open_mutex. */
	bool claimed;
};

static int major;

static struct rzk_disk *disk_of(struct gendisk *gendisk)
{
	return gendisk->private_data;
}

struct rz_device *rzk_device_of(struct gendisk *gendisk)
{
	return disk_of(gendisk)->device;
}

#ifdef RZK_PROBE_BLK_MODE
typedef blk_mode_t rzk_mode;

static int open_disk(struct gendisk *gendisk, blk_mode_t mode)
{
	return disk_of(gendisk)->claimed ? -EBUSY : 0;
}
#else
typedef fmode_t rzk_mode;

static int open_disk(struct block_device *bdev, fmode_t mode)
{
	return disk_of(bdev->bd_disk)->claimed ? -EBUSY : 0;
}
#endif

static int ioctl_disk(struct block_device *bdev, rzk_mode mode, unsigned int command,
		      unsigned long argument)
{
	return rz_ioctl(rzk_device_of(bdev->bd_disk), command, argument, false);
}

#ifdef CONFIG_COMPAT
static int compat_ioctl_disk(struct block_device *bdev, rzk_mode mode, unsigned int command,
			     unsigned long argument)
{
	/* Pointers of a 32-bit caller are the lower half of ours. */
	return rz_ioctl(rzk_device_of(bdev->bd_disk), command, (u32)argument, true);
}
#endif

#ifdef RZK_PROBE_SLOT_FREE_NOTIFY
/* Called under a spinlock of the kernel's swap code. */
static void slot_freed(struct block_device *bdev, unsigned long index)
{
	rz_slot_free_notify(rzk_device_of(bdev->bd_disk), index);
}
#endif

#ifdef CONFIG_COMPAT
#define COMPAT_IOCTL .compat_ioctl = compat_ioctl_disk,
#else
#define COMPAT_IOCTL
#endif
#ifdef RZK_PROBE_SLOT_FREE_NOTIFY
#define SLOT_FREED .swap_slot_free_notify = slot_freed,
#else
#define SLOT_FREED
#endif

#define COMMON_OPERATIONS		\
	.owner = THIS_MODULE,		\
	.submit_bio = rzk_submit_bio,	\
	.open = open_disk,		\
	.ioctl = ioctl_disk,		\
	COMPAT_IOCTL			\
	SLOT_FREED

static const struct block_device_operations operations = {
	COMMON_OPERATIONS
};

/* For kernels that take a device for synchronous if it has rw_page(). */
static const struct block_device_operations __maybe_unused synchronous_operations = {
	COMMON_OPERATIONS
#ifdef RZK_PROBE_RW_PAGE
	.rw_page = rzk_rw_page,
#endif
};

bool rzk_bdev_is_ramzswap(struct block_device *bdev)
{
	const struct block_device_operations *fops = bdev->bd_disk->fops;

	return fops == &operations || fops == &synchronous_operations;
}

#ifdef RZK_PROBE_ALLOC_DISK_LIMITS
static struct gendisk *alloc_gendisk(void)
{
	struct queue_limits limits = {
		.logical_block_size = PAGE_SIZE,
		.physical_block_size = PAGE_SIZE,
		.io_min = PAGE_SIZE,
		.io_opt = PAGE_SIZE,
		.dma_alignment = PAGE_SIZE - 1,
		.max_hw_discard_sectors = UINT_MAX,
		.max_write_zeroes_sectors = UINT_MAX,
		.discard_granularity = PAGE_SIZE,
#ifdef BLK_FEAT_STABLE_WRITES
		.features = BLK_FEAT_STABLE_WRITES,
#endif
	};

	return blk_alloc_disk(&limits, NUMA_NO_NODE);
}
#else
static struct gendisk *alloc_gendisk(void)
{
	struct gendisk *gendisk = blk_alloc_disk(NUMA_NO_NODE);
	struct request_queue *queue;

	if (!gendisk)
		return ERR_PTR(-ENOMEM);
	queue = gendisk->queue;
	blk_queue_logical_block_size(queue, PAGE_SIZE);
	blk_queue_physical_block_size(queue, PAGE_SIZE);
	blk_queue_io_min(queue, PAGE_SIZE);
	blk_queue_io_opt(queue, PAGE_SIZE);
	blk_queue_dma_alignment(queue, PAGE_SIZE - 1);
	blk_queue_max_discard_sectors(queue, UINT_MAX);
	blk_queue_max_write_zeroes_sectors(queue, UINT_MAX);
	queue->limits.discard_granularity = PAGE_SIZE;
	return gendisk;
}
#endif

static void set_flags(struct gendisk *gendisk)
{
#ifndef BLK_FEAT_STABLE_WRITES
	blk_queue_flag_set(QUEUE_FLAG_NONROT, gendisk->queue);
	blk_queue_flag_set(QUEUE_FLAG_STABLE_WRITES, gendisk->queue);
#endif
}

/*
 * Whether swap on the disk, from the next swapon on, is that on a synchronous device; 0 or a negative
 * error number. Nothing may be under way. May sleep.
 */
int rzk_disk_set_synchronous(struct rzk_disk *disk, bool synchronous)
{
	struct gendisk *gendisk = disk->gendisk;

#if defined(BLK_FEAT_SYNCHRONOUS)
	struct queue_limits limits = queue_limits_start_update(gendisk->queue);

	if (synchronous == !!(limits.features & BLK_FEAT_SYNCHRONOUS)) {
		queue_limits_cancel_update(gendisk->queue);
		return 0;
	}
	if (synchronous)
		limits.features |= BLK_FEAT_SYNCHRONOUS;
	else
		limits.features &= ~BLK_FEAT_SYNCHRONOUS;
	return queue_limits_commit_update(gendisk->queue, &limits);
#elif defined(QUEUE_FLAG_SYNCHRONOUS)
	if (synchronous)
		blk_queue_flag_set(QUEUE_FLAG_SYNCHRONOUS, gendisk->queue);
	else
		blk_queue_flag_clear(QUEUE_FLAG_SYNCHRONOUS, gendisk->queue);
	return 0;
#else
	WRITE_ONCE(gendisk->fops, synchronous ? &synchronous_operations : &operations);
	return 0;
#endif
}

int rzk_register_blkdev(void)
{
	major = register_blkdev(0, RZK_NAME);
	if (major < 0)
		return major;
	return 0;
}

void rzk_unregister_blkdev(void)
{
	unregister_blkdev(major, RZK_NAME);
}

/* /dev/ramzswapN, with a size of 0; NULL and *error if there is none. May sleep. */
struct rzk_disk *rzk_disk_alloc(u32 number, struct rz_device *device, int *error)
{
	struct rzk_disk *disk = kzalloc(sizeof(*disk), GFP_KERNEL);
	struct gendisk *gendisk;

	*error = -ENOMEM;
	if (!disk)
		return NULL;
	mutex_init(&disk->control);
	disk->device = device;
	gendisk = alloc_gendisk();
	if (IS_ERR(gendisk)) {
		*error = PTR_ERR(gendisk);
		goto no_gendisk;
	}
	disk->gendisk = gendisk;
	set_flags(gendisk);
	gendisk->major = major;
	gendisk->first_minor = number;
	gendisk->minors = 1;
	gendisk->flags |= GENHD_FL_NO_PART;
	gendisk->fops = &operations;
	gendisk->private_data = disk;
	snprintf(gendisk->disk_name, DISK_NAME_LEN, RZK_NAME "%u", number);
	return disk;

no_gendisk:
	kfree(disk);
	return NULL;
}

/* Shows the disk to the world: it may be opened at once. */
int rzk_disk_add(struct rzk_disk *disk)
{
	int error = device_add_disk(NULL, disk->gendisk, rzk_attribute_groups);

	disk->added = !error;
	return error;
}

/* Takes the disk away, and its attributes; waits for those that are in use. May sleep. */
void rzk_disk_del(struct rzk_disk *disk)
{
	if (disk->added)
		del_gendisk(disk->gendisk);
}

/* Frees a disk that was removed. */
void rzk_disk_put(struct rzk_disk *disk)
{
	put_disk(disk->gendisk);
	kfree(disk);
}

void rzk_disk_lock(struct rzk_disk *disk)
{
	mutex_lock(&disk->control);
}

void rzk_disk_unlock(struct rzk_disk *disk)
{
	mutex_unlock(&disk->control);
}

/* Keeps everybody from opening the disk, or -EBUSY while more than own_openers have it open. */
int rzk_disk_claim(struct rzk_disk *disk, u32 own_openers)
{
	struct gendisk *gendisk = disk->gendisk;
	int error = 0;

	mutex_lock(&gendisk->open_mutex);
	if (disk->claimed || disk_openers(gendisk) > own_openers)
		error = -EBUSY;
	else
		disk->claimed = true;
	mutex_unlock(&gendisk->open_mutex);
	return error;
}

void rzk_disk_unclaim(struct rzk_disk *disk)
{
	mutex_lock(&disk->gendisk->open_mutex);
	disk->claimed = false;
	mutex_unlock(&disk->gendisk->open_mutex);
}

/* Writes back and forgets what the page cache has of the disk. May sleep. */
void rzk_disk_invalidate(struct rzk_disk *disk)
{
	struct block_device *bdev = disk->gendisk->part0;

	sync_blockdev(bdev);
	invalidate_bdev(bdev);
}

/* Before the disk is shown, too: then nobody is told. */
void rzk_disk_set_capacity(struct rzk_disk *disk, u64 bytes)
{
	set_capacity_and_notify(disk->gendisk, bytes >> SECTOR_SHIFT);
}

/* Waits until every call of rz_submit_bio() and rz_rw_page() that had begun has ended. May sleep. */
void rzk_disk_drain(struct rzk_disk *disk)
{
	struct request_queue *queue = disk->gendisk->queue;

#ifdef RZK_PROBE_FREEZE_FLAGS
	unsigned int flags = blk_mq_freeze_queue(queue);

	blk_mq_unfreeze_queue(queue, flags);
#else
	blk_mq_freeze_queue(queue);
	blk_mq_unfreeze_queue(queue);
#endif
}
