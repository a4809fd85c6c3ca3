/* A stand-in for NVIDIA's management library. The file that NVML_SCENARIO names says what it answers, a line for each

       FUNCTION DEVICE ANSWER

   where DEVICE is a number, or `-` for the driver itself, and ANSWER is `error N`, `hang`, `crash`, or the values. What no
   line speaks of is not supported (3); functions that are not here are not found, as in an old driver. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOT_SUPPORTED 3
#define TOO_SMALL 7
#define SLICE 100

static char answer[4096];

static int ask(const char *function, int device) {
    char line[4096], name[128], place[16], own[16];
    int taken, code = NOT_SUPPORTED;
    FILE *scenario = fopen(getenv("NVML_SCENARIO"), "r");
    if (!scenario) return 999;
    if (device < 0) strcpy(own, "-"); else snprintf(own, sizeof own, "%d", device);
    while (code == NOT_SUPPORTED && fgets(line, sizeof line, scenario)) {
        if (sscanf(line, "%127s %15s %n", name, place, &taken) < 2 || strcmp(name, function) || strcmp(place, own)) continue;
        line[strcspn(line, "\n")] = 0;
        strcpy(answer, line + taken);
        code = 0;
    }
    fclose(scenario);
    if (code) return code;
    if (!strcmp(answer, "hang")) for (;;) pause();
    if (!strcmp(answer, "crash")) abort();
    sscanf(answer, "error %d", &code);
    return code;
}

static int number(const char *function, int device, unsigned *value) {
    int code = ask(function, device);
    return code ? code : sscanf(answer, "%u", value) == 1 ? 0 : 999;
}

static int text(const char *function, int device, char *value, unsigned size) {
    int code = ask(function, device);
    if (!code) snprintf(value, size, "%s", answer);
    return code;
}

/* Handles are 1 more than the number of the device, so that none of them is null. */
#define INDEX ((int)(intptr_t)device - 1)
#define NUMBER(name) int name(void *device, unsigned *value) { return number(#name, INDEX, value); }
#define OF_KIND(name) int name(void *device, unsigned kind, unsigned *value) { \
    char key[128]; snprintf(key, sizeof key, #name "[%u]", kind); return number(key, INDEX, value); }

int nvmlInitWithFlags(unsigned flags) { int code = ask("nvmlInit", -1); return code == NOT_SUPPORTED ? 0 : code; }
int nvmlShutdown(void) { return 0; }
const char *nvmlErrorString(int code) {
    switch (code) {
    case 3: return "Not Supported";
    case 4: return "Insufficient Permissions";
    case 9: return "Driver Not Loaded";
    case 15: return "GPU is lost";
    case 18: return "Driver/library version mismatch";
    default: return "Unknown Error";
    }
}

int nvmlSystemGetDriverVersion(char *value, unsigned size) { return text("nvmlSystemGetDriverVersion", -1, value, size); }
int nvmlSystemGetCudaDriverVersion(unsigned *value) { return number("nvmlSystemGetCudaDriverVersion", -1, value); }
int nvmlDeviceGetCount_v2(unsigned *value) { return number("nvmlDeviceGetCount", -1, value); }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **device) {
    int code = ask("nvmlDeviceGetHandleByIndex", index);
    *device = (void *)(intptr_t)(index + 1);
    return code == NOT_SUPPORTED ? 0 : code;
}

int nvmlDeviceGetUUID(void *device, char *value, unsigned size) { return text("nvmlDeviceGetUUID", INDEX, value, size); }
int nvmlDeviceGetName(void *device, char *value, unsigned size) { return text("nvmlDeviceGetName", INDEX, value, size); }

struct pci { char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32]; };
int nvmlDeviceGetPciInfo_v3(void *device, struct pci *info) {
    int code = ask("nvmlDeviceGetPciInfo", INDEX);
    memset(info, 0, sizeof *info);
    if (!code) snprintf(info->address, sizeof info->address, "%s", answer);
    return code;
}

struct memory { unsigned long long total, free, used; };
int nvmlDeviceGetMemoryInfo(void *device, struct memory *memory) {
    int code = ask("nvmlDeviceGetMemoryInfo", INDEX);
    if (!code) sscanf(answer, "%llu %llu", &memory->total, &memory->free);
    return code;
}

int nvmlDeviceGetCudaComputeCapability(void *device, int *major, int *minor) {
    int code = ask("nvmlDeviceGetCudaComputeCapability", INDEX);
    if (!code) sscanf(answer, "%d %d", major, minor);
    return code;
}

