/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for NVIDIA's management library: the symbols that the agent calls, and one GPU. */
#include <string.h>

typedef unsigned int u32;
typedef unsigned long long u64;

struct memory { u32 version; u64 total, reserved, free, used; };
struct utilization { u32 gpu, memory; };

static int gpu;

u32 nvmlInit_v2(void) { return 0; }
u32 nvmlShutdown(void) { return 0; }
u32 nvmlSystemGetDriverVersion(char *text, u32 length) { strncpy(text, "580.95.05", length); return 0; }
u32 nvmlDeviceGetCount_v2(u32 *count) { *count = 1; return 0; }
u32 nvmlDeviceGetHandleByIndex_v2(u32 index, void **device) { *device = &gpu; return 0; }
u32 nvmlDeviceGetUUID(void *device, char *text, u32 length) { strncpy(text, "GPU-8932f937", length); return 0; }
u32 nvmlDeviceGetName(void *device, char *text, u32 length) { strncpy(text, "NVIDIA H200", length); return 0; }
u32 nvmlDeviceGetPowerUsage(void *device, u32 *milliwatts) { *milliwatts = 350500; return 0; }
u32 nvmlDeviceGetTemperature(void *device, u32 sensor, u32 *celsius) { *celsius = 61; return sensor; }

u32 nvmlDeviceGetUtilizationRates(void *device, struct utilization *rates)
{
	rates->gpu = 87;
	rates->memory = 12;
	return 0;
}

u32 nvmlDeviceGetEncoderUtilization(void *device, u32 *percent, u32 *period) { *percent = 5; *period = 1; return 0; }

/* NVML_ERROR_NOT_SUPPORTED */
u32 nvmlDeviceGetDecoderUtilization(void *device, u32 *percent, u32 *period) { return 3; }

u32 nvmlDeviceGetMemoryInfo_v2(void *device, struct memory *memory)
{
	memory->total = 141ULL << 30;
	memory->used = 3ULL << 30;
	return 0;
}

u32 nvmlDeviceGetTotalEccErrors(void *device, u32 kind, u32 counter, u64 *count) { *count = 10 + kind; return 0; }
