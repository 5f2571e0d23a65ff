// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Processors: locks, preemption, vector registers, time. */
#include <linux/build_bug.h>
#include <linux/cpumask.h>
#include <linux/delay.h>
#include <linux/kernel.h>
#include <linux/lockdep.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/sched/clock.h>
#include <linux/smp.h>
#include <linux/spinlock.h>
#include <asm/fpu/api.h>

#include "shim.h"

/*
 * The locks of the pool's arenas lie in the core's own structures, which are compiled once for all
 * kernels. So they are the bare lock, which is four bytes on every x86 kernel, and not spinlock_t,
 * whose size depends on the kernel's debug options. Each is the innermost lock where it is taken.
 */
static arch_spinlock_t *bare(u32 *lock)
{
	BUILD_BUG_ON(sizeof(arch_spinlock_t) != sizeof(u32));
	return (arch_spinlock_t *)lock;
}

/*
 * What lockdep sees of them: one lock for all, which nobody may take while they hold one, nor take
 * anything but a raw spinlock under. Compiled to nothing in a kernel without lockdep.
 */
#ifdef CONFIG_DEBUG_LOCK_ALLOC
static struct lock_class_key arenas_key;
static struct lockdep_map arenas = {
	.name = RZK_NAME " arena",
	.key = &arenas_key,
	.wait_type_inner = LD_WAIT_SPIN,
};
#endif

void rzk_spin_lock(u32 *lock)
{
	preempt_disable();
	spin_acquire(&arenas, 0, 0, _RET_IP_);
	arch_spin_lock(bare(lock));
}

bool rzk_spin_trylock(u32 *lock)
{
	preempt_disable();
	if (arch_spin_trylock(bare(lock))) {
		spin_acquire(&arenas, 0, 1, _RET_IP_);
		return true;
	}
	preempt_enable();
	return false;
}

void rzk_spin_unlock(u32 *lock)
{
	spin_release(&arenas, _RET_IP_);
	arch_spin_unlock(bare(lock));
	preempt_enable();
}

/* Processors are numbered below this. */
u32 rzk_nr_cpu_ids(void)
{
	return nr_cpu_ids;
}

/* Stays on the processor whose number is returned, without being preempted. */
u32 rzk_get_cpu(void)
{
	return get_cpu();
}

void rzk_put_cpu(void)
{
	put_cpu();
}

/* Makes the vector registers ours, if they can be had here. Preemption is off until the end. */
bool rzk_fpu_begin(void)
{
	if (!irq_fpu_usable())
		return false;
	kernel_fpu_begin();
	return true;
}

void rzk_fpu_end(void)
{
	kernel_fpu_end();
}

u64 rzk_local_clock(void)
{
	return local_clock();
}

/* Lets others have the processor if they wait for it. */
void rzk_cond_resched(void)
{
	cond_resched();
}

/* Sleeps for a moment, while somebody else's I/O ends. */
void rzk_usleep(void)
{
	usleep_range(50, 200);
}
