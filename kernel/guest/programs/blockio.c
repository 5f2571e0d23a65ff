// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Writes, frees and reads a block device directly, and checks every byte.
 *
 *   blockio fill DEVICE MIB          writes every page, in bios of 4 KiB to 2 MiB
 *   blockio check DEVICE MIB         are they as `fill` wrote them?
 *   blockio large DEVICE MIB         writes and reads by 2 MiB, from and to one huge page; checks
 *   blockio random DEVICE MIB THREADS ROUNDS
 *       after `fill`: threads, each with pages of its own that lie between the others', write,
 *       read, discard and zero extents of 4 KiB to 2 MiB; then all is checked
 *   blockio overlap DEVICE MIB THREADS ROUNDS
 *       discards all; then threads write, discard and read the same pages: each read must find some version whole
 *   blockio pile DEVICE MIB THREADS ROUNDS
 *       threads write and read one page, in the middle, with what does not compress
 *   blockio reset DEVICE MIB THREADS ROUNDS [BACKING]
 *       threads write and read through one descriptor, by which the device is reset meanwhile, and
 *       initialised again, with this backing swap
 *   blockio half DEVICE MIB          after `fill`: discards a random half page by page, checks both
 *   blockio blank DEVICE MIB         reads zeros, as if never written?
 *   blockio same DEVICE MIB          writes pages that repeat a word, each its own; checks
 *   blockio unstable DEVICE MIB THREADS ROUNDS
 *       writes and reads a page, whose buffer a thread changes meanwhile: some bytes, but no error
 *   blockio refuse DEVICE            requests that are not of whole pages, or beyond the end
 *   blockio failing DEVICE PAGE      reads this page, which must fail with EIO
 */
#include "guest.h"
#include <linux/fs.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/ioctl.h>
#include <sys/uio.h>

#define MOST 512ul /* pages of a request */

static const struct content content = { .seed = 2010, .random_percent = 10 };
static const char *path, *backing_path;
static size_t pages;

/* A page's version while it is discarded. */
#define ZEROS 0

static int open_device(int flags)
{
	int device = open(path, O_RDWR | flags);

	if (device < 0)
		die("%s cannot be opened", path);
	return device;
}

static char *buffer(size_t bytes)
{
	void *at;

	if (posix_memalign(&at, PAGE, bytes))
		die("no memory for a buffer");
	memset(at, 0, bytes);
	return at;
}

static int wrong_page(const char *at, size_t page, uint64_t version)
{
	static const char zeros[PAGE];

	if (version != ZEROS)
		return !page_is(at, &content, page, version);
	if (!memcmp(at, zeros, PAGE))
		return 0;
	fprintf(stderr, "WRONG page %zu: not zeros\n", page);
	return 1;
}

/* How many pages the next request has: often one, up to `most`. */
static size_t some(uint64_t *random, size_t most)
{
	static const size_t sizes[] = { 1, 1, 1, 2, 8, 31, 32, 33, 127, 256, 512 };
	size_t n = sizes[random_below(random, sizeof(sizes) / sizeof(*sizes))];

	return n < most ? n : most;
}

/* Reads or writes pages from a buffer that is cut into up to 8 pieces, in an order of their own. */
static void transfer(int device, int writing, char *at, size_t page, size_t count, uint64_t *random)
{
	struct iovec pieces[8];
	size_t n = 0, done = 0, length;
	ssize_t moved;

	while (done < count) {
		length = n == 7 ? count - done : 1 + random_below(random, count - done);
		pieces[n++] = (struct iovec){ at + done * PAGE, length * PAGE };
		done += length;
	}
	moved = writing ? pwritev(device, pieces, n, page * PAGE) : preadv(device, pieces, n, page * PAGE);
	if (moved != (ssize_t)(count * PAGE))
		die("%s of %zu pages at %zu gave %zd", writing ? "a write" : "a read", count, page, moved);
}

static void range(int device, unsigned long request, const char *name, size_t page, size_t count)
{
	uint64_t bytes[2] = { page * PAGE, count * PAGE };

	if (ioctl(device, request, bytes))
		die("%s of %zu pages at %zu", name, count, page);
}

static void discard(int device, size_t page, size_t count)
{
	range(device, BLKDISCARD, "a discard", page, count);
}

