// SPDX-License-Identifier: GPL-2.0 OR MIT
/* Threads of a device, and their sleep. */
#include <linux/kthread.h>
#include <linux/sched.h>
#include <linux/sched/mm.h>
#include <linux/slab.h>
#include <linux/wait.h>
#include <uapi/linux/sched/types.h>

#include "shim.h"

struct rzk_thread {
	wait_queue_head_t sleep;
	bool woken;
	struct task_struct *task;
	u32 kind;
	bool idle;
	struct rz_live *live;
};

struct rzk_thread *rzk_thread_alloc(void)
{
	struct rzk_thread *thread = kzalloc(sizeof(*thread), GFP_KERNEL);

	if (thread)
		init_waitqueue_head(&thread->sleep);
	return thread;
}

void rzk_thread_free(struct rzk_thread *thread)
{
	kfree(thread);
}

static int run(void *argument)
{
	struct rzk_thread *thread = argument;

	/* What it allocates must not wait for pages that only it can store. */
	memalloc_noio_save();
	if (thread->idle) {
		struct sched_attr attr = {
			.size = sizeof(attr),
			.sched_policy = SCHED_IDLE,
		};

		sched_setattr_nocheck(current, &attr);
	}
	rz_thread_run(thread->live, thread->kind);
	/* The core may have returned for lack of work: kthread_stop() wants a thread that lives. */
	while (!kthread_should_stop())
		wait_event_idle(thread->sleep, kthread_should_stop());
	return 0;
}

/* kind is handed to the core; an idle thread runs when nobody else wants the processor. */
int rzk_thread_start(struct rzk_thread *thread, u32 number, const char *role, u32 kind, bool idle,
		     struct rz_live *live)
{
	struct task_struct *task;

	thread->kind = kind;
	thread->idle = idle;
	thread->live = live;
	task = kthread_run(run, thread, RZK_NAME "%u/%s", number, role);
	if (IS_ERR(task))
		return PTR_ERR(task);
	thread->task = task;
	return 0;
}

/* Waits for the thread to end. */
void rzk_thread_stop(struct rzk_thread *thread)
{
	if (thread->task)
		kthread_stop(thread->task);
	thread->task = NULL;
}

/* Never sleeps: may be called under a spinlock. */
void rzk_thread_wake(struct rzk_thread *thread)
{
	WRITE_ONCE(thread->woken, true);
	wake_up(&thread->sleep);
}

/* The calling thread: whether it is to end. */
bool rzk_thread_should_stop(struct rzk_thread *thread)
{
	return kthread_should_stop();
}

/* The calling thread: whether it was woken since this was last asked. */
bool rzk_thread_clear_woken(struct rzk_thread *thread)
{
	return xchg(&thread->woken, false);
}

/* The calling thread: sleeps until it is woken, stopped or limit_ms have passed (0: no limit). */
void rzk_thread_sleep(struct rzk_thread *thread, u64 limit_ms)
{
	long limit = limit_ms ? msecs_to_jiffies(limit_ms) : MAX_SCHEDULE_TIMEOUT;

	wait_event_idle_timeout(thread->sleep, READ_ONCE(thread->woken) || kthread_should_stop(),
				limit);
}

/* Whether the calling thread is one of a device. */
bool rzk_in_own_thread(void)
{
	return (current->flags & PF_KTHREAD) && kthread_func(current) == run;
}

/* Processor time that the calling thread has used. */
u64 rzk_thread_cpu_ns(void)
{
	return current->se.sum_exec_runtime;
}
