/* SPDX-License-Identifier: MIT OR Apache-2.0 */
/*
 * What the guest's programs share: ends with a message, random numbers that are the same in each
 * run, pages whose every byte can be checked, and memory that can be sent to swap.
 */
#ifndef GUEST_H
#define GUEST_H

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ul
#define MAYBE_UNUSED __attribute__((unused))

/* Ends the process with status 1 and a message, to which errno is added if it is not 0. */
static void MAYBE_UNUSED __attribute__((noreturn, format(printf, 1, 2))) die(const char *format, ...)
{
	int error = errno;
	va_list arguments;

	fflush(stdout);
	fprintf(stderr, "%s: ", program_invocation_short_name);
	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fprintf(stderr, error ? ": %s\n" : "\n", strerror(error));
	_exit(1);
}

/* The decimal number that `text` is, between `least` and `most`; anything else ends the process. */
static uint64_t MAYBE_UNUSED number(const char *text, uint64_t least, uint64_t most)
{
	char *end;
	uint64_t value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (errno || end == text || *end || value < least || value > most) {
		errno = 0;
		die("'%s' is not a number from %llu to %llu", text, (unsigned long long)least,
		    (unsigned long long)most);
	}
	return value;
}

/* The next of a row of random numbers (splitmix64, Steele et al. 2014). */
static uint64_t MAYBE_UNUSED random_next(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

/* A random number below `bound`, which is not 0 and small beside 2^32. */
static uint64_t MAYBE_UNUSED random_below(uint64_t *state, uint64_t bound)
{
	return (random_next(state) >> 32) % bound;
}

/* What pages are made of: their seed, and how many of 100 do not compress. */
struct content {
	uint64_t seed;
	unsigned int random_percent;
};

/*
 * Fills a page as version `version` of page `index`. It is text, addresses, mostly zeros,
 * same-filled, or random, by turns that look random; but for the same-filled ones its first words
 * say which page and version it is.
 */
static void MAYBE_UNUSED fill_page(void *page, const struct content *content, uint64_t index,
				   uint64_t version)
{
	static const char words[16][8] = {
		"page ", "swap ", "memory ", "chunk ", "frame ", "slot ", "device ", "codec ",
		"pool ", "kernel ", "of ", "the ", "a ", "writes ", "frees ", "and ",
	};
	uint64_t *word = page;
	uint64_t state = content->seed + index * 0x2545f4914f6cdd1d + version * 0xd1342543de82ef95;
	unsigned int kind = random_below(&state, 100);
	size_t i, length;
	uint64_t value;
	char *text = page;

	if (kind < content->random_percent) {
		for (i = 0; i < PAGE / 8; i++)
			word[i] = random_next(&state);
		return;
	}
	kind = random_below(&state, 20);
	if (kind < 1) {
		value = index * 64 + version % 64 + 1;
		for (i = 0; i < PAGE / 8; i++)
			word[i] = value;
		return;
	}
	memset(page, 0, PAGE);
	if (kind < 9) {
		for (i = 16; i < PAGE - 8; i += length) {
			value = random_next(&state);
			length = strlen(words[value % 16]);
			memcpy(text + i, words[value % 16], 8);
		}
	} else if (kind < 17) {
		value = 0x7f5500000000 + (random_next(&state) & 0xfffff0);
		for (i = 2; i < PAGE / 8; i++)
			word[i] = i % 4 == 3 ? random_below(&state, 1000) :
					       value + 16 * random_below(&state, 4096);
	} else {
		for (i = 0; i < 24; i++)
			word[2 + random_below(&state, PAGE / 8 - 2)] = random_next(&state);
	}
	word[0] = index;
	word[1] = version;
}

/* Is this page, byte for byte, version `version` of page `index`? If not, says what is wrong. */
static int MAYBE_UNUSED page_is(const void *page, const struct content *content, uint64_t index,
				uint64_t version)
{
	unsigned char wanted[PAGE];
	const unsigned char *found = page;
	size_t i;

	fill_page(wanted, content, index, version);
	if (!memcmp(page, wanted, PAGE))
		return 1;
	for (i = 0; found[i] == wanted[i]; i++)
		;
	fprintf(stderr, "WRONG page %llu version %llu: byte %zu is %#x, not %#x; words %#llx %#llx\n",
		(unsigned long long)index, (unsigned long long)version, i, found[i], wanted[i],
		((const unsigned long long *)page)[0], ((const unsigned long long *)page)[1]);
	return 0;
}

/* So many pages of memory of this process alone, or shared with its children. Never huge pages,
 * but for `huge`. */
static MAYBE_UNUSED void *memory(size_t pages, int shared, int huge)
{
	char *at = mmap(NULL, pages * PAGE + (2 << 20), PROT_READ | PROT_WRITE,
			(shared ? MAP_SHARED : MAP_PRIVATE) | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		die("no address space for %zu pages", pages);
	at = (char *)(((uintptr_t)at + (2 << 20) - 1) & ~(uintptr_t)((2 << 20) - 1));
	madvise(at, pages * PAGE, huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
	return at;
}

/* Asks the kernel to send these pages to swap. It may not do so for all. */
static void MAYBE_UNUSED page_out(void *from, size_t pages)
{
	size_t i, some;

	for (i = 0; i < pages; i += some) {
		some = pages - i < 512 ? pages - i : 512;
		if (madvise((char *)from + i * PAGE, some * PAGE, MADV_PAGEOUT))
			die("MADV_PAGEOUT");
	}
}

/* How many pages of this process are in swap. */
static size_t MAYBE_UNUSED pages_in_swap(void)
{
	char line[256];
	unsigned long kib = 0;
	FILE *status = fopen("/proc/self/status", "r");

	if (!status)
		die("/proc/self/status");
	while (fgets(line, sizeof(line), status))
		if (sscanf(line, "VmSwap: %lu kB", &kib) == 1)
			break;
	fclose(status);
	return kib / 4;
}

#endif
