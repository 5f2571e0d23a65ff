// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * unprivileged COMMAND...: runs a command as root without CAP_SYS_ADMIN and CAP_SYS_MODULE, so
 * that it may open what root may, and the driver's own check is what stops it.
 */
#include "guest.h"
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

int main(int count, char **words)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	if (count < 2)
		die("unprivileged COMMAND...");
	if (prctl(PR_CAPBSET_DROP, CAP_SYS_ADMIN, 0, 0, 0) || prctl(PR_CAPBSET_DROP, CAP_SYS_MODULE, 0, 0, 0))
		die("the bounding set");
	if (syscall(SYS_capget, &head, data))
		die("capget");
	data[0].effective &= ~(1u << CAP_SYS_ADMIN | 1u << CAP_SYS_MODULE);
	data[0].permitted &= ~(1u << CAP_SYS_ADMIN | 1u << CAP_SYS_MODULE);
	if (syscall(SYS_capset, &head, data))
		die("capset");
	execvp(words[1], words + 1);
	die("%s", words[1]);
}
