/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
/* Errors of the hardware: counted by who reported them and what they did, and each an event. */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include "event.h"
#include "ras.h"

/* arch/x86/include/asm/mce.h */
#define MCI_STATUS_UC (1ULL << 61)
#define MCI_STATUS_PCC (1ULL << 57)
#define MCI_STATUS_S (1ULL << 56) /* Intel */
#define MCI_STATUS_DEFERRED (1ULL << 44) /* AMD */
/* arch/x86/include/asm/processor.h */
#define X86_VENDOR_AMD 2
#define X86_VENDOR_HYGON 9

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct ras_errors);
} errors SEC(".maps");

static __always_inline void count(u32 source, u32 severity, u64 more)
{
	u32 zero = 0;
	struct ras_errors *cpu = bpf_map_lookup_elem(&errors, &zero);

	if (cpu && source < RAS_SOURCES && severity < RAS_SEVERITIES)
		cpu->counts[source][severity] += more;
}

/* Room for a record of `size` bytes with its head, or null where the rate limit holds it back. */
static __always_inline void *begin(u64 size, u32 source, u32 severity)
{
	u64 now_ns = bpf_ktime_get_boot_ns();
	/* A storm of corrected errors does not hide one that is not. */
	u64 most = severity == RAS_CORRECTED ? events_per_second / 2 : events_per_second;
	struct ras_head *head = event_reserve_up_to(most, size, now_ns);

	if (!head)
		return NULL;
	head->source = source;
	head->severity = severity;
	head->cpu = -1;
	return head;
}

/* Bits 56 and 44 mean something else to AMD's processors, and those like them, than to Intel's. */
static __always_inline bool is_of_amd(struct mce *mce)
{
	u8 vendor = BPF_CORE_READ(mce, cpuvendor);

	return vendor == X86_VENDOR_AMD || vendor == X86_VENDOR_HYGON;
}

/* An uncorrected error that is not signaled can wait (UCNA); one that breaks the context cannot. */
static __always_inline u32 severity_of_mce(struct mce *mce, u64 status)
{
	bool is_amds = is_of_amd(mce);

	if (!(status & MCI_STATUS_UC))
		return is_amds && status & MCI_STATUS_DEFERRED ? RAS_DEFERRED : RAS_CORRECTED;
	if (status & MCI_STATUS_PCC)
		return RAS_FATAL;
	if (is_amds || status & MCI_STATUS_S || BPF_CORE_READ(mce, bank) == RAS_MCE_NO_BANK)
		return RAS_RECOVERABLE;
	return RAS_DEFERRED;
}

/* Since v6.13 a struct mce_hw_err, which begins with the struct mce. */
SEC("raw_tp/mce_record")
int mce_record_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct mce *mce = (struct mce *)ctx->args[0];
	u64 status = BPF_CORE_READ(mce, status);
	u32 severity = severity_of_mce(mce, status);
	struct ras_mce *out;

	count(RAS_MCE, severity, 1);
	out = begin(sizeof(*out), RAS_MCE, severity);
	if (!out)
		return 0;
	out->head.cpu = BPF_CORE_READ(mce, extcpu);
	out->mcg_cap = BPF_CORE_READ(mce, mcgcap);
	out->mcg_status = BPF_CORE_READ(mce, mcgstatus);
	out->status = status;
	out->address = BPF_CORE_READ(mce, addr);
	out->misc = BPF_CORE_READ(mce, misc);
	out->syndrome = BPF_CORE_READ(mce, synd);
	out->ipid = BPF_CORE_READ(mce, ipid);
	out->ip = BPF_CORE_READ(mce, ip);
	out->tsc = BPF_CORE_READ(mce, tsc);
	out->wall_time = BPF_CORE_READ(mce, time);
	out->cpuid = BPF_CORE_READ(mce, cpuid);
	out->apic_id = BPF_CORE_READ(mce, apicid);
	out->socket_id = BPF_CORE_READ(mce, socketid);
	out->code_segment = BPF_CORE_READ(mce, cs);
	out->bank = BPF_CORE_READ(mce, bank);
	out->vendor = BPF_CORE_READ(mce, cpuvendor);
	bpf_ringbuf_submit(out, 0);
	return 0;
}

/* enum hw_event_mc_err_type (include/linux/edac.h). */
static __always_inline u32 severity_of_edac(u32 type)
{
	switch (type) {
	case 0:
		return RAS_CORRECTED;
	case 1:
		return RAS_RECOVERABLE;
	case 2:
		return RAS_DEFERRED;
	case 3:
		return RAS_FATAL;
	default:
		return RAS_INFO;
	}
}

SEC("raw_tp/mc_event")
int mc_event_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u32 severity = severity_of_edac((u32)ctx->args[0]);
	struct ras_edac *out;

	count(RAS_EDAC, severity, (u32)ctx->args[3]);
	out = begin(sizeof(*out), RAS_EDAC, severity);
	if (!out)
		return 0;
	bpf_probe_read_kernel_str(out->message, sizeof(out->message), (void *)ctx->args[1]);
	bpf_probe_read_kernel_str(out->label, sizeof(out->label), (void *)ctx->args[2]);
	out->count = (u32)ctx->args[3];
	out->controller = (u8)ctx->args[4];
	out->layers[0] = (s8)ctx->args[5];
	out->layers[1] = (s8)ctx->args[6];
	out->layers[2] = (s8)ctx->args[7];
	out->address = ctx->args[8];
	out->grain_bits = (u8)ctx->args[9];
	out->syndrome = ctx->args[10];
	bpf_probe_read_kernel_str(out->driver, sizeof(out->driver), (void *)ctx->args[11]);
	bpf_ringbuf_submit(out, 0);
	return 0;
}

