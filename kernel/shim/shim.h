/* SPDX-License-Identifier: GPL-2.0 OR MIT */
/*
 * The border between the kernel and the driver's core, which is written in Rust.
 *
 * rz_*  functions of the core that the kernel's side calls
 * rzk_* functions of the kernel's side that the core (and the vector object) calls
 *
 * Only integers and pointers cross it. What one side only hands through is an incomplete type.
 * Nothing here decides anything: sizes, defaults, errors and messages are the core's.
 */
#ifndef RAMZSWAP_SHIM_H
#define RAMZSWAP_SHIM_H

#include <linux/blk_types.h>
#include <linux/bvec.h>
#include <linux/compiler.h>
#include <linux/types.h>

#include "probes.h"

#define RZK_NAME "ramzswap"

/* A device of the core. */
struct rz_device;
/* What a device of the core is while it is initialised. */
struct rz_live;

struct rzk_disk;
struct rzk_thread;
struct rzk_shrinker;
struct rzk_backing;
struct rzk_workers;

/* The module parameters; strings may be NULL. */
struct rzk_parameters {
	u64 num_devices;
	u64 disksize_kb;
	u64 memlimit_kb;
	const char *backing_swap;
	const char *codec;
	u32 synchronous;
	u32 simd;
	u32 debug;
	/* Bits of the parameters that were set: RZK_SET_*. */
	u32 set;
};

#define RZK_SET_DISKSIZE 1
#define RZK_SET_MEMLIMIT 2
#define RZK_SET_BACKING 4
#define RZK_SET_SYNCHRONOUS 8

/* Kinds of messages; those that anybody can cause are limited in number, each kind by itself. */
enum {
	RZK_LOG_ERROR = 0,
	RZK_LOG_WARNING = 1,
	RZK_LOG_INFO = 2,
	RZK_LOG_FAILED_READ = 3,
	RZK_LOG_FAILED_STORE = 4,
	RZK_LOG_REFUSED = 5,
};

/* Kinds of requests. */
enum {
	RZK_READ = 0,
	RZK_WRITE = 1,
	RZK_DISCARD = 2,
	RZK_OTHER = 3,
};

/* What this kernel and this processor have. */
#define RZK_HAS_FREE_NOTIFY 1
#define RZK_HAS_SYNCHRONOUS 2
#define RZK_HAS_ZSTD 4
#define RZK_HAS_AVX2 8
#define RZK_HAS_CRC32 16

/* Steps of opening a backing swap. */
enum {
	RZK_BACKING_MEMORY = 0,
	RZK_BACKING_OPEN = 1,
	RZK_BACKING_KIND = 2,
	RZK_BACKING_CLAIM = 3,
	RZK_BACKING_PLACE = 4,
	RZK_BACKING_OURS = 5,
};

/* Where a file lies; all zeros for a block device. */
struct rzk_file_system {
	u64 magic;
	/* Its kind, with a 0 at its end. */
	char name[32];
};

/* Where the next page of a request lies. */
struct rzk_bio_iter {
	struct bvec_iter at;
};

/* main.c */
u32 rzk_features(void);
void rzk_print(u32 level, const char *text, size_t length);
void __noreturn rzk_bug(void);
int rz_init(const struct rzk_parameters *parameters);
void rz_exit(void);

/* memory.c */
void *rzk_alloc(size_t size, size_t align);
void *rzk_alloc_zeroed(size_t size, size_t align);
void rzk_free(void *memory);
void *rzk_vzalloc(size_t size);
void rzk_vfree(void *memory);
u64 rzk_totalram_bytes(void);
void rzk_get_random_bytes(void *bytes, size_t length);

/* frames.c */
void *rzk_frame_alloc(bool may_wait);
void rzk_frame_free(void *frame);
u64 rzk_frames_vmapped(void);
bool rzk_memory_exhausted(void);
void rzk_reclaim_or_oom(void);
struct rzk_shrinker *rzk_shrinker_register(u32 number, struct rz_live *live);
void rzk_shrinker_unregister(struct rzk_shrinker *shrinker);
u64 rz_shrinker_count(struct rz_live *live);
u64 rz_shrinker_scan(struct rz_live *live, u64 pages);

/* cpu.c */
void rzk_spin_lock(u32 *lock);
bool rzk_spin_trylock(u32 *lock);
void rzk_spin_unlock(u32 *lock);
u32 rzk_nr_cpu_ids(void);
u32 rzk_get_cpu(void);
void rzk_put_cpu(void);
bool rzk_fpu_begin(void);
void rzk_fpu_end(void);
u64 rzk_local_clock(void);
void rzk_cond_resched(void);
void rzk_usleep(void);

/* thread.c */
struct rzk_thread *rzk_thread_alloc(void);
void rzk_thread_free(struct rzk_thread *thread);
int rzk_thread_start(struct rzk_thread *thread, u32 number, const char *role, u32 kind,
		     bool idle, struct rz_live *live);
void rzk_thread_stop(struct rzk_thread *thread);
void rzk_thread_wake(struct rzk_thread *thread);
bool rzk_thread_should_stop(struct rzk_thread *thread);
bool rzk_thread_clear_woken(struct rzk_thread *thread);
void rzk_thread_sleep(struct rzk_thread *thread, u64 limit_ms);
u64 rzk_thread_cpu_ns(void);
bool rzk_in_own_thread(void);
void rz_thread_run(struct rz_live *live, u32 kind);

