// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Counts instructions for each 4 KiB of a device and of swap on it, with the pages of a file.
 * Under QEMU's -icount shift=0 and with one CPU the time-stamp counter counts instructions.
 * Prints `BENCH PREFIX.KEY VALUE` lines, and `BENCH PREFIX.KEY.count N` if the value is that of
 * each of N pages; a page that comes back wrong ends it with status 1.
 *
 *   measure PREFIX FILE device DEVICE   write, read, overwrite; the same in requests of 32 pages
 *   measure PREFIX FILE reread DEVICE   reads what `device` wrote last
 *   measure PREFIX FILE half DEVICE     discard of a random half, page by page
 *   measure PREFIX FILE fault MIB       swap out (MADV_PAGEOUT), in, out again; munmap; exit
 *   measure PREFIX FILE touch MIB N MM_STAT   fills memory, touches N random words, checks: run it in a
 *                                       cgroup with half of the memory. MM_STAT is the device's
 *
 * What a plugin is to count apart lies between `mark`s.
 */
#include "guest.h"
#include <inttypes.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <x86intrin.h>

enum { BIG = 32 };

static const char *prefix;
static const char *set;	/* the pages of the file */
static size_t pages;
static size_t wrong;

/* The parts of a run, which the plugin tells apart. */
enum part { OTHER, WRITE, READ, OVERWRITE, WRITE32, READ32, DISCARD, OUT, IN, UNMAP, EXIT, TOUCH };

/* Instructions from here on belong to this part: a nop whose operand says so, see bench/count.c. */
#define mark(part) __asm__ volatile(".byte 0x0f, 0x1f, 0x80, %c0, 0x7a, 0x52, 0x5a" : : "i"(part) : "memory")

static uint64_t now(void)
{
	return __rdtsc();
}

static void report(const char *key, double value)
{
	printf("BENCH %s.%s %.0f\n", prefix, key, value);
	fflush(stdout);
}

/* A value of each of `count` pages. */
static void report_each(const char *key, uint64_t sum, size_t count)
{
	char name[64];

	if (!count)
		die("no page for %s", key);
	report(key, (double)sum / count);
	snprintf(name, sizeof(name), "%s.count", key);
	report(name, count);
}

/* What page `i` holds after it was written `version` times. */
static const char *source(size_t i, unsigned int version)
{
	return set + (i + version * 7919ul) % pages * PAGE;
}

static void compare(const char *found, size_t i, unsigned int version)
{
	if (memcmp(found, source(i, version), PAGE)) {
		fprintf(stderr, "WRONG page %zu, version %u\n", i, version);
		wrong++;
	}
}

static void *buffer(size_t bytes)
{
	void *at;

	if (posix_memalign(&at, PAGE, bytes))
		die("no memory for a buffer");
	memset(at, 0, bytes);
	return at;
}

static int open_device(const char *path)
{
	int device = open(path, O_RDWR | O_DIRECT);

	if (device < 0)
		die("%s", path);
	return device;
}

/* The instructions of one request of `count` pages. */
static uint64_t request(int device, int writing, char *at, size_t page, size_t count)
{
	uint64_t before = now();
	ssize_t moved = writing ? pwrite(device, at, count * PAGE, page * PAGE) :
				  pread(device, at, count * PAGE, page * PAGE);
	uint64_t after = now();

	if (moved != (ssize_t)(count * PAGE))
		die("%s of page %zu", writing ? "a write" : "a read", page);
	return after - before;
}

/* Writes or reads all pages by requests of `count`, and reports the instructions under a key, if there
 * is one. Inlined, because a mark's part is in its code. */
static inline __attribute__((always_inline)) void all(int device, int writing, size_t count, enum part part,
						      const char *key)
{
	char *at = buffer(count * PAGE);
	uint64_t sum = 0;
	size_t page, i;

	for (page = 0; page + count <= pages; page += count) {
		for (i = 0; writing && i < count; i++)
			memcpy(at + i * PAGE, source(page + i, 0), PAGE);
		mark(part);
		sum += request(device, writing, at, page, count);
		mark(OTHER);
		for (i = 0; !writing && i < count; i++)
			compare(at + i * PAGE, page + i, 0);
	}
	free(at);
	if (key)
		report_each(key, sum, pages / count * count);
}

