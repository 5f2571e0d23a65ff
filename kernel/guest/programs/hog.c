// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Fills memory with pages that can be checked, changes them at random, and checks them, while
 * the kernel swaps them out and in. A wrong byte is named and ends it with status 1.
 *
 *   hog [OPTION]... MIB
 *     -p N     so many processes, MIB each [1]
 *     -r N     rounds of changing and checking [2]
 *     -u FILE  rounds until FILE is there, at least as many as -r says
 *     -i PCT   so many pages of 100 do not compress [10]
 *     -s SEED  of contents and order [1]
 *     -o       send pages to swap by MADV_PAGEOUT in each round, not by need alone
 *     -f       fork in each round: parent and child change other pages of what they share
 *     -h       free a random half in each round, and check the rest
 *     -m       memory is shared (shmem), not anonymous
 *     -t       of huge pages, if the kernel has them
 *     -x       end after the last change, without a check: all slots are freed by exit
 */
#include "guest.h"
#include <sys/wait.h>

struct orders {
	size_t pages;
	unsigned int rounds;
	const char *until;
	int out, fork, half, shared, huge, leave;
	struct content content;
};

/* Memory, and the version of each of its pages, 0 for one of zeros. Both are shared, or neither. */
struct held {
	char *pages;
	uint32_t *versions;
};

static void change(const struct orders *orders, struct held *held, size_t page, uint32_t version)
{
	held->versions[page] = version;
	fill_page(held->pages + page * PAGE, &orders->content, page, version);
}

static size_t wrong_pages(const struct orders *orders, const struct held *held)
{
	static const char zeros[PAGE];
	size_t page, wrong = 0;

	for (page = 0; page < orders->pages; page++) {
		const char *at = held->pages + page * PAGE;

		if (held->versions[page])
			wrong += !page_is(at, &orders->content, page, held->versions[page]);
		else if (memcmp(at, zeros, PAGE)) {
			fprintf(stderr, "WRONG page %zu, which was freed: not of zeros\n", page);
			wrong++;
		}
	}
	return wrong;
}

static void free_half(const struct orders *orders, struct held *held, uint64_t *random)
{
	size_t page;

	for (page = 0; page < orders->pages; page++) {
		if (random_next(random) & 1)
			continue;
		held->versions[page] = 0;
		if (madvise(held->pages + page * PAGE, PAGE,
			    orders->shared ? MADV_REMOVE : MADV_DONTNEED))
			die("page %zu cannot be freed", page);
	}
}

/* Parent and child each change a quarter of the pages, of shared memory other ones, and check. */
static size_t forked(const struct orders *orders, struct held *held, uint64_t *random)
{
	size_t i, page;
	int status;
	pid_t child = fork();

	if (child < 0)
		die("fork");
	for (i = 0; i < orders->pages / 4; i++) {
		page = random_below(random, orders->pages);
		if (orders->shared && page % 2 == !child)
			continue;
		change(orders, held, page, held->versions[page] + (child ? 1 : 1000));
	}
	if (orders->out)
		page_out(held->pages, orders->pages);
	if (!child)
		_exit(!orders->shared && wrong_pages(orders, held));
	if (waitpid(child, &status, 0) != child)
		die("waitpid");
	if (!WIFEXITED(status) || WEXITSTATUS(status)) {
		fprintf(stderr, "WRONG: the child ended with %#x\n", status);
		return 1;
	}
	return 0;
}

static int hog(const struct orders *orders)
{
	struct held held = {
		.pages = memory(orders->pages, orders->shared, orders->huge),
		.versions = memory(orders->pages * sizeof(*held.versions) / PAGE + 1, orders->shared, 0),
	};
	uint64_t random = orders->content.seed;
	size_t i, page, wrong = 0;
	unsigned int round;

	for (page = 0; page < orders->pages; page++)
		change(orders, &held, page, 1);
	if (orders->out)
		page_out(held.pages, orders->pages);
	wrong += wrong_pages(orders, &held);
	for (round = 0; round < orders->rounds || (orders->until && access(orders->until, F_OK)); round++) {
		for (i = 0; i < orders->pages / 2; i++) {
			page = random_below(&random, orders->pages);
			change(orders, &held, page, held.versions[page] + 1);
		}
		if (orders->half)
			free_half(orders, &held, &random);
		if (orders->out)
			page_out(held.pages, orders->pages);
		if (orders->leave && round + 1 >= orders->rounds)
			break;
		if (orders->fork)
			wrong += forked(orders, &held, &random);
		wrong += wrong_pages(orders, &held);
		if (wrong)
			break;
	}
	printf("hog %d: %zu pages, %u rounds, %zu in swap, %zu wrong\n", getpid(), orders->pages, round,
	       pages_in_swap(), wrong);
	fflush(stdout);
	return wrong != 0;
}

int main(int count, char **words)
{
	struct orders orders = { .rounds = 2, .content = { .seed = 1, .random_percent = 10 } };
	unsigned int processes = 1, i;
	int option, status, failed = 0;

	while ((option = getopt(count, words, "p:r:u:i:s:ofhmtx")) != -1) {
		switch (option) {
		case 'p': processes = number(optarg, 1, 256); break;
		case 'r': orders.rounds = number(optarg, 0, 1000000); break;
		case 'u': orders.until = optarg; break;
		case 'i': orders.content.random_percent = number(optarg, 0, 100); break;
		case 's': orders.content.seed = number(optarg, 0, UINT32_MAX); break;
		case 'o': orders.out = 1; break;
		case 'f': orders.fork = 1; break;
		case 'h': orders.half = 1; break;
		case 'm': orders.shared = 1; break;
		case 't': orders.huge = 1; break;
		case 'x': orders.leave = 1; break;
		default: return 2;
		}
	}
	if (optind + 1 != count) {
		fprintf(stderr, "hog: one size is wanted, MiB\n");
		return 2;
	}
	orders.pages = number(words[optind], 1, 1 << 20) << 20 >> 12;
	for (i = 1; i < processes; i++) {
		pid_t child = fork();

		if (child < 0)
			die("fork");
		if (!child) {
			orders.content.seed += i;
			_exit(hog(&orders));
		}
	}
	failed = hog(&orders);
	while (wait(&status) > 0)
		failed |= !WIFEXITED(status) || WEXITSTATUS(status);
	return failed;
}