/* include/acpi/ghes.h: none, corrected, recoverable, panic. */
static __always_inline u32 severity_of_ghes(u8 severity)
{
	switch (severity) {
	case 1:
		return RAS_CORRECTED;
	case 2:
		return RAS_RECOVERABLE;
	case 3:
		return RAS_FATAL;
	default:
		return RAS_INFO;
	}
}

SEC("raw_tp/non_standard_event")
int non_standard_event_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u32 severity = severity_of_ghes((u8)ctx->args[3]);
	u64 length = (u32)ctx->args[5];
	struct ras_ghes *out;

	count(RAS_GHES, severity, 1);
	out = begin(sizeof(*out), RAS_GHES, severity);
	if (!out)
		return 0;
	bpf_probe_read_kernel(out->section_type, RAS_GUID_LEN, (void *)ctx->args[0]);
	bpf_probe_read_kernel(out->fru_id, RAS_GUID_LEN, (void *)ctx->args[1]);
	/* A text that fills its field has no NUL. */
	bpf_probe_read_kernel_str(out->fru_text, sizeof(out->fru_text), (void *)ctx->args[2]);
	out->severity = (u8)ctx->args[3];
	out->length = length;
	if (length > RAS_DATA_LEN)
		length = RAS_DATA_LEN;
	/* Keeps the compiler from hiding the bound from the verifier. */
	barrier_var(length);
	bpf_probe_read_kernel(out->data, length, (void *)ctx->args[4]);
	bpf_ringbuf_submit(out, 0);
	return 0;
}

/* include/linux/aer.h: non-fatal, fatal, corrected. */
static __always_inline u32 severity_of_aer(u8 severity)
{
	switch (severity) {
	case 0:
		return RAS_RECOVERABLE;
	case 1:
		return RAS_FATAL;
	default:
		return RAS_CORRECTED;
	}
}

SEC("raw_tp/aer_event")
int aer_event_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u32 severity = severity_of_aer((u8)ctx->args[2]);
	struct ras_aer *out;

	count(RAS_AER, severity, 1);
	out = begin(sizeof(*out), RAS_AER, severity);
	if (!out)
		return 0;
	bpf_probe_read_kernel_str(out->device, sizeof(out->device), (void *)ctx->args[0]);
	out->status = (u32)ctx->args[1];
	out->has_tlp_header = (u8)ctx->args[3];
	/* Its type has had several shapes; all begin with these words. */
	if (out->has_tlp_header)
		bpf_probe_read_kernel(out->tlp_header, sizeof(out->tlp_header), (void *)ctx->args[4]);
	bpf_ringbuf_submit(out, 0);
	return 0;
}

/* A bank has corrected as many errors as its threshold says. */
SEC("raw_tp/threshold_apic_entry")
int threshold_apic_entry_raw(struct bpf_raw_tracepoint_args *ctx)
{
	struct ras_threshold *out;

	count(RAS_MCE_THRESHOLD, RAS_CORRECTED, 1);
	out = begin(sizeof(*out), RAS_MCE_THRESHOLD, RAS_CORRECTED);
	if (!out)
		return 0;
	out->head.cpu = bpf_get_smp_processor_id();
	out->vector = (u32)ctx->args[0];
	bpf_ringbuf_submit(out, 0);
	return 0;
}

static __always_inline int arm_error(struct cper_sec_proc_arm *error, u32 severity, int cpu)
{
	struct ras_arm *out;

	count(RAS_ARM, severity, 1);
	out = begin(sizeof(*out), RAS_ARM, severity);
	if (!out)
		return 0;
	out->head.cpu = cpu;
	out->mpidr = BPF_CORE_READ(error, mpidr);
	out->midr = BPF_CORE_READ(error, midr);
	out->valid = BPF_CORE_READ(error, validation_bits);
	out->running_state = BPF_CORE_READ(error, running_state);
	out->psci_state = BPF_CORE_READ(error, psci_state);
	out->affinity = BPF_CORE_READ(error, affinity_level);
	bpf_ringbuf_submit(out, 0);
	return 0;
}

/*
 * Of kernels that tell its severity and its CPU. Others do not attach this: their tracepoint has
 * fewer arguments.
 */
SEC("raw_tp/arm_event")
int arm_event_raw(struct bpf_raw_tracepoint_args *ctx)
{
	u32 severity = severity_of_ghes((u8)ctx->args[7]);

	return arm_error((struct cper_sec_proc_arm *)ctx->args[0], severity, (s32)ctx->args[8]);
}

SEC("raw_tp/arm_event")
int arm_event_old_raw(struct bpf_raw_tracepoint_args *ctx)
{
	return arm_error((struct cper_sec_proc_arm *)ctx->args[0], RAS_UNKNOWN, -1);
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