static void overwrite(int device)
{
	unsigned char *versions = calloc(pages, 1);
	char *at = buffer(PAGE);
	uint64_t random = 9, sum = 0;
	size_t i, page;

	if (!versions)
		die("no memory for versions");
	for (i = 0; i < pages / 2; i++) {
		page = random_below(&random, pages);
		memcpy(at, source(page, ++versions[page]), PAGE);
		mark(OVERWRITE);
		sum += request(device, 1, at, page, 1);
		mark(OTHER);
	}
	for (page = 0; page < pages; page++) {
		request(device, 0, at, page, 1);
		compare(at, page, versions[page]);
	}
	free(versions);
	free(at);
	report_each("overwrite", sum, pages / 2);
}

static void device(const char *path)
{
	int device = open_device(path);

	report("pages", pages);
	all(device, 1, 1, WRITE, "write");
	all(device, 0, 1, READ, "read");
	overwrite(device);
	/* The rest of a set that 32 does not divide keeps versions; the last write mends that. */
	all(device, 1, BIG, WRITE32, "write32");
	all(device, 0, BIG, READ32, "read32");
	all(device, 1, 1, OTHER, NULL);
	close(device);
}

static void reread(const char *path)
{
	int device = open_device(path);

	all(device, 0, 1, OTHER, "reread");
	close(device);
}

static void half(const char *path)
{
	int device = open_device(path);
	char *at = buffer(PAGE);
	unsigned char *freed = calloc(pages, 1);
	uint64_t random = 77, sum = 0, before, range[2];
	size_t page, count = 0;

	if (!freed)
		die("no memory");
	for (page = 0; page < pages; page++) {
		if (random_next(&random) & 1)
			continue;
		range[0] = page * PAGE;
		range[1] = PAGE;
		freed[page] = 1;
		count++;
		mark(DISCARD);
		before = now();
		if (ioctl(device, BLKDISCARD, range))
			die("a discard of page %zu", page);
		sum += now() - before;
		mark(OTHER);
	}
	report_each("discard", sum, count);
	for (page = 0; page < pages; page++) {
		request(device, 0, at, page, 1);
		if (!freed[page])
			compare(at, page, 0);
	}
	free(freed);
	free(at);
	close(device);
}

/* Sends all to swap, if need be by several calls: the kernel passes pages over that are busy. */
static void all_out(char *at, size_t count)
{
	unsigned int tries;

	page_out(at, count);
	for (tries = 0; tries < 20 && pages_in_swap() < count; tries++)
		page_out(at, count);
}

static char *filled(size_t count)
{
	char *at = memory(count, 0, 0);
	size_t i;

	for (i = 0; i < count; i++)
		memcpy(at + i * PAGE, source(i, 0), PAGE);
	return at;
}

/* Reports the instructions of a process' exit whose pages are all in swap, for each of its slots. */
static void by_exit(size_t count)
{
	int ready[2], go[2], status;
	size_t slots;
	uint64_t before;
	char byte = 0;
	pid_t child;

	if (pipe(ready) || pipe(go))
		die("pipe");
	child = fork();
	if (child < 0)
		die("fork");
	if (!child) {
		all_out(filled(count), count);
		slots = pages_in_swap();
		if (write(ready[1], &slots, sizeof(slots)) != sizeof(slots) || read(go[0], &byte, 1) != 1)
			die("the parent is gone");
		_exit(0);
	}
	if (read(ready[0], &slots, sizeof(slots)) != sizeof(slots) || !slots)
		die("the child put nothing into swap");
	mark(EXIT);
	before = now();
	if (write(go[1], &byte, 1) != 1 || waitpid(child, &status, 0) != child || status)
		die("the child did not end well");
	before = now() - before;
	mark(OTHER);
	report_each("exit", before, slots);
}

