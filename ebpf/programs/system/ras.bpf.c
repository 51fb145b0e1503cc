/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Errors of the hardware, by who reported them and what they did. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "ras.h"

/* arch/x86/include/asm/mce.h */
#define MCI_STATUS_UC (1ULL << 61)
#define MCI_STATUS_PCC (1ULL << 57)
#define MCI_STATUS_S (1ULL << 56)
#define MCI_STATUS_DEFERRED (1ULL << 44)

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ras_errors);
} errors SEC(".maps");

static __always_inline int count(u32 source, u32 severity, u64 more)
{
	u32 zero = 0;
	struct ras_errors *cpu = bpf_map_lookup_elem(&errors, &zero);

	if (cpu && source < RAS_SOURCES && severity < RAS_SEVERITIES)
		cpu->counts[source][severity] += more;
	return 0;
}

/* An uncorrected error that is not signaled can wait (UCNA); one that breaks the context cannot. */
static __always_inline u32 severity_of_mce(u64 status)
{
	if (!(status & MCI_STATUS_UC))
		return status & MCI_STATUS_DEFERRED ? RAS_DEFERRED : RAS_CORRECTED;
	if (status & MCI_STATUS_PCC)
		return RAS_FATAL;
	return status & MCI_STATUS_S ? RAS_RECOVERABLE : RAS_DEFERRED;
}

/* Since v6.13 a struct mce_hw_err, which begins with the struct mce. */
SEC("raw_tp/mce_record")
int mce_record_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct mce *mce = (struct mce *)ctx->args[0];

	return count(RAS_MCE, severity_of_mce(BPF_CORE_READ(mce, status)), 1);
}

SEC("raw_tp/mc_event")
int mc_event_raw(struct bpf_raw_tracepoint_args *ctx)
{
	/* enum hw_event_mc_err_type (include/linux/edac.h). */
	static const u32 severities[] = { RAS_CORRECTED, RAS_RECOVERABLE, RAS_DEFERRED, RAS_FATAL, RAS_INFO };
	u32 type = (u32)ctx->args[0], severity = RAS_INFO;

	/* Not by index: the table would be memory that a program has to be given. */
#pragma unroll
	for (u32 i = 0; i < 5; i++)
		if (type == i)
			severity = severities[i];
	return count(RAS_EDAC, severity, (u32)ctx->args[3]);
}

SEC("raw_tp/non_standard_event")
int non_standard_event_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u8 severity = (u8)ctx->args[3];

	/* enum of ghes severities (include/acpi/ghes.h): none, corrected, recoverable, panic. */
	switch (severity) {
	case 1:
		return count(RAS_GHES, RAS_CORRECTED, 1);
	case 2:
		return count(RAS_GHES, RAS_RECOVERABLE, 1);
	case 3:
		return count(RAS_GHES, RAS_FATAL, 1);
	default:
		return count(RAS_GHES, RAS_INFO, 1);
	}
}

SEC("raw_tp/aer_event")
int aer_event_raw(struct bpf_raw_tracepoint_args *ctx)
{
	/* include/linux/aer.h: non-fatal, fatal, corrected. */
	switch ((u8)ctx->args[2]) {
	case 0:
		return count(RAS_AER, RAS_RECOVERABLE, 1);
	case 1:
		return count(RAS_AER, RAS_FATAL, 1);
	default:
		return count(RAS_AER, RAS_CORRECTED, 1);
	}
}

/* A bank has corrected as many errors as its threshold says. */
SEC("raw_tp/threshold_apic_entry")
int threshold_apic_entry_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return count(RAS_MCE_THRESHOLD, RAS_CORRECTED, 1);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
