// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Does to a device, many times and at once, what must not be done at once: writes and reads,
 * initialisation, reset, changes of codec and memory limit, statistics, and taking the module
 * away. Each may be refused, with an error that is listed here; anything else is WRONG, and
 * status 1. What is read must be a page as it was written, or zeros.
 *
 *   races DISK TURNS WORK...      DISK is the name of the device, e.g. ramzswap0
 *     io       opens, writes and reads pages, closes
 *     init     writes `disksize`
 *     reset    writes `reset`
 *     ioctl    the ioctls of compcache 0.6.2
 *     stats    reads each attribute of the device
 *     codec=A,B,...  writes `comp_algorithm`, by turns
 *     limit    writes `mem_limit`, by turns none, little, much
 *     free     discards
 *     unload=PATH    removes the module and inserts this file again
 */
#include "guest.h"
#include <dirent.h>
#include <linux/fs.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

enum { BYTES = 16 << 20, PAGES = BYTES / PAGE };

static const struct content content = { .seed = 7, .random_percent = 0 };
static const char *disk;
static unsigned int turns;

struct worker {
	pthread_t id;
	const char *work;
	uint64_t random;
	unsigned long done, refused, wrong;
};

static void count(struct worker *worker, const char *what, int failed, const int *allowed)
{
	if (!failed) {
		worker->done++;
		return;
	}
	for (; *allowed; allowed++)
		if (errno == *allowed) {
			worker->refused++;
			return;
		}
	/* The first few tell what the others would. */
	if (worker->wrong++ < 3)
		fprintf(stderr, "WRONG: %s of %s: %s\n", what, disk, strerror(errno));
}

static void attribute(struct worker *worker, const char *name, const char *value, const int *allowed)
{
	char path[256];
	int file;
	ssize_t written;

	snprintf(path, sizeof(path), "/sys/block/%s/%s", disk, name);
	file = open(path, O_WRONLY);
	if (file < 0) {
		/* The module may be away, at the moment. */
		count(worker, path, 1, (const int[]){ ENOENT, ENODEV, 0 });
		return;
	}
	written = write(file, value, strlen(value));
	count(worker, path, written < 0, allowed);
	close(file);
}

static int open_device(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/dev/%s", disk);
	return open(path, O_RDWR | O_DIRECT);
}

/* The errors of requests to a device that may just have been reset or removed. */
static const int gone[] = { EIO, ENOSPC, ENXIO, ENODEV, ENOENT, EBUSY, ENOMEM, EINVAL, EOPNOTSUPP, 0 };

static void io(struct worker *worker, char *page)
{
	int device = open_device(), i;
	size_t at;
	ssize_t moved;

	if (device < 0) {
		count(worker, "an open", 1, gone);
		return;
	}
	/* Page 0 is the header of a swap area whenever the device was initialised again. */
	for (i = 0; i < 16; i++) {
		at = 1 + random_below(&worker->random, PAGES - 1);
		fill_page(page, &content, at, 1);
		moved = pwrite(device, page, PAGE, at * PAGE);
		count(worker, "a write", moved < 0, gone);
		at = 1 + random_below(&worker->random, PAGES - 1);
		moved = pread(device, page, PAGE, at * PAGE);
		count(worker, "a read", moved < 0, gone);
		if (moved == (ssize_t)PAGE && memcmp(page, page + 8, PAGE - 8) &&
		    !page_is(page, &content, at, 1))
			worker->wrong++;
	}
	close(device);
}

static void discards(struct worker *worker)
{
	int device = open_device(), i;
	uint64_t range[2];

	for (i = 0; device >= 0 && i < 16; i++) {
		range[0] = random_below(&worker->random, PAGES) * PAGE;
		range[1] = 8 * PAGE;
		count(worker, "a discard", ioctl(device, BLKDISCARD, range) < 0, gone);
	}
	if (device >= 0)
		close(device);
}

static void ioctls(struct worker *worker)
{
	static const struct { unsigned long number; const char *name; } all[] = {
		{ 0x40087a00, "SET_DISKSIZE_KB" }, { 0x40087a01, "SET_MEMLIMIT_KB" },
		{ 0x80f47a03, "GET_STATS" }, { 0x80fc7a03, "GET_STATS with notify_free" },
		{ 0x7a04, "INIT" }, { 0x7a05, "RESET" },
	};
	char room[256];
	size_t size = BYTES >> 10, which = random_below(&worker->random, sizeof(all) / sizeof(*all));
	int device = open_device();

	if (device < 0)
		return;
	count(worker, all[which].name,
	      ioctl(device, all[which].number, which < 2 ? (void *)&size : room) < 0,
	      (const int[]){ EBUSY, ENOTTY, ENODEV, ENXIO, ENOMEM, 0 });
	close(device);
}