static void fault(size_t count)
{
	char *at = filled(count);
	size_t slots, left, i;
	uint64_t before, sum;

	mark(OUT);
	before = now();
	page_out(at, count);
	sum = now() - before;
	mark(OTHER);
	slots = pages_in_swap();
	report_each("out", sum, slots);

	all_out(at, count);
	slots = pages_in_swap();
	mark(IN);
	before = now();
	for (i = 0; i < count; i++)
		(void)*(volatile char *)(at + i * PAGE);
	sum = now() - before;
	mark(OTHER);
	left = pages_in_swap();
	report_each("in", sum, slots - left);
	for (i = 0; i < count; i++)
		compare(at + i * PAGE, i, 0);

	/* Every page is changed, so that none has a copy in swap. */
	for (i = 0; i < count; i++)
		memcpy(at + i * PAGE, source(i, 1), PAGE);
	before = now();
	page_out(at, count);
	sum = now() - before;
	report("out.again", (double)sum / pages_in_swap());

	all_out(at, count);
	slots = pages_in_swap();
	mark(UNMAP);
	before = now();
	munmap(at, count / 2 * PAGE);
	sum = now() - before;
	mark(OTHER);
	left = pages_in_swap();
	report_each("munmap", sum, slots - left);
	for (i = count / 2; i < count; i++)
		compare(at + i * PAGE, i, 1);
	munmap(at + count / 2 * PAGE, (count - count / 2) * PAGE);
	by_exit(count);
}

/* The memory that a device takes: the third number of its mm_stat. */
static uint64_t device_memory(const char *mm_stat)
{
	FILE *file = fopen(mm_stat, "r");
	uint64_t bytes;

	if (!file || fscanf(file, "%*u %*u %" SCNu64, &bytes) != 1)
		die("%s", mm_stat);
	fclose(file);
	return bytes;
}

/* A touch adds 1 to a word that is the page's own. */
static void touch(size_t count, size_t touches, const char *mm_stat)
{
	uint64_t start = now(), random = 5, before;
	char *at = filled(count);
	uint32_t *touched = calloc(count, sizeof(*touched));
	uint64_t *word, filled_at = now();
	char page[PAGE];
	size_t i, which;

	if (!touched)
		die("no memory");
	mark(TOUCH);
	before = now();
	for (i = 0; i < touches; i++) {
		which = random_below(&random, count);
		word = (uint64_t *)(at + which * PAGE) + which % 512;
		/* Every other only reads. */
		if (i & 1) {
			(void)*(volatile uint64_t *)word;
			continue;
		}
		++*word;
		touched[which]++;
	}
	before = now() - before;
	mark(OTHER);
	report("touch.fill", (double)(filled_at - start) / count);
	report_each("touch", before, touches);
	report("touch.memory", device_memory(mm_stat));
	for (i = 0; i < count; i++) {
		memcpy(page, source(i, 0), PAGE);
		((uint64_t *)page)[i % 512] += touched[i];
		if (memcmp(page, at + i * PAGE, PAGE)) {
			fprintf(stderr, "WRONG page %zu, touched %u times\n", i, touched[i]);
			wrong++;
		}
	}
	report("touch.all", (double)(now() - start) / (touches + count));
}

static void load(const char *path)
{
	struct stat status;
	int file = open(path, O_RDONLY);
	volatile char sink;
	size_t i;

	if (file < 0 || fstat(file, &status))
		die("%s", path);
	pages = status.st_size / PAGE;
	if (!pages)
		die("%s: no whole page", path);
	set = mmap(NULL, pages * PAGE, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
	if (set == MAP_FAILED)
		die("%s", path);
	for (i = 0; i < pages; i++)
		sink = set[i * PAGE];
	(void)sink;
}

int main(int count, char **words)
{
	const char *what = count < 5 ? "" : words[3];

	if (count < 5) {
		fprintf(stderr, "measure PREFIX FILE device|reread|half|fault|touch DEVICE|MIB [N MM_STAT]\n");
		return 2;
	}
	prefix = words[1];
	load(words[2]);
	if (!strcmp(what, "device") && count == 5)
		device(words[4]);
	else if (!strcmp(what, "reread") && count == 5)
		reread(words[4]);
	else if (!strcmp(what, "half") && count == 5)
		half(words[4]);
	else if (!strcmp(what, "fault") && count == 5)
		fault(number(words[4], 1, 4096) << 8);
	else if (!strcmp(what, "touch") && count == 7)
		touch(number(words[4], 1, 4096) << 8, number(words[5], 1, UINT32_MAX), words[6]);
	else {
		fprintf(stderr, "measure: no '%s'\n", what);
		return 2;
	}
	return wrong != 0;
}
