// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * Speaks to a device as rzscontrol of compcache 0.6.2 did: by its ioctls, from their numbers
 * alone. It uses no header and no library, so that it can be built for 32 bits if there are
 * none for them: gcc -m32 -nostdlib -static -ffreestanding -fno-stack-protector -no-pie.
 *
 *   ioctl2010 DEVICE STEP...
 *     disksize=KIB  memlimit=KIB  backing=PATH  init  reset
 *     stats     prints the statistics of 244 bytes, `name value` in a line, values in decimal
 *     stats252  those of 252 bytes, with notify_free
 *     unknown   an ioctl that never was
 *     disksize=null  memlimit=null  backing=null  stats=null   a bad address
 *     backing=unterminated   a path of 128 characters
 * A step may end in !ERRNO, the number of the error that it must end with; without, it must
 * succeed. The first that does otherwise ends the program with status 1. The device is opened
 * once, without waiting, as rzscontrol did.
 */
typedef unsigned char u8;
typedef unsigned int u32;
typedef unsigned long long u64;

#ifdef __x86_64__
enum { WRITE = 1, OPEN = 2, IOCTL = 16, EXIT = 60 };
/* _IOW('z', 0 and 1, size_t) of a 64-bit caller. */
enum { SET_DISKSIZE_KB = 0x40087a00, SET_MEMLIMIT_KB = 0x40087a01 };
#else
enum { EXIT = 1, WRITE = 4, OPEN = 5, IOCTL = 54 };
enum { SET_DISKSIZE_KB = 0x40047a00, SET_MEMLIMIT_KB = 0x40047a01 };
#endif
#define SET_BACKING_SWAP 0x40807a02u
#define GET_STATS_244 0x80f47a03u
#define GET_STATS_252 0x80fc7a03u
enum { INIT = 0x7a04, RESET = 0x7a05, UNKNOWN = 0x7a06 };
enum { READ_WRITE = 2, NONBLOCK = 04000 };

/* The statistics in their order, after 128 bytes of the backing swap's name, without gaps. */
static const struct field {
	const char *name;
	u32 bytes;
	int only252;
} fields[] = {
	{ "memlimit", 8, 0 }, { "disksize", 8, 0 }, { "num_reads", 8, 0 }, { "num_writes", 8, 0 },
	{ "failed_reads", 8, 0 }, { "failed_writes", 8, 0 }, { "invalid_io", 8, 0 },
	{ "notify_free", 8, 1 }, { "pages_zero", 4, 0 }, { "good_compress_pct", 4, 0 },
	{ "pages_expand_pct", 4, 0 }, { "pages_stored", 4, 0 }, { "pages_used", 4, 0 },
	{ "orig_data_size", 8, 0 }, { "compr_data_size", 8, 0 }, { "mem_used_total", 8, 0 },
	{ "bdev_num_reads", 8, 0 }, { "bdev_num_writes", 8, 0 },
};

static long call(long number, long a, long b, long c)
{
	long result;

#ifdef __x86_64__
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c)
			 : "rcx", "r11", "memory");
#else
	__asm__ volatile("int $0x80" : "=a"(result) : "a"(number), "b"(a), "c"(b), "d"(c)
			 : "memory");
#endif
	return result;
}

#if !__STDC_HOSTED__
/* gcc calls it even if there is no library. */
void *memset(void *to, int value, unsigned long length);
void *memset(void *to, int value, unsigned long length)
{
	for (volatile u8 *at = to; length--; at++)
		*at = value;
	return to;
}
#endif

static unsigned long length_of(const char *text)
{
	unsigned long length = 0;

	while (text[length])
		length++;
	return length;
}

static void print(const char *text)
{
	call(WRITE, 1, (long)text, length_of(text));
}

/* By bits, because a 32-bit program cannot divide 64-bit numbers without a library. */
static void print_number(u64 value)
{
	u8 digits[20] = { 0 };
	char text[21];
	int bit, i, first = 0;

	for (bit = 63; bit >= 0; bit--) {
		u32 carry = value >> bit & 1;

		for (i = 19; i >= 0; i--) {
			u32 twice = digits[i] * 2u + carry;

			carry = twice >= 10;
			digits[i] = twice - 10 * carry;
		}
	}
	while (first < 19 && !digits[first])
		first++;
	for (i = first; i < 20; i++)
		text[i - first] = '0' + digits[i];
	text[20 - first] = 0;
	print(text);
}

static void print_value(const char *name, u64 value)
{
	print(name);
	print(" ");
	print_number(value);
	print("\n");
}

static void __attribute__((noreturn)) exit_with(int status)
{
	for (;;)
		call(EXIT, status, 0, 0);
}

/* What of `text` comes after `start`, or nothing if it does not start so. */
static const char *after(const char *text, const char *start)
{
	while (*start)
		if (*text++ != *start++)
			return 0;
	return text;
}

static int same(const char *a, const char *b)
{
	const char *rest = after(a, b);

	return rest && !*rest;
}

