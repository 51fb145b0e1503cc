/* SPDX-License-Identifier: GPL-2.0 OR BSD-2-Clause */
#ifndef __HUATUO_SYSTEM_RAS_H__
#define __HUATUO_SYSTEM_RAS_H__

/* Who reported the error. */
#define RAS_MCE 0
#define RAS_EDAC 1
#define RAS_GHES 2
#define RAS_AER 3
#define RAS_MCE_THRESHOLD 4
#define RAS_SOURCES 5

/* What it did. */
#define RAS_CORRECTED 0
#define RAS_DEFERRED 1
#define RAS_RECOVERABLE 2
#define RAS_FATAL 3
#define RAS_INFO 4
#define RAS_SEVERITIES 5

/* Errors that one CPU reported. */
struct ras_errors {
	unsigned long long counts[RAS_SOURCES][RAS_SEVERITIES];
};

#endif
