// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Are shrinkers allocated by the kernel (from 6.7)? */
#include <linux/shrinker.h>

void probe(void);
void probe(void)
{
	struct shrinker *shrinker = shrinker_alloc(0, "probe");

	shrinker->private_data = NULL;
	shrinker_register(shrinker);
	shrinker_free(shrinker);
}