static int two(const char *name, int device, unsigned *first, unsigned *second) {
    int code = ask(name, device);
    if (!code) sscanf(answer, "%u %u", first, second);
    return code;
}
int nvmlDeviceGetMigMode(void *device, unsigned *now, unsigned *next) { return two("nvmlDeviceGetMigMode", INDEX, now, next); }
int nvmlDeviceGetEccMode(void *device, unsigned *now, unsigned *next) { return two("nvmlDeviceGetEccMode", INDEX, now, next); }

struct rates { unsigned gpu, memory; };
int nvmlDeviceGetUtilizationRates(void *device, struct rates *rates) {
    return two("nvmlDeviceGetUtilizationRates", INDEX, &rates->gpu, &rates->memory);
}

int nvmlDeviceGetTotalEccErrors(void *device, unsigned kind, unsigned counter, unsigned long long *value) {
    int code = ask(kind == 1 && counter == 0 ? "nvmlDeviceGetTotalEccErrors" : "other counters", INDEX);
    if (!code) sscanf(answer, "%llu", value);
    return code;
}

int nvmlDeviceGetRemappedRows(void *device, unsigned *correctable, unsigned *uncorrectable, unsigned *pending, unsigned *failed) {
    int code = ask("nvmlDeviceGetRemappedRows", INDEX);
    if (!code) sscanf(answer, "%u %u %u %u", correctable, uncorrectable, pending, failed);
    return code;
}

int nvmlDeviceGetRetiredPages(void *device, unsigned cause, unsigned *count, unsigned long long *pages) {
    unsigned found;
    int code = number(cause == 1 ? "nvmlDeviceGetRetiredPages" : "other causes", INDEX, &found);
    if (code) return code;
    if (*count < found) { *count = found; return TOO_SMALL; }
    *count = found;
    if (pages) for (unsigned page = 0; page < found; page++) pages[page] = page;
    return 0;
}

struct process { unsigned pid; unsigned long long memory; unsigned gpu_instance, compute_instance; };
int nvmlDeviceGetComputeRunningProcesses_v3(void *device, unsigned *count, struct process *processes) {
    int code = ask("nvmlDeviceGetComputeRunningProcesses", INDEX), taken, pid;
    unsigned found = 0, room = *count;
    long long memory;
    if (code) return code;
    for (char *rest = answer; sscanf(rest, "%d:%lld %n", &pid, &memory, &taken) >= 2; rest += taken, found++)
        if (processes && found < room) processes[found] = (struct process){pid, (unsigned long long)memory, 0, 0};
    *count = found;
    return found > room || (found && !processes) ? TOO_SMALL : 0;
}

struct fabric { unsigned version; unsigned char cluster[16]; unsigned status, clique; unsigned char state; unsigned health; };
int nvmlDeviceGetGpuFabricInfoV(void *device, struct fabric *info) {
    unsigned state;
    int code = number("nvmlDeviceGetGpuFabricInfo", INDEX, &state);
    if (!code) info->state = state;
    return code;
}

struct field { unsigned id, scope; long long timestamp, latency; unsigned kind, code; unsigned long long value; };
int nvmlDeviceGetFieldValues(void *device, int count, struct field *fields) {
    for (int each = 0; each < count; each++) {
        unsigned value = 0;
        char key[64];
        snprintf(key, sizeof key, "field[%u]", fields[each].id);
        fields[each].code = number(key, INDEX, &value);
        fields[each].value = value;
    }
    return 0;
}

int nvmlDeviceGetMigDeviceHandleByIndex(void *device, unsigned index, void **slice) {
    *slice = (void *)(intptr_t)(SLICE * (INDEX + 1) + index + 1);
    return ask("nvmlDeviceGetUUID", SLICE * (INDEX + 1) + index) == 0 ? 0 : 6;
}

NUMBER(nvmlDeviceGetMinorNumber)
NUMBER(nvmlDeviceGetComputeMode)
NUMBER(nvmlDeviceGetRetiredPagesPendingStatus)
OF_KIND(nvmlDeviceGetTemperature)
OF_KIND(nvmlDeviceGetTemperatureThreshold)
OF_KIND(nvmlDeviceGetNvLinkState)
NUMBER(nvmlDeviceGetCurrPcieLinkWidth)
NUMBER(nvmlDeviceGetMaxPcieLinkWidth)
NUMBER(nvmlDeviceGetCurrPcieLinkGeneration)
NUMBER(nvmlDeviceGetMaxPcieLinkGeneration)
NUMBER(nvmlDeviceGetPersistenceMode)
NUMBER(nvmlDeviceGetMaxMigDeviceCount)
int nvmlDeviceGetCurrentClocksThrottleReasons(void *device, unsigned long long *value) {
    int code = ask("nvmlDeviceGetCurrentClocksThrottleReasons", INDEX);
    if (!code) sscanf(answer, "%llu", value);
    return code;
}
