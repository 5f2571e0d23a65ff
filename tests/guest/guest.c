/*
 * A guest that needs all its memory: it writes a pattern to every page of RAM but the first 8 MiB
 * and the last 2, checks all of it twice, and tells the result on the serial port and by its exit
 * status (isa-debug-exit: 0x10 verified, 0x11 a wrong word, 0x12 not started as it should be).
 *
 * Started by any Multiboot (version 1) loader such as `qemu-system-i386 -kernel`, in 32-bit
 * protected mode without paging.
 */
#include <stdint.h>

#define MULTIBOOT_MAGIC 0x1badb002u
#define MULTIBOOT_FLAGS 0x2u /* wants the size of the memory */
#define LOADED_BY_MULTIBOOT 0x2badb002u

__attribute__((section(".multiboot"), aligned(4), used))
static const uint32_t header[] = {
	MULTIBOOT_MAGIC, MULTIBOOT_FLAGS, -(MULTIBOOT_MAGIC + MULTIBOOT_FLAGS),
};

#define FIRST (8u << 20)
#define LAST_LEFT (2u << 20)
#define WORDS 1024u /* 32-bit words in a page */

static void out8(uint16_t port, uint8_t value)
{
	__asm__ volatile("outb %0, %1" : : "a"(value), "Nd"(port));
}

static void print(const char *text)
{
	while (*text)
		out8(0x3f8, (uint8_t)*text++);
}

static void print_number(uint32_t number)
{
	char digits[11];
	char *at = digits + sizeof digits - 1;

	*at = 0;
	do {
		*--at = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	print(at);
}

static void finish(uint8_t status)
{
	out8(0xf4, status);
	for (;;)
		__asm__ volatile("hlt");
}

/* The generator xorshift32 (Marsaglia, Journal of Statistical Software, 2003). */
static uint32_t next(uint32_t x)
{
	x ^= x << 13;
	x ^= x >> 17;
	return x ^ x << 5;
}

/* One word in eight is random, the others say which page it is: it compresses, and a page in
 * another's place is noticed. */
static uint32_t word(uint32_t page, uint32_t at, uint32_t *random)
{
	if (at % 8)
		return page;
	return *random = next(*random);
}

static void fill(uint32_t from, uint32_t to)
{
	for (uint32_t page = from; page < to; page++) {
		uint32_t *words = (uint32_t *)(page * 4096u);
		uint32_t random = page * 2654435761u | 1;

		for (uint32_t at = 0; at < WORDS; at++)
			words[at] = word(page, at, &random);
	}
}

static void verify(uint32_t from, uint32_t to)
{
	for (uint32_t page = from; page < to; page++) {
		const uint32_t *words = (const uint32_t *)(page * 4096u);
		uint32_t random = page * 2654435761u | 1;

		for (uint32_t at = 0; at < WORDS; at++) {
			if (words[at] != word(page, at, &random)) {
				print("wrong word in page ");
				print_number(page);
				print("\n");
				finish(0x11);
			}
		}
	}
}

/* `info` is the loader's table: its third word is the memory above 1 MiB in KiB. */
__attribute__((used)) static void guest(uint32_t magic, const uint32_t *info)
{
	uint32_t from = FIRST / 4096, to;

	if (magic != LOADED_BY_MULTIBOOT || !(info[0] & 1))
		finish(0x12);
	to = ((1024 + info[2]) * 1024 - LAST_LEFT) / 4096;
	fill(from, to);
	print("filled ");
	print_number((to - from) / 256);
	print(" MiB\n");
	verify(from, to);
	verify(from, to);
	print("verified twice\n");
	finish(0x10);
}

/* The loader leaves no stack. */
static uint8_t stack[16384] __attribute__((aligned(16), used));

__asm__(".global _start\n"
	"_start:\n"
	"	mov $stack + 16384, %esp\n"
	"	push %ebx\n"
	"	push %eax\n"
	"	call guest\n");