static void fill(int device)
{
	char *at = buffer(MOST * PAGE);
	uint64_t random = 1;
	size_t page, count, i;

	for (page = 0; page < pages; page += count) {
		count = some(&random, pages - page);
		for (i = 0; i < count; i++)
			fill_page(at + i * PAGE, &content, page + i, 1);
		transfer(device, 1, at, page, count, &random);
	}
	free(at);
}

/* Reads all pages; how many are not of the version that `versions` says, or of `version`? */
static size_t check(int device, const uint32_t *versions, uint32_t version)
{
	char *at = buffer(MOST * PAGE);
	uint64_t random = 2;
	size_t page, count, i, wrong = 0;

	for (page = 0; page < pages; page += count) {
		count = some(&random, pages - page);
		transfer(device, 0, at, page, count, &random);
		for (i = 0; i < count; i++)
			wrong += wrong_page(at + i * PAGE, page + i, versions ? versions[page + i] : version);
	}
	free(at);
	return wrong;
}

/* Requests of 2 MiB whose memory is in one piece, so that no limit on pieces cuts them. */
static size_t large(int device)
{
	char *at = memory(MOST, 0, 1);
	size_t page, i, wrong = 0;

	for (page = 0; page < pages; page += MOST) {
		for (i = 0; i < MOST; i++)
			fill_page(at + i * PAGE, &content, page + i, 1);
		if (pwrite(device, at, MOST * PAGE, page * PAGE) != (ssize_t)(MOST * PAGE))
			die("a write of 2 MiB at page %zu", page);
	}
	for (page = 0; page < pages; page += MOST) {
		memset(at, 0, MOST * PAGE);
		if (pread(device, at, MOST * PAGE, page * PAGE) != (ssize_t)(MOST * PAGE))
			die("a read of 2 MiB at page %zu", page);
		for (i = 0; i < MOST; i++)
			wrong += wrong_page(at + i * PAGE, page + i, 1);
	}
	return wrong;
}

/* Work of one of several threads. */
struct thread {
	pthread_t id;
	unsigned int number, of, rounds;
	uint32_t *versions; /* of all pages, each changed by one thread only */
	size_t wrong;
};

/* Extents of a thread's own: the device is dealt out in stripes of 67 pages. */
static void *own_pages(void *of)
{
	struct thread *thread = of;
	enum { STRIPE = 67 };
	size_t stripes = pages / STRIPE / thread->of, page, count, i;
	uint64_t random = 100 + thread->number;
	char *at = buffer(MOST * PAGE);
	int device = open_device(O_DIRECT);
	unsigned int round;

	for (round = 0; round < thread->rounds; round++) {
		page = (random_below(&random, stripes) * thread->of + thread->number) * STRIPE;
		i = random_below(&random, STRIPE);
		page += i;
		count = some(&random, STRIPE - i);
		switch (random_below(&random, 8)) {
		case 0:
			discard(device, page, count);
			for (i = 0; i < count; i++)
				thread->versions[page + i] = ZEROS;
			break;
		case 1:
			range(device, BLKZEROOUT, "a zero-out", page, count);
			for (i = 0; i < count; i++)
				thread->versions[page + i] = ZEROS;
			break;
		case 2: case 3: case 4:
			transfer(device, 0, at, page, count, &random);
			for (i = 0; i < count; i++)
				thread->wrong += wrong_page(at + i * PAGE, page + i, thread->versions[page + i]);
			break;
		default:
			for (i = 0; i < count; i++)
				fill_page(at + i * PAGE, &content, page + i, ++thread->versions[page + i]);
			transfer(device, 1, at, page, count, &random);
		}
	}
	close(device);
	free(at);
	return NULL;
}

/* Pages that others write too: those that do not compress are left out, because only a page that
 * says its own version can be checked. */
