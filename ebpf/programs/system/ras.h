/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_SYSTEM_RAS_H__
#define __HUATUO_SYSTEM_RAS_H__

/* Who reported the error. */
#define RAS_MCE 0
#define RAS_EDAC 1
#define RAS_GHES 2
#define RAS_AER 3
#define RAS_MCE_THRESHOLD 4
#define RAS_ARM 5
#define RAS_SOURCES 6

/* What it did. */
#define RAS_CORRECTED 0
#define RAS_DEFERRED 1
#define RAS_RECOVERABLE 2
#define RAS_FATAL 3
#define RAS_INFO 4
#define RAS_UNKNOWN 5
#define RAS_SEVERITIES 6

/* Longer texts and data are cut. */
#define RAS_TEXT_LEN 128
#define RAS_DATA_LEN 512
#define RAS_GUID_LEN 16
/* A text of the firmware (struct acpi_hest_generic_data, include/acpi/actbl1.h), and its NUL. */
#define RAS_FRU_TEXT_LEN 21
#define RAS_TLP_HEADER_LEN 4

/* Errors that one CPU reported. */
struct ras_errors {
	unsigned long long counts[RAS_SOURCES][RAS_SEVERITIES];
};

/* What each record begins with. */
struct ras_head {
	unsigned long long time_ns; /* CLOCK_BOOTTIME */
	unsigned int source;
	unsigned int severity;
	int cpu; /* whose error it is; -1 where that is not known */
	unsigned int padding;
};

/* Bank of an error of memory that the firmware told of (arch/x86/kernel/cpu/mce/apei.c). */
#define RAS_MCE_NO_BANK 255

/* A machine check (struct mce, arch/x86/include/uapi/asm/mce.h). */
struct ras_mce {
	struct ras_head head;
	unsigned long long mcg_cap;
	unsigned long long mcg_status;
	unsigned long long status;
	unsigned long long address;
	unsigned long long misc;
	unsigned long long syndrome;
	unsigned long long ipid;
	unsigned long long ip;
	unsigned long long tsc;
	unsigned long long wall_time; /* seconds */
	unsigned int cpuid;
	unsigned int apic_id;
	unsigned int socket_id;
	unsigned char code_segment;
	unsigned char bank;
	unsigned char vendor;
	unsigned char padding;
};

/* An error of a memory controller (mc_event, include/ras/ras_event.h). */
struct ras_edac {
	struct ras_head head;
	unsigned long long address;
	unsigned long long syndrome;
	unsigned int count;
	unsigned char controller;
	signed char layers[3]; /* top, middle, low; negative: not known */
	unsigned char grain_bits;
	unsigned char padding[7];
	char message[RAS_TEXT_LEN];
	char label[RAS_TEXT_LEN];
	char driver[RAS_TEXT_LEN];
};

/* A section of the firmware that the kernel does not know (non_standard_event). */
struct ras_ghes {
	struct ras_head head;
	unsigned char section_type[RAS_GUID_LEN];
	unsigned char fru_id[RAS_GUID_LEN];
	char fru_text[RAS_FRU_TEXT_LEN];
	unsigned char padding[3];
	unsigned int severity; /* as the kernel numbers it (include/acpi/ghes.h) */
	unsigned int length; /* of all data */
	unsigned char data[RAS_DATA_LEN];
};

/* An error of a PCIe device (aer_event). */
struct ras_aer {
	struct ras_head head;
	unsigned int status;
	unsigned int has_tlp_header;
	unsigned int tlp_header[RAS_TLP_HEADER_LEN];
	char device[RAS_TEXT_LEN];
};

/* Corrected errors of a CPU are over their threshold (threshold_apic_entry). */
struct ras_threshold {
	struct ras_head head;
	unsigned int vector;
	unsigned int padding;
};

/* An error of an ARM processor (struct cper_sec_proc_arm, include/linux/cper.h). */
struct ras_arm {
	struct ras_head head;
	unsigned long long mpidr;
	unsigned long long midr;
	unsigned int valid; /* which of the others are: mpidr, affinity, states */
	unsigned int running_state;
	unsigned int psci_state;
	unsigned int affinity;
};

#endif