/* disk.c */
int rzk_register_blkdev(void);
void rzk_unregister_blkdev(void);
struct rzk_disk *rzk_disk_alloc(u32 number, struct rz_device *device, int *error);
int rzk_disk_set_synchronous(struct rzk_disk *disk, bool synchronous);
int rzk_disk_add(struct rzk_disk *disk);
void rzk_disk_del(struct rzk_disk *disk);
void rzk_disk_put(struct rzk_disk *disk);
void rzk_disk_lock(struct rzk_disk *disk);
void rzk_disk_unlock(struct rzk_disk *disk);
int rzk_disk_claim(struct rzk_disk *disk, u32 own_openers);
void rzk_disk_unclaim(struct rzk_disk *disk);
void rzk_disk_invalidate(struct rzk_disk *disk);
void rzk_disk_set_capacity(struct rzk_disk *disk, u64 bytes);
void rzk_disk_drain(struct rzk_disk *disk);
bool rzk_bdev_is_ramzswap(struct block_device *bdev);

/* request.c */
void rzk_submit_bio(struct bio *bio);
u64 rzk_bio_start_io_acct(struct bio *bio);
void rzk_bio_end_io(struct bio *bio, int error, u64 started);
void rzk_bio_fail(struct bio *bio, int error);
void rzk_bio_iter_init(struct bio *bio, struct rzk_bio_iter *iter);
void *rzk_bio_kmap(struct bio *bio, const struct rzk_bio_iter *iter);
void rzk_bio_kunmap(struct bio *bio, struct rzk_bio_iter *iter, void *page, bool read);
#ifdef RZK_PROBE_RW_PAGE
int rzk_rw_page(struct block_device *bdev, sector_t sector, struct page *page, enum req_op op);
#endif
void rz_submit_bio(struct rz_device *device, struct bio *bio, u32 kind, u64 sector, u64 bytes);
int rz_rw_page(struct rz_device *device, u64 sector, void *page, bool write);
void rz_slot_free_notify(struct rz_device *device, u64 index);

/* control.c */
bool rzk_capable_sys_admin(void);
int rzk_copy_from_user(void *to, u64 from, size_t length);
int rzk_copy_to_user(u64 to, const void *from, size_t length);
int rz_ioctl(struct rz_device *device, u32 command, u64 argument, bool compat);
extern const struct attribute_group *rzk_attribute_groups[];
ssize_t rz_attribute_show(struct rz_device *device, u32 attribute, char *buffer, size_t room);
ssize_t rz_attribute_store(struct rz_device *device, u32 attribute, const char *text,
			   size_t length);
bool rz_attribute_visible(u32 attribute);

/* zstd.c */
size_t rzk_zstd_compressor_bytes(int level);
size_t rzk_zstd_decompressor_bytes(void);
void *rzk_zstd_compressor(void *memory, size_t bytes);
void *rzk_zstd_decompressor(void *memory, size_t bytes);
size_t rzk_zstd_compress(void *context, int level, const void *page, void *out, size_t room);
bool rzk_zstd_decompress(void *context, const void *chunk, size_t length, void *page);

/* Neighbouring pages that are to be moved to or from a backing swap. */
struct rzk_run {
	/* The request that has them, and where in it. */
	struct bio *request;
	const struct rzk_bio_iter *from;
	u64 first;
	u64 count;
};

/* Pages of a run, at most. */
#define RZK_RUN 32

/* A run on its way, one bio after the other: one for all pages that lie side by side. */
struct rzk_mover {
	struct rzk_backing *backing;
	bool write;
	/* Pages that have not set out, and where the first of them is in the request. */
	struct rzk_run run;
	struct bvec_iter at;
	int error;
	void (*moved)(struct rzk_mover *mover);
	struct bio bio;
	struct bio_vec vecs[RZK_RUN];
};

/* backing.c */
void rzk_mover_go_on(struct rzk_mover *mover);
struct rzk_backing *rzk_backing_open(const char *path, u64 *bytes, struct rzk_file_system *found,
				     u32 *step, int *error);
void rzk_backing_close(struct rzk_backing *backing);
struct rzk_workers **rzk_backing_workers(struct rzk_backing *backing);
int rzk_backing_bmap(struct rzk_backing *backing, u64 pages, u64 *hole);
int rzk_backing_reread(struct rzk_backing *backing, u64 page, struct bio *request,
		       const struct rzk_bio_iter *iter);
int rzk_backing_read_page(struct rzk_backing *backing, u64 page, void *memory);

/* worker.c */
int rzk_workers_start(struct rzk_backing *backing, u32 number);
void rzk_workers_stop(struct rzk_backing *backing);
void *rzk_work_alloc(struct rzk_backing *backing, struct rz_live *live, bool write, bool may_wait,
		     size_t *size);
void rzk_work_queue(void *memory, bool in_transit);
/* What becomes of a request next. */
enum {
	RZK_WORK_ENDED = 0,
	RZK_WORK_WAITS = 1,
	RZK_WORK_MOVES = 2,
};
u32 rz_work_run(struct rz_live *live, void *memory, int error, struct rzk_run *run);

/* The core's handle of a gendisk, and the attribute's device. */
struct gendisk;
struct rz_device *rzk_device_of(struct gendisk *disk);

#endif
