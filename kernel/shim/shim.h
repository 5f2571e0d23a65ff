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

/* Module parameters as they were given; strings may be NULL. */
struct rzk_parameters {
	u64 num_devices;
	u64 disksize_kb;
	u64 memlimit_kb;
	const char *backing_swap;
	const char *codec;
	u32 synchronous;
	u32 simd;
	u32 debug;
	/* Bits of which parameters were given: RZK_GIVEN_*. */
	u32 given;
};

#define RZK_GIVEN_DISKSIZE 1
#define RZK_GIVEN_MEMLIMIT 2
#define RZK_GIVEN_BACKING 4

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
struct rzk_cursor {
	struct bvec_iter at;
};

/* main.c */
u32 rzk_features(void);
void rzk_print(u32 level, const char *text, size_t length);
void __noreturn rzk_bug(void);
int rz_module_start(const struct rzk_parameters *parameters);
void rz_module_stop(void);

/* memory.c */
void *rzk_alloc(size_t size, size_t align);
void *rzk_alloc_zeroed(size_t size, size_t align);
void rzk_free(void *memory);
void *rzk_table_alloc(size_t size);
void rzk_table_free(void *memory);
u64 rzk_ram_bytes(void);
void rzk_random(void *bytes, size_t length);

/* frames.c */
void *rzk_frame_alloc(bool may_wait);
void rzk_frame_free(void *frame);
u64 rzk_frames_mapped(void);
bool rzk_memory_is_out(void);
void rzk_memory_ask(void);
struct rzk_shrinker *rzk_shrinker_start(u32 number, struct rz_live *live);
void rzk_shrinker_stop(struct rzk_shrinker *shrinker);
u64 rz_shrinker_count(struct rz_live *live);
u64 rz_shrinker_scan(struct rz_live *live, u64 pages);

/* cpu.c */
void rzk_spin_lock(u32 *lock);
bool rzk_spin_trylock(u32 *lock);
void rzk_spin_unlock(u32 *lock);
u32 rzk_cpu_count(void);
u32 rzk_cpu_enter(void);
void rzk_cpu_leave(void);
bool rzk_fpu_enter(void);
void rzk_fpu_leave(void);
u64 rzk_now_ns(void);
void rzk_breathe(void);
void rzk_nap(void);

/* thread.c */
struct rzk_thread *rzk_thread_new(void);
void rzk_thread_free(struct rzk_thread *thread);
int rzk_thread_start(struct rzk_thread *thread, u32 number, const char *role, u32 kind,
		     bool idle, struct rz_live *live);
void rzk_thread_stop(struct rzk_thread *thread);
void rzk_thread_wake(struct rzk_thread *thread);
bool rzk_thread_stopped(struct rzk_thread *thread);
bool rzk_thread_take_wake(struct rzk_thread *thread);
void rzk_thread_sleep(struct rzk_thread *thread, u64 limit_ms);
u64 rzk_thread_cpu_ns(void);
bool rzk_thread_is_ours(void);
void rz_thread_run(struct rz_live *live, u32 kind);

/* disk.c */
int rzk_disks_start(void);
void rzk_disks_stop(void);
struct rzk_disk *rzk_disk_new(u32 number, bool synchronous, struct rz_device *device, int *error);
int rzk_disk_add(struct rzk_disk *disk);
void rzk_disk_remove(struct rzk_disk *disk);
void rzk_disk_free(struct rzk_disk *disk);
void rzk_disk_lock(struct rzk_disk *disk);
void rzk_disk_unlock(struct rzk_disk *disk);
int rzk_disk_claim(struct rzk_disk *disk, u32 own_openers);
void rzk_disk_unclaim(struct rzk_disk *disk);
void rzk_disk_flush(struct rzk_disk *disk);
void rzk_disk_resize(struct rzk_disk *disk, u64 bytes);
void rzk_disk_drain(struct rzk_disk *disk);
bool rzk_disk_is_ours(struct block_device *bdev);

/* request.c */
void rzk_submit(struct bio *bio);
u64 rzk_bio_account(struct bio *bio);
void rzk_bio_end(struct bio *bio, int error, u64 started);
void rzk_bio_refuse(struct bio *bio, int error);
void rzk_bio_cursor(struct bio *bio, struct rzk_cursor *cursor);
void *rzk_bio_map(struct bio *bio, const struct rzk_cursor *cursor);
void rzk_bio_unmap(struct bio *bio, struct rzk_cursor *cursor, void *page, bool read);
#ifdef RZK_PROBE_RW_PAGE
int rzk_rw_page(struct block_device *bdev, sector_t sector, struct page *page, enum req_op op);
#endif
void rz_submit(struct rz_device *device, struct bio *bio, u32 kind, u64 sector, u64 bytes);
int rz_page_io(struct rz_device *device, u64 sector, void *page, bool write);
void rz_slot_freed(struct rz_device *device, u64 index);

/* control.c */
bool rzk_is_admin(void);
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

/* backing.c */
struct rzk_backing *rzk_backing_open(const char *path, u64 *pages, struct rzk_file_system *found,
				     u32 *step, int *error);
void rzk_backing_close(struct rzk_backing *backing);
int rzk_backing_map(struct rzk_backing *backing, u64 pages, u64 *hole);
int rzk_backing_transfer(struct rzk_backing *backing, bool write, u64 first, u64 count,
			 struct bio *request, const struct rzk_cursor *cursor);
int rzk_backing_read(struct rzk_backing *backing, u64 page, void *memory);

/* deferral.c */
int rzk_deferrals_start(void);
void rzk_deferrals_stop(void);
void *rzk_deferral_new(struct rz_live *live, bool may_wait, size_t *size);
void rzk_deferral_queue(void *memory, bool may_wait);
bool rz_deferred(struct rz_live *live, void *memory, bool may_wait);

/* The core's handle of a gendisk, and the attribute's device. */
struct gendisk;
struct rz_device *rzk_device_of(struct gendisk *disk);

#endif
