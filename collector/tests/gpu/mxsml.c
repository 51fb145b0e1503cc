/* SPDX-License-Identifier: Apache-2.0 */
/* Stands in for MetaX's management library: the symbols of its header, one GPU with two dies and two
 * links, and numbers that tell the fields apart. Functions that older versions lack are left out with
 * -DOLD. */
#include <string.h>

typedef unsigned int u32;

struct device { u32 id, type; char bdf[32]; u32 gpu, node; char uuid[96]; u32 brand, mode; char name[32]; };
struct power { u32 voltage, current, power; };
struct link { float speed; u32 width; };
struct pair { int first, second; };
struct traffic { long requested, answered; };
struct memory { long visible_total, visible_used, total, used, table_total, table_used; };
struct unavailable { int code; char reason[64]; };
struct ecc { u32 sram_ce, sram_ue, dram_ce, dram_ue, retired; };

static int initialized;

u32 mxSmlInit(void)
{
#ifdef BROKEN
	return 26;
#else
	initialized = 1;
	return 0;
#endif
}

u32 mxSmlGetMacaVersion(char *text, u32 *size)
{
	strncpy(text, "2.27.0", *size);
	return !initialized;
}

u32 mxSmlGetDeviceCount(void) { return 1; }
u32 mxSmlGetPfDeviceCount(void) { return 0; }

u32 mxSmlGetDeviceInfo(u32 gpu, struct device *device)
{
	if (gpu)
		return 6;
	memset(device, 0, sizeof(*device));
	strcpy(device->bdf, "0000:0f:00.0");
	strcpy(device->uuid, "GPU-5e2b1a70");
	strcpy(device->name, "MXC500");
	device->brand = 2;
	return 0;
}

u32 mxSmlGetDeviceDieCount(u32 gpu, u32 *dies) { *dies = 2; return 0; }

u32 mxSmlGetDeviceVersion(u32 gpu, u32 unit, char *text, u32 *size)
{
	strncpy(text, unit ? "2.2.9" : "1.19.1", *size);
	return 0;
}

u32 mxSmlGetBoardPowerInfo(u32 gpu, u32 *size, struct power *ways)
{
	if (*size < 2)
		return 10;
	*size = 2;
	ways[0].power = 50250;
	ways[1].power = 25250;
	return 0;
}

u32 mxSmlGetPcieInfo(u32 gpu, struct link *link) { link->speed = 32; link->width = 16; return 0; }
u32 mxSmlGetPcieThroughput(u32 gpu, struct pair *rate) { rate->first = 11; rate->second = 12; return 0; }

#ifndef OLD
u32 mxSmlGetMetaXLinkInfo_v2(u32 gpu, u32 *size, struct link *links)
{
	*size = 2;
	for (u32 i = 0; i < 2; i++) { links[i].speed = 25; links[i].width = 8 + i; }
	return 0;
}
#endif

u32 mxSmlGetMetaXLinkBandwidth(u32 gpu, u32 way, u32 *size, struct pair *rates)
{
	*size = 2;
	for (u32 i = 0; i < 2; i++) { rates[i].first = 100 + 10 * way + i; rates[i].second = -1; }
	return 0;
}

u32 mxSmlGetMetaXLinkTrafficStat(u32 gpu, u32 way, u32 *size, struct traffic *links)
{
	*size = 2;
	for (u32 i = 0; i < 2; i++) { links[i].requested = 1000 + 100 * way + i; links[i].answered = -1; }
	return 0;
}

u32 mxSmlGetMetaXLinkAer(u32 gpu, u32 *size, struct pair *errors)
{
	*size = 2;
	for (u32 i = 0; i < 2; i++) { errors[i].first = 3 + i; errors[i].second = 5 + i; }
	return 0;
}

u32 mxSmlGetDieUnavailableReason(u32 gpu, u32 die, struct unavailable *state)
{
	memset(state, 0, sizeof(*state));
	state->code = die ? 7 : 0;
	return 0;
}

u32 mxSmlGetDieTemperatureInfo(u32 gpu, u32 die, u32 sensor, int *hundredths) { *hundredths = 4150 + 100 * die; return sensor; }
u32 mxSmlGetDieIpUsage(u32 gpu, u32 die, u32 ip, int *percent) { *percent = 10 * ip + die; return 0; }

u32 mxSmlGetDieMemoryInfo(u32 gpu, u32 die, struct memory *memory)
{
	memset(memory, 0xff, sizeof(*memory));
	memory->total = 64 << 20;
	memory->used = 1024 + die;
	return 0;
}

u32 mxSmlGetDieClocks(u32 gpu, u32 die, u32 ip, u32 *size, u32 *clocks)
{
	/* Of the decoder this GPU does not know. */
	if (ip == 6)
		return 3;
	*size = 2;
	clocks[0] = 100 * ip;
	clocks[1] = 100 * ip + 1;
	return 0;
}

u32 mxSmlGetDieCurrentClocksThrottleReason(u32 gpu, u32 die, unsigned long long *bits) { *bits = 1 << 1 | 1 << 3; return 0; }
u32 mxSmlGetCurrentDieDpmIpPerfLevel(u32 gpu, u32 die, u32 ip, u32 *level) { *level = 4 + ip; return 0; }

u32 mxSmlGetDieTotalEccErrors(u32 gpu, u32 die, struct ecc *ecc)
{
	ecc->sram_ce = 1; ecc->sram_ue = 2; ecc->dram_ce = 3; ecc->dram_ue = 4; ecc->retired = 5;
	return 0;
}
