// SPDX-License-Identifier: MIT OR Apache-2.0
/*
 * A plugin for QEMU's TCG: counts instructions by part of a measurement, and those with a lock
 * prefix (or xchg with memory, which locks too), in the kernel and in its modules.
 *
 *   gcc -O2 -shared -fPIC -o count.so count.c
 *   qemu-system-x86_64 … -plugin count.so,out=FILE
 *
 * A part begins at a nop with a number, see `mark` in programs/measure.c. At the end FILE has
 * lines `part N instructions I modules M locked L locked-in-modules K`. For one CPU only.
 *
 * The declarations are those of QEMU's plugin interface, version 4 (QEMU 9.2 and later).
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_plugin_scoreboard;
typedef uint64_t plugin_id;
/* A counter of each virtual CPU. */
typedef struct {
	struct qemu_plugin_scoreboard *score;
	size_t offset;
} counter;

struct qemu_plugin_scoreboard *qemu_plugin_scoreboard_new(size_t);
uint64_t qemu_plugin_u64_get(counter, unsigned int);
void qemu_plugin_u64_set(counter, unsigned int, uint64_t);
void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(struct qemu_plugin_insn *, int, counter, uint64_t);
void qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(struct qemu_plugin_tb *, int, counter, uint64_t);
void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *, void (*)(unsigned int, void *), int,
					    void *);
void qemu_plugin_register_atexit_cb(plugin_id, void (*)(plugin_id, void *), void *);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *, void *, size_t);

EXPORT int qemu_plugin_version = 4;

enum { ADD = 0, NO_REGISTERS = 0, PARTS = 16 };

/* Linux for x86-64: the kernel's half of the address space, and where modules lie in it. */
static const uint64_t KERNEL = 0xffff800000000000, MODULES = 0xffffffffc0000000;

enum { INSTRUCTIONS, IN_MODULES, LOCKED, LOCKED_IN_MODULES, COUNTS };

static counter current[COUNTS];
static uint64_t parts[PARTS][COUNTS];
static unsigned int part;
static char out[4096] = "count.out";

static void account(void)
{
	unsigned int i;

	for (i = 0; i < COUNTS; i++) {
		parts[part][i] += qemu_plugin_u64_get(current[i], 0);
		qemu_plugin_u64_set(current[i], 0, 0);
	}
}

static void begin_part(unsigned int cpu, void *which)
{
	(void)cpu;
	account();
	part = (uintptr_t)which;
}

/* Does the instruction take the bus lock? */
static bool locks(const uint8_t *code, size_t length)
{
	size_t i = 0;

	/* Segment, operand-size and address-size prefixes may stand before lock. */
	while (i < length && (code[i] == 0x66 || code[i] == 0x67 || code[i] == 0x2e || code[i] == 0x3e ||
			      code[i] == 0x64 || code[i] == 0x65 || code[i] == 0xf2 || code[i] == 0xf3))
		i++;
	if (i < length && code[i] == 0xf0)
		return true;
	if (i < length && (code[i] & 0xf0) == 0x40)
		i++;
	/* xchg whose operand is memory: its mod is not 3. */
	return i + 1 < length && (code[i] == 0x86 || code[i] == 0x87) && code[i + 1] >> 6 != 3;
}

static void translated(plugin_id id, struct qemu_plugin_tb *block)
{
	static const uint8_t nop[3] = { 0x0f, 0x1f, 0x80 }, number_end[3] = { 0x7a, 0x52, 0x5a };
	size_t i, n = qemu_plugin_tb_n_insns(block);
	uint64_t address = qemu_plugin_tb_vaddr(block);
	bool in_module = address >= MODULES;

	(void)id;
	if (address >= KERNEL) {
		qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, ADD, current[INSTRUCTIONS], n);
		if (in_module)
			qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(block, ADD, current[IN_MODULES], n);
	}
	for (i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
		uint8_t code[16] = { 0 };
		size_t length = qemu_plugin_insn_data(insn, code, sizeof(code));

		if (address < KERNEL) {
			if (length == 7 && !memcmp(code, nop, 3) && !memcmp(code + 4, number_end, 3) &&
			    code[3] < PARTS)
				qemu_plugin_register_vcpu_insn_exec_cb(insn, begin_part, NO_REGISTERS,
								       (void *)(uintptr_t)code[3]);
		} else if (locks(code, length)) {
			qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(insn, ADD, current[LOCKED], 1);
			if (in_module)
				qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu(
					insn, ADD, current[LOCKED_IN_MODULES], 1);
		}
	}
}

static void finish(plugin_id id, void *unused)
{
	FILE *file = fopen(out, "w");
	unsigned int i;

	(void)id;
	(void)unused;
	account();
	if (!file) {
		perror(out);
		return;
	}
	for (i = 0; i < PARTS; i++)
		if (parts[i][INSTRUCTIONS])
			fprintf(file, "part %u instructions %" PRIu64 " modules %" PRIu64 " locked %" PRIu64
				" locked-in-modules %" PRIu64 "\n", i, parts[i][INSTRUCTIONS],
				parts[i][IN_MODULES], parts[i][LOCKED], parts[i][LOCKED_IN_MODULES]);
	fclose(file);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int count, char **words)
{
	struct qemu_plugin_scoreboard *score = qemu_plugin_scoreboard_new(COUNTS * sizeof(uint64_t));
	unsigned int i;

	(void)info;
	for (i = 0; i < COUNTS; i++)
		current[i] = (counter){ score, i * sizeof(uint64_t) };
	for (; count--; words++)
		if (!strncmp(*words, "out=", 4))
			snprintf(out, sizeof(out), "%s", *words + 4);
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	qemu_plugin_register_atexit_cb(id, finish, NULL);
	return 0;
}