static void *shared_pages(void *of)
{
	static const struct content telling = { .seed = 2010, .random_percent = 0 };
	struct thread *thread = of;
	uint64_t random = 200 + thread->number, version = (uint64_t)thread->number << 32;
	char *at = buffer(MOST * PAGE);
	int device = open_device(O_DIRECT);
	unsigned int round;
	size_t page, count, i;

	for (round = 0; round < thread->rounds; round++) {
		page = random_below(&random, pages);
		count = some(&random, pages - page);
		switch (random_below(&random, 8)) {
		case 0:
			discard(device, page, count);
			break;
		case 1: case 2: case 3:
			transfer(device, 0, at, page, count, &random);
			for (i = 0; i < count; i++) {
				const uint64_t *word = (const uint64_t *)(at + i * PAGE);

				/* Same-filled: discarded, or one of few values; it has no version. */
				if (!memcmp(word, word + 1, PAGE - 8) &&
				    (!word[0] || (word[0] - 1) / 64 == page + i))
					continue;
				thread->wrong += !page_is(word, &telling, page + i, word[1]);
			}
			break;
		default:
			version++;
			for (i = 0; i < count; i++)
				fill_page(at + i * PAGE, &telling, page + i, version);
			transfer(device, 1, at, page, count, &random);
		}
	}
	close(device);
	free(at);
	return NULL;
}

/* A page that does not compress, and says its version. */
static void fill_noise(char *at, size_t page, uint64_t version)
{
	static const struct content noise = { .seed = 2010, .random_percent = 100 };

	fill_page(at, &noise, page, version);
	((uint64_t *)at)[1] = version;
}

/* One page, which is on its way to a backing swap most of the time. */
static void *same_page(void *of)
{
	struct thread *thread = of;
	uint64_t version = (uint64_t)(thread->number + 1) << 32;
	size_t page = pages / 2;
	char *at = buffer(PAGE), wanted[PAGE];
	int device = open_device(O_DIRECT);
	unsigned int round;

	for (round = 0; round < thread->rounds; round++) {
		if (round % 8 == 7) {
			if (pread(device, at, PAGE, page * PAGE) != (ssize_t)PAGE)
				die("a read of page %zu", page);
			fill_noise(wanted, page, ((uint64_t *)at)[1]);
			thread->wrong += !!memcmp(at, wanted, PAGE);
			continue;
		}
		fill_noise(at, page, version++);
		if (pwrite(device, at, PAGE, page * PAGE) != (ssize_t)PAGE)
			die("a write of page %zu", page);
	}
	close(device);
	free(at);
	return NULL;
}

static size_t must_fail(const char *what, ssize_t result, int error)
{
	if (result < 0 && errno == error)
		return 0;
	fprintf(stderr, "WRONG: %s gave %zd (%s), not %s\n", what, result, strerror(errno), strerror(error));
	return 1;
}

/* The descriptor that all have, and whether it is over. */
static int shared;
static atomic_int over;

/* May a request fail like that while its device is reset? */
static size_t may_fail(const char *what, ssize_t moved)
{
	if (moved >= 0 || errno == EIO || errno == ENOSPC || errno == EINVAL)
		return 0;
	fprintf(stderr, "WRONG: %s gave %s\n", what, strerror(errno));
	return 1;
}

static void *while_reset(void *of)
{
	struct thread *thread = of;
	uint64_t random = 300 + thread->number, version = (uint64_t)(thread->number + 1) << 32;
	char *at = buffer(PAGE), wanted[PAGE];
	size_t page;
	ssize_t moved;

	while (!over) {
		/* Page 0 is the header of a swap area whenever the device was initialised again. */
		page = 1 + random_below(&random, pages - 1);
		fill_noise(at, page, version++);
		thread->wrong += may_fail("a write", pwrite(shared, at, PAGE, page * PAGE));
		page = 1 + random_below(&random, pages - 1);
		moved = pread(shared, at, PAGE, page * PAGE);
		thread->wrong += may_fail("a read", moved);
		if (moved == (ssize_t)PAGE && memcmp(at, at + 8, PAGE - 8)) {
			fill_noise(wanted, page, ((uint64_t *)at)[1]);
			thread->wrong += !!memcmp(at, wanted, PAGE);
		}
	}
	free(at);
	return NULL;
}

/* The ioctls of compcache 0.6.2. */
static size_t reset_all_along(unsigned int rounds, const char *backing)
{
	uint64_t kb = pages * PAGE >> 10;
	size_t wrong = 0;
	uint64_t random = 4;
	char place[128] = "";

	if (backing)
		snprintf(place, sizeof(place), "%s", backing);
	while (rounds--) {
		if (ioctl(shared, 0x7a05))
			wrong += must_fail("a reset", -1, 0);
		if (ioctl(shared, 0x40087a00, &kb) || (backing && ioctl(shared, 0x40807a02, place)) ||
		    ioctl(shared, 0x7a04))
			wrong += must_fail("an initialisation", -1, 0);
		usleep(random_below(&random, 5000));
	}
	return wrong;
}

