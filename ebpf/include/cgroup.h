/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* The key that user space knows a container by: the kernfs id of its cgroup directory. */
#ifndef __HUATUO_CGROUP_H__
#define __HUATUO_CGROUP_H__

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>

/* Set before loading: the memory controller is mounted as cgroup v1. */
const volatile bool memory_is_v1 = false;

#define MEMORY_SUBSYS bpf_core_enum_value(enum cgroup_subsys_id, memory_cgrp_id)

/* The task's cgroup, in BTF-typed contexts where plain loads are allowed. */
static __always_inline struct cgroup *cgroup_of_typed(struct task_struct *task)
{
	if (memory_is_v1)
		return task->cgroups->subsys[MEMORY_SUBSYS]->cgroup;
	return task->cgroups->dfl_cgrp;
}

/* The same from any context. */
static __always_inline struct cgroup *cgroup_of(struct task_struct *task)
{
	struct css_set *set = BPF_CORE_READ(task, cgroups);

	if (memory_is_v1) {
		struct cgroup_subsys_state *css;

		bpf_core_read(&css, sizeof(css), &set->subsys[MEMORY_SUBSYS]);
		return BPF_CORE_READ(css, cgroup);
	}
	return BPF_CORE_READ(set, dfl_cgrp);
}

static __always_inline u64 cgroup_id_of(struct task_struct *task)
{
	return BPF_CORE_READ(cgroup_of(task), kn, id);
}

#endif