static u64 number_in(const char *text)
{
	u64 value = 0;

	for (; *text >= '0' && *text <= '9'; text++)
		value = value * 10 + (*text - '0');
	if (*text) {
		print("not a number\n");
		exit_with(2);
	}
	return value;
}

/* Gets and prints the statistics that are `bytes` long, 244 or 252. */
static long stats(int device, u32 request, u32 bytes)
{
	static u8 room[256];
	u32 i, k, at = 128;
	long result;

	/* The bytes after them must stay as they were. */
	for (i = 0; i < sizeof(room); i++)
		room[i] = 0x5a;
	result = call(IOCTL, device, request, (long)room);
	if (result)
		return result;
	if (room[127] != 0 || room[bytes - 1] == 0x5a || room[bytes] != 0x5a) {
		print("WRONG: the name does not end, or the statistics are not as long as they say\n");
		exit_with(1);
	}
	print("name ");
	print((const char *)room);
	print("\n");
	for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
		u64 value = 0;

		if (fields[i].only252 && bytes != 252)
			continue;
		for (k = 0; k < fields[i].bytes; k++)
			value |= (u64)room[at++] << 8 * k;
		print_value(fields[i].name, value);
	}
	if (at != bytes) {
		print("WRONG: the fields do not add up to the size in the number\n");
		exit_with(1);
	}
	return 0;
}

static long backing(int device, const char *path)
{
	static char name[128];
	unsigned long i;

	for (i = 0; i < sizeof(name); i++)
		name[i] = 'x';
	if (!same(path, "unterminated")) {
		for (i = 0; i < sizeof(name) - 1 && path[i]; i++)
			name[i] = path[i];
		for (; i < sizeof(name); i++)
			name[i] = 0;
	}
	return call(IOCTL, device, SET_BACKING_SWAP, (long)name);
}

static long size(int device, u32 request, const char *text)
{
	unsigned long value = number_in(text);

	return call(IOCTL, device, request, (long)&value);
}

static long step(int device, const char *what)
{
	const char *rest;

	if (same(what, "init"))
		return call(IOCTL, device, INIT, 0);
	if (same(what, "reset"))
		return call(IOCTL, device, RESET, 0);
	if (same(what, "unknown"))
		return call(IOCTL, device, UNKNOWN, 0);
	if (same(what, "stats"))
		return stats(device, GET_STATS_244, 244);
	if (same(what, "stats252"))
		return stats(device, GET_STATS_252, 252);
	if (same(what, "stats=null"))
		return call(IOCTL, device, GET_STATS_244, 0);
	if (same(what, "disksize=null"))
		return call(IOCTL, device, SET_DISKSIZE_KB, 0);
	if (same(what, "memlimit=null"))
		return call(IOCTL, device, SET_MEMLIMIT_KB, 0);
	if (same(what, "backing=null"))
		return call(IOCTL, device, SET_BACKING_SWAP, 0);
	if ((rest = after(what, "disksize=")))
		return size(device, SET_DISKSIZE_KB, rest);
	if ((rest = after(what, "memlimit=")))
		return size(device, SET_MEMLIMIT_KB, rest);
	if ((rest = after(what, "backing=")))
		return backing(device, rest);
	print("unknown step: ");
	print(what);
	print("\n");
	exit_with(2);
}

/* Does a step, of which the part from ! on is cut off. */
static void expect(int device, char *what)
{
	long wanted = 0, found;
	char *end_of_step = what;

	while (*end_of_step && *end_of_step != '!')
		end_of_step++;
	if (*end_of_step) {
		*end_of_step = 0;
		wanted = number_in(end_of_step + 1);
	}
	found = -step(device, what);
	if (found == wanted)
		return;
	print("WRONG: ");
	print(what);
	print(" ends with error ");
	print_number(found);
	print(", not ");
	print_number(wanted);
	print("\n");
	exit_with(1);
}

void main_of(long count, char **words) __attribute__((noreturn, used));
void main_of(long count, char **words)
{
	int device;
	long i;

	if (count < 3) {
		print("ioctl2010 DEVICE STEP...\n");
		exit_with(2);
	}
	device = call(OPEN, (long)words[1], READ_WRITE | NONBLOCK, 0);
	if (device < 0) {
		print("WRONG: the device cannot be opened: error ");
		print_number(-device);
		print("\n");
		exit_with(1);
	}
	for (i = 2; i < count; i++)
		expect(device, words[i]);
	exit_with(0);
}

#if __STDC_HOSTED__
int main(int count, char **words)
{
	main_of(count, words);
}
#elif defined(__x86_64__)
__asm__(".globl _start\n_start: mov (%rsp), %rdi\n lea 8(%rsp), %rsi\n and $-16, %rsp\n call main_of\n");
#else
__asm__(".globl _start\n_start: mov (%esp), %eax\n lea 4(%esp), %ecx\n and $-16, %esp\n sub $8, %esp\n push %ecx\n push %eax\n call main_of\n");
#endif
