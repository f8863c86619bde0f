/* A stand-in for NVIDIA's driver library, in whatever state a test wants: the real CUDA runtime
 * and the real onnxruntime load it, and say what they say on a machine with such a driver.
 *
 * DRIVER_VERSION: as cuDriverGetVersion gives it, e.g. 12020
 * DRIVER_STATUS:  what cuInit gives
 * DRIVER_DEVICES: how many there are
 */
#include <stddef.h>
#include <stdlib.h>

static int value(const char *name, int otherwise) {
  const char *text = getenv(name);
  return text ? atoi(text) : otherwise;
}

int cuInit(unsigned flags) { return value("DRIVER_STATUS", 0); }

int cuDriverGetVersion(int *version) {
  *version = value("DRIVER_VERSION", 13000);
  return 0;
}

int cuDeviceGetCount(int *count) {
  *count = value("DRIVER_DEVICES", 1);
  return 0;
}

int cuDeviceGet(int *device, int index) {
  *device = index;
  return index < value("DRIVER_DEVICES", 1) ? 0 : 101;
}

int cuDevicePrimaryCtxRetain(void **context, int device) { return 0; }
int cuDevicePrimaryCtxRelease_v2(int device) { return 0; }
int cuCtxPushCurrent_v2(void *context) { return 0; }
int cuCtxPopCurrent_v2(void **context) { return 0; }

int cuMemGetInfo_v2(size_t *available, size_t *total) {
  *available = (size_t)value("DRIVER_FREE_MIB", 1024) << 20;
  *total = (size_t)16 << 30;
  return 0;
}

/* The runtime asks for every other function by this one, and is told that there is none. */
int cuGetProcAddress_v2(const char *name, void **function, int version, unsigned long flags,
                        void *status) {
  *function = NULL;
  return 500;
}

/* onnxruntime's CUDA library wants it by name. */
int cuTensorMapEncodeTiled(void) { return 1; }
