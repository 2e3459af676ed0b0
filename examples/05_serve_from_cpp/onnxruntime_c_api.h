// The part of onnxruntime's C API that session.cpp uses, for machines without onnxruntime's own header (the Python
// package has the shared library but no headers). With the real one, leave this file out: session.cpp needs no change.
//
// OrtApi is a table of function pointers to which releases only append. So each function keeps its place, and the
// places between those used here can be left blank.
#pragma once

#include <cstddef>
#include <cstdint>

#define ORT_API_VERSION 17  // the oldest release whose table this is asked for: onnxruntime 1.17

struct OrtAllocator;
struct OrtEnv;
struct OrtMemoryInfo;
struct OrtRunOptions;
struct OrtSession;
struct OrtSessionOptions;
struct OrtStatus;
struct OrtTensorTypeAndShapeInfo;
struct OrtValue;

enum OrtLoggingLevel { ORT_LOGGING_LEVEL_WARNING = 2 };
enum OrtAllocatorType { OrtArenaAllocator = 1 };
enum OrtMemType { OrtMemTypeDefault = 0 };
enum ONNXTensorElementDataType { ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT = 1 };

struct OrtApi {
  void *blank0[2];
  const char *(*GetErrorMessage)(const OrtStatus *);
  OrtStatus *(*CreateEnv)(OrtLoggingLevel, const char *log_id, OrtEnv **);
  void *blank4[3];
  OrtStatus *(*CreateSession)(const OrtEnv *, const char *path, const OrtSessionOptions *, OrtSession **);
  void *blank8[1];
  OrtStatus *(*Run)(OrtSession *, const OrtRunOptions *, const char *const *input_names, const OrtValue *const *inputs,
                    size_t input_count, const char *const *output_names, size_t output_count, OrtValue **outputs);
  OrtStatus *(*CreateSessionOptions)(OrtSessionOptions **);
  void *blank11[13];
  OrtStatus *(*SetIntraOpNumThreads)(OrtSessionOptions *, int);
  void *blank25[5];
  OrtStatus *(*SessionGetInputCount)(const OrtSession *, size_t *);
  void *blank31[5];
  OrtStatus *(*SessionGetInputName)(const OrtSession *, size_t index, OrtAllocator *, char **);
  OrtStatus *(*SessionGetOutputName)(const OrtSession *, size_t index, OrtAllocator *, char **);
  void *blank38[11];
  OrtStatus *(*CreateTensorWithDataAsOrtValue)(const OrtMemoryInfo *, void *data, size_t bytes, const int64_t *shape,
                                               size_t rank, ONNXTensorElementDataType, OrtValue **);
  void *blank50[1];
  OrtStatus *(*GetTensorMutableData)(OrtValue *, void **);
  void *blank52[8];
  OrtStatus *(*GetTensorElementType)(const OrtTensorTypeAndShapeInfo *, ONNXTensorElementDataType *);
  OrtStatus *(*GetDimensionsCount)(const OrtTensorTypeAndShapeInfo *, size_t *);
  OrtStatus *(*GetDimensions)(const OrtTensorTypeAndShapeInfo *, int64_t *dimensions, size_t rank);
  void *blank63[2];
  OrtStatus *(*GetTensorTypeAndShape)(const OrtValue *, OrtTensorTypeAndShapeInfo **);
  void *blank66[3];
  OrtStatus *(*CreateCpuMemoryInfo)(OrtAllocatorType, OrtMemType, OrtMemoryInfo **);
  void *blank70[6];
  OrtStatus *(*AllocatorFree)(OrtAllocator *, void *);
  void *blank77[1];
  OrtStatus *(*GetAllocatorWithDefaultOptions)(OrtAllocator **);
  void *blank79[13];
  void (*ReleaseEnv)(OrtEnv *);
  void (*ReleaseStatus)(OrtStatus *);
  void (*ReleaseMemoryInfo)(OrtMemoryInfo *);
  void (*ReleaseSession)(OrtSession *);
  void (*ReleaseValue)(OrtValue *);
  void *blank97[2];
  void (*ReleaseTensorTypeAndShapeInfo)(OrtTensorTypeAndShapeInfo *);
  void (*ReleaseSessionOptions)(OrtSessionOptions *);
  void *blank101[127];
  OrtStatus *(*RegisterCustomOpsLibrary_V2)(OrtSessionOptions *, const char *path);
};
static_assert(offsetof(OrtApi, Run) == 9 * sizeof(void *));
static_assert(offsetof(OrtApi, SetIntraOpNumThreads) == 24 * sizeof(void *));
static_assert(offsetof(OrtApi, CreateTensorWithDataAsOrtValue) == 49 * sizeof(void *));
static_assert(offsetof(OrtApi, ReleaseEnv) == 92 * sizeof(void *));
static_assert(offsetof(OrtApi, RegisterCustomOpsLibrary_V2) == 228 * sizeof(void *));

struct OrtApiBase {
  const OrtApi *(*GetApi)(uint32_t version);  // null if this onnxruntime is older than `version`
  const char *(*GetVersionString)();
};

extern "C" const OrtApiBase *OrtGetApiBase() noexcept;
