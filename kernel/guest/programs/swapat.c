// SPDX-License-Identifier: MIT OR Apache-2.0
/* swapat PRIORITY DEVICE: swapon -p, which busybox's swapon may not have. */
#include "guest.h"
#include <sys/swap.h>

int main(int count, char **words)
{
	if (count != 3) {
		fprintf(stderr, "swapat PRIORITY DEVICE\n");
		return 2;
	}
	if (swapon(words[2], SWAP_FLAG_PREFER | (number(words[1], 0, SWAP_FLAG_PRIO_MASK))))
		die("%s", words[2]);
	return 0;
}