#define MOST_THREADS 256

static size_t in_threads(void *(*work)(void *), unsigned int count, unsigned int rounds, uint32_t *versions)
{
	static struct thread threads[MOST_THREADS];
	unsigned int i;
	size_t wrong = 0;

	for (i = 0; i < count; i++) {
		threads[i] = (struct thread){ .number = i, .of = count, .rounds = rounds, .versions = versions };
		if (pthread_create(&threads[i].id, NULL, work, &threads[i]))
			die("no thread");
	}
	if (work == while_reset)
		wrong += reset_all_along(rounds, backing_path);
	over = 1;
	for (i = 0; i < count; i++) {
		pthread_join(threads[i].id, NULL);
		wrong += threads[i].wrong;
	}
	return wrong;
}

static uint32_t *versions_of_all(uint32_t version)
{
	uint32_t *versions = malloc(pages * sizeof(*versions));
	size_t page;

	if (!versions)
		die("no memory for the versions of %zu pages", pages);
	for (page = 0; page < pages; page++)
		versions[page] = version;
	return versions;
}

static size_t half(int device)
{
	uint32_t *versions = versions_of_all(1);
	uint64_t random = 3;
	size_t page;

	for (page = 0; page < pages; page++) {
		if (random_next(&random) & 1)
			continue;
		discard(device, page, 1);
		versions[page] = ZEROS;
	}
	return check(device, versions, 0);
}

static size_t same_filled(int device)
{
	static const uint64_t masks[] = { 0xff, 0xffffffff, 0xfffffffffffff, ~0ull };
	uint64_t *word = (uint64_t *)buffer(PAGE), value;
	size_t page, i, wrong = 0;
	int writing;

	for (writing = 1; writing >= 0; writing--) {
		uint64_t random = 4;

		for (page = 0; page < pages; page++) {
			value = random_next(&random) & masks[page % 4];
			/* Every fifth differs in its last word, which must not be overlooked. */
			for (i = 0; i < PAGE / 8; i++)
				word[i] = value + (writing && i == PAGE / 8 - 1 && page % 5 == 0);
			if (writing) {
				if (pwrite(device, word, PAGE, page * PAGE) != (ssize_t)PAGE)
					die("a write at %zu", page);
				continue;
			}
			if (pread(device, word, PAGE, page * PAGE) != (ssize_t)PAGE)
				die("a read at %zu", page);
			for (i = 0; i < PAGE / 8; i++)
				if (word[i] != value + (i == PAGE / 8 - 1 && page % 5 == 0))
					break;
			if (i < PAGE / 8) {
				fprintf(stderr, "WRONG page %zu, word %zu: %#llx\n", page, i,
					(unsigned long long)word[i]);
				wrong++;
			}
		}
	}
	return wrong;
}

static size_t refuse(int device)
{
	char *at = buffer(4 * PAGE);
	uint64_t size, part[2] = { 512, PAGE }, beyond[2];
	size_t wrong = 0;

	if (ioctl(device, BLKGETSIZE64, &size))
		die("the size of %s", path);
	wrong += must_fail("a write of 512 bytes", pwrite(device, at, 512, 0), EINVAL);
	wrong += must_fail("a read of 512 bytes", pread(device, at, 512, 0), EINVAL);
	wrong += must_fail("a write at byte 512", pwrite(device, at, PAGE, 512), EINVAL);
	wrong += must_fail("a read at byte 512", pread(device, at, PAGE, 512), EINVAL);
	wrong += must_fail("a read of 1.5 pages", pread(device, at, PAGE + 2048, 0), EINVAL);
	wrong += must_fail("a write at the end", pwrite(device, at, PAGE, size), ENOSPC);
	wrong += must_fail("a discard at byte 512", ioctl(device, BLKDISCARD, part), EINVAL);
	wrong += must_fail("a zero-out at byte 512", ioctl(device, BLKZEROOUT, part), EINVAL);
	beyond[0] = size;
	beyond[1] = PAGE;
	wrong += must_fail("a discard at the end", ioctl(device, BLKDISCARD, beyond), EINVAL);
	if (pread(device, at, PAGE, size) != 0) {
		fprintf(stderr, "WRONG: a read at the end is not empty\n");
		wrong++;
	}
	/* Memory that does not start with a page: refused, or served in full. */
	fill_page(at + 512, &content, 1, 7);
	if (pwrite(device, at + 512, PAGE, PAGE) == (ssize_t)PAGE) {
		memset(at, 0, 4 * PAGE);
		if (pread(device, at + 2048, PAGE, PAGE) != (ssize_t)PAGE)
			die("a page that was written from unaligned memory cannot be read to such");
		wrong += wrong_page(at + 2048, 1, 7);
	} else {
		wrong += must_fail("a write from unaligned memory", -1, errno == EIO ? EIO : EINVAL);
	}
	return wrong;
}

