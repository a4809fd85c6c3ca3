/* A stand-in for the CUDA driver library: it starts as CUDA_SCENARIO says, `CODE UUID UUID …`, `hang` or `crash`. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char *said(void) { char *text = getenv("CUDA_SCENARIO"); return text ? text : "0"; }

int cuDriverGetVersion(int *version) { *version = 13000; return 0; }

int cuInit(unsigned flags) {
    if (!strcmp(said(), "hang")) for (;;) pause();
    if (!strcmp(said(), "crash")) abort();
    return atoi(said());
}

int cuDeviceGetCount(int *count) {
    *count = 0;
    for (char *place = said(); *place; place++) *count += *place == ' ';
    return 0;
}

int cuDeviceGet(int *device, int index) { *device = index; return 0; }

int cuDeviceGetUuid_v2(unsigned char *uuid, int device) {
    char *word = said();
    for (int skipped = 0; skipped <= device; skipped++) word = strchr(word, ' ') + 1;
    for (int byte = 0; byte < 16; word++) {
        unsigned value;
        if (*word == '-') continue;
        sscanf(word, "%2x", &value);
        uuid[byte++] = value;
        word++;
    }
    return 0;
}

int cuGetErrorName(int code, const char **name) { static char text[32]; snprintf(text, 32, "CUDA_ERROR_%d", code); *name = text; return 0; }
int cuGetErrorString(int code, const char **text) { *text = code == 802 ? "system not yet initialized" : "said so"; return 0; }