static void statistics(struct worker *worker)
{
	char path[512], text[8192];
	struct dirent *entry;
	DIR *directory;
	int file;

	snprintf(path, sizeof(path), "/sys/block/%s", disk);
	directory = opendir(path);
	while (directory && (entry = readdir(directory))) {
		if (entry->d_type != DT_REG || !strcmp(entry->d_name, "uevent"))
			continue;
		snprintf(path, sizeof(path), "/sys/block/%s/%s", disk, entry->d_name);
		file = open(path, O_RDONLY);
		if (file < 0)
			continue;
		count(worker, path, read(file, text, sizeof(text)) < 0,
		      (const int[]){ EINVAL, ENODEV, ENOTTY, EIO, EAGAIN, 0 });
		close(file);
	}
	if (directory)
		closedir(directory);
}

static void codec(struct worker *worker)
{
	char names[256], *name, *rest = names;
	size_t n = 0, which;

	snprintf(names, sizeof(names), "%s", worker->work + strlen("codec="));
	for (name = names; *name; name++)
		n += *name == ',';
	which = random_below(&worker->random, n + 1);
	while ((name = strsep(&rest, ",")) && which--)
		;
	attribute(worker, "comp_algorithm", name, (const int[]){ EBUSY, ENODEV, 0 });
}

static void limit(struct worker *worker)
{
	static const char *const limits[] = { "0", "1M", "4M", "1G" };

	attribute(worker, "mem_limit", limits[random_below(&worker->random, 4)],
		  (const int[]){ EINVAL, ENODEV, EBUSY, 0 });
}

static void unload(struct worker *worker)
{
	const char *path = worker->work + strlen("unload=");
	const char *start = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
	char name[64];
	int file;

	snprintf(name, sizeof(name), "%s", start);
	if (strstr(name, ".ko"))
		*strstr(name, ".ko") = 0;
	count(worker, "unloading", syscall(SYS_delete_module, name, O_NONBLOCK) < 0,
	      (const int[]){ EWOULDBLOCK, EBUSY, ENOENT, 0 });
	file = open(path, O_RDONLY);
	if (file < 0)
		die("%s", path);
	count(worker, "loading", syscall(SYS_finit_module, file, "", 0) < 0,
	      (const int[]){ EEXIST, EBUSY, 0 });
	close(file);
}

static void *work(void *of)
{
	struct worker *worker = of;
	const char *kind = worker->work;
	char *page;
	unsigned int turn;
	char size[32];

	snprintf(size, sizeof(size), "%d", BYTES);
	if (posix_memalign((void **)&page, PAGE, PAGE))
		die("no memory");
	for (turn = 0; turn < turns; turn++) {
		if (!strcmp(kind, "io"))
			io(worker, page);
		else if (!strcmp(kind, "init"))
			attribute(worker, "disksize", size, (const int[]){ EBUSY, ENODEV, ENOMEM, 0 });
		else if (!strcmp(kind, "reset"))
			attribute(worker, "reset", "1", (const int[]){ EBUSY, ENODEV, 0 });
		else if (!strcmp(kind, "ioctl"))
			ioctls(worker);
		else if (!strcmp(kind, "stats"))
			statistics(worker);
		else if (!strncmp(kind, "codec=", 6))
			codec(worker);
		else if (!strcmp(kind, "limit"))
			limit(worker);
		else if (!strcmp(kind, "free"))
			discards(worker);
		else if (!strncmp(kind, "unload=", 7))
			unload(worker);
		else {
			errno = 0;
			die("no work '%s'", kind);
		}
		/* Now and then nobody has the device open: else none of the others gets its turn. */
		usleep(random_below(&worker->random, 2000));
	}
	free(page);
	return NULL;
}

int main(int argc, char **words)
{
	struct worker workers[32];
	int i, n = argc - 3;
	unsigned long wrong = 0;

	if (n < 1 || n > 32) {
		fprintf(stderr, "races DISK TURNS WORK...\n");
		return 2;
	}
	disk = words[1];
	turns = number(words[2], 1, 10000000);
	for (i = 0; i < n; i++) {
		workers[i] = (struct worker){ .work = words[3 + i], .random = i };
		if (pthread_create(&workers[i].id, NULL, work, &workers[i]))
			die("no thread");
	}
	for (i = 0; i < n; i++) {
		pthread_join(workers[i].id, NULL);
		printf("races %s: %lu done, %lu refused, %lu wrong\n", workers[i].work, workers[i].done,
		       workers[i].refused, workers[i].wrong);
		wrong += workers[i].wrong;
	}
	return wrong != 0;
}