static size_t failing(int device, size_t page)
{
	return must_fail("a read of a page that cannot be had", pread(device, buffer(PAGE), PAGE, page * PAGE), EIO);
}

static atomic_int settled;

/* Puts other words that do not compress into a page, again and again. */
static void *change_buffer(void *page)
{
	volatile uint64_t *words = page;
	uint64_t state = 1;

	while (!settled)
		for (size_t i = 0; i < PAGE / sizeof *words; i++)
			words[i] = random_next(&state);
	return NULL;
}

static size_t unstable(int device, unsigned int rounds)
{
	char *written = buffer(PAGE), *found = buffer(PAGE);
	size_t wrong = 0;
	pthread_t changer;

	if (pthread_create(&changer, NULL, change_buffer, written))
		die("no thread");
	for (unsigned int round = 0; round < rounds; round++) {
		off_t at = (off_t)(round % pages) * PAGE;

		if (pwrite(device, written, PAGE, at) != PAGE)
			die("a page cannot be written");
		if (pread(device, found, PAGE, at) != PAGE && wrong++ < 3)
			fprintf(stderr, "WRONG: page %u cannot be read: %s\n", round, strerror(errno));
	}
	settled = 1;
	pthread_join(changer, NULL);
	return wrong;
}

int main(int count, char **words)
{
	const char *what = count < 3 ? "" : words[1];
	unsigned int threads, rounds;
	uint32_t *versions;
	size_t wrong = 0;
	int device;

	if (count < 3) {
		fprintf(stderr, "blockio MODE DEVICE [MIB [THREADS ROUNDS]]\n");
		return 2;
	}
	path = words[2];
	pages = count > 3 && strcmp(what, "failing") ? number(words[3], 1, 1 << 20) << 8 : 0;
	threads = count > 4 ? number(words[4], 1, MOST_THREADS) : 1;
	rounds = count > 5 ? number(words[5], 1, 10000000) : 1;
	device = open_device(O_DIRECT);
	if (!strcmp(what, "fill")) {
		fill(device);
	} else if (!strcmp(what, "check")) {
		wrong = check(device, NULL, 1);
	} else if (!strcmp(what, "large")) {
		if (pages % MOST)
			die("%zu pages are not a multiple of %lu", pages, MOST);
		wrong = large(device);
	} else if (!strcmp(what, "random")) {
		versions = versions_of_all(1);
		wrong = in_threads(own_pages, threads, rounds, versions);
		wrong += check(device, versions, 0);
	} else if (!strcmp(what, "overlap")) {
		discard(device, 0, pages);
		wrong = in_threads(shared_pages, threads, rounds, NULL);
	} else if (!strcmp(what, "pile")) {
		wrong = in_threads(same_page, threads, rounds, NULL);
	} else if (!strcmp(what, "unstable")) {
		wrong = unstable(device, rounds);
	} else if (!strcmp(what, "reset")) {
		shared = device;
		backing_path = words[6];
		wrong = in_threads(while_reset, threads, rounds, NULL);
	} else if (!strcmp(what, "half")) {
		wrong = half(device);
	} else if (!strcmp(what, "blank")) {
		wrong = check(device, NULL, ZEROS);
	} else if (!strcmp(what, "same")) {
		wrong = same_filled(device);
	} else if (!strcmp(what, "refuse")) {
		wrong = refuse(device);
	} else if (!strcmp(what, "failing") && count == 4) {
		wrong = failing(device, number(words[3], 0, UINT32_MAX));
	} else {
		fprintf(stderr, "blockio: no mode '%s'\n", what);
		return 2;
	}
	if (close(device))
		die("close");
	printf("blockio %s: %zu wrong\n", what, wrong);
	return wrong != 0;
}
