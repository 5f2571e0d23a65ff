// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Makes, changes and removes device-mapper devices: the part of dmsetup that the tests need.
 *
 *   dm create NAME START LENGTH TARGET ARGUMENTS   in sectors; prints the node's path
 *   dm load NAME START LENGTH TARGET ARGUMENTS     takes the place of its table
 *   dm remove NAME
 */
#include "guest.h"
#include <linux/dm-ioctl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

struct request {
	struct dm_ioctl head;
	struct dm_target_spec target;
	char arguments[1024];
};

static int control;

static void device_mapper(const char *name, unsigned long what, struct request *request)
{
	struct dm_ioctl *head = &request->head;

	head->version[0] = DM_VERSION_MAJOR;
	head->data_size = sizeof(*request);
	head->data_start = sizeof(*head);
	snprintf(head->name, sizeof(head->name), "%s", name);
	if (ioctl(control, what, head))
		die("device-mapper: request %#lx for %s", what, name);
}

static void load(const char *name, char **words)
{
	struct request request = { .head.target_count = 1 };

	request.target.sector_start = number(words[0], 0, UINT32_MAX);
	request.target.length = number(words[1], 1, UINT32_MAX);
	snprintf(request.target.target_type, sizeof(request.target.target_type), "%s", words[2]);
	snprintf(request.arguments, sizeof(request.arguments), "%s", words[3]);
	device_mapper(name, DM_TABLE_LOAD, &request);
}

/* A request that has a name only. DM_DEV_SUSPEND without its flag resumes, with the table loaded. */
static void name_only(const char *name, unsigned long what)
{
	struct request request = { 0 };

	device_mapper(name, what, &request);
	if (what == DM_DEV_CREATE)
		printf("/dev/dm-%u\n", minor(request.head.dev));
}

int main(int count, char **words)
{
	char dev[16] = "";
	FILE *misc = fopen("/sys/class/misc/device-mapper/dev", "r");
	unsigned int major_number = 10, minor_number = 236;

	if (count < 3)
		die("dm create|load|remove NAME [START LENGTH TARGET ARGUMENTS]");
	if (misc && fgets(dev, sizeof(dev), misc))
		sscanf(dev, "%u:%u", &major_number, &minor_number);
	if (misc)
		fclose(misc);
	mkdir("/dev/mapper", 0755);
	if (mknod("/dev/mapper/control", S_IFCHR | 0600, makedev(major_number, minor_number)) && errno != EEXIST)
		die("/dev/mapper/control");
	control = open("/dev/mapper/control", O_RDWR);
	if (control < 0)
		die("/dev/mapper/control: load dm-mod first");
	errno = 0;
	if (!strcmp(words[1], "remove") && count == 3) {
		name_only(words[2], DM_DEV_REMOVE);
	} else if (!strcmp(words[1], "create") && count == 7) {
		name_only(words[2], DM_DEV_CREATE);
		load(words[2], words + 3);
		name_only(words[2], DM_DEV_SUSPEND);
	} else if (!strcmp(words[1], "load") && count == 7) {
		load(words[2], words + 3);
		name_only(words[2], DM_DEV_SUSPEND);
	} else {
		die("what is wanted of %s?", words[2]);
	}
	return 0;
}
