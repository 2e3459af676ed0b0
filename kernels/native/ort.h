/* The part of onnxruntime's C ABI that paconv uses, declared here so that no third-party header is needed.
 *
 * OrtApi is an append-only structure of function pointers; it is used as an array by index. The indexes below are the
 * same in every release from 1.16 on (API version 17 is asked for: shape inference of custom ops came with it). A few
 * functions are newer (ORT_NEWER_FUNCTIONS): where the release has them, they are there to be used.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum { ORT_API_VERSION_USED = 17, ORT_NEWER_VERSION = 24 };

typedef struct OrtStatus OrtStatus;
typedef struct OrtSessionOptions OrtSessionOptions;
typedef struct OrtKernelInfo OrtKernelInfo;
typedef struct OrtKernelContext OrtKernelContext;
typedef struct OrtValue OrtValue;
typedef struct OrtTensorInfo OrtTensorInfo; /* OrtTensorTypeAndShapeInfo */
typedef struct OrtCustomOpDomain OrtCustomOpDomain;
typedef struct OrtShapeInferContext OrtShapeInferContext;
typedef struct OrtOpAttr OrtOpAttr;
typedef struct OrtKeyValuePairs OrtKeyValuePairs;
typedef void (*OrtFunction)(void);

typedef struct {
  const OrtFunction *(*GetApi)(uint32_t version);
  const char *(*GetVersionString)(void);
} OrtApiBase;

typedef struct OrtCustomOp OrtCustomOp;
struct OrtCustomOp {
  uint32_t version;
  void *(*CreateKernel)(const OrtCustomOp *, const OrtFunction *, const OrtKernelInfo *);
  const char *(*GetName)(const OrtCustomOp *);
  const char *(*GetExecutionProviderType)(const OrtCustomOp *);
  int (*GetInputType)(const OrtCustomOp *, size_t);
  size_t (*GetInputTypeCount)(const OrtCustomOp *);
  int (*GetOutputType)(const OrtCustomOp *, size_t);
  size_t (*GetOutputTypeCount)(const OrtCustomOp *);
  void (*KernelCompute)(void *, OrtKernelContext *);
  void (*KernelDestroy)(void *);
  int (*GetInputCharacteristic)(const OrtCustomOp *, size_t);
  int (*GetOutputCharacteristic)(const OrtCustomOp *, size_t);
  int (*GetInputMemoryType)(const OrtCustomOp *, size_t);
  int (*GetVariadicInputMinArity)(const OrtCustomOp *);
  int (*GetVariadicInputHomogeneity)(const OrtCustomOp *);
  int (*GetVariadicOutputMinArity)(const OrtCustomOp *);
  int (*GetVariadicOutputHomogeneity)(const OrtCustomOp *);
  OrtStatus *(*CreateKernelV2)(const OrtCustomOp *, const OrtFunction *, const OrtKernelInfo *, void **);
  OrtStatus *(*KernelComputeV2)(void *, OrtKernelContext *);
  OrtStatus *(*InferOutputShape)(const OrtCustomOp *, OrtShapeInferContext *);
  int (*GetStartVersion)(const OrtCustomOp *);
  int (*GetEndVersion)(const OrtCustomOp *);
  size_t (*GetMayInplace)(int **, int **);
  void (*ReleaseMayInplace)(int *, int *);
  size_t (*GetAliasMap)(int **, int **);
  void (*ReleaseAliasMap)(int *, int *);
};

enum { ORT_FAIL = 1, ORT_INVALID_ARGUMENT = 2, ORT_NOT_IMPLEMENTED = 9 }; /* OrtErrorCode */
enum { ORT_FLOAT = 1, ORT_UINT8 = 2, ORT_INT8 = 3, ORT_INT32 = 6 };       /* ONNXTensorElementDataType */
enum { ORT_ATTRIBUTE_INTS = 2 };                                          /* OrtOpAttrType */

/* Every function used, with its index and C type: ORT_CALL(Name)(arguments). */
#define ORT_FUNCTIONS(F) \
  F(CreateStatus, 0, OrtStatus *, (int code, const char *message)) \
  F(CreateCustomOpDomain, 26, OrtStatus *, (const char *name, OrtCustomOpDomain **)) \
  F(CustomOpDomain_Add, 27, OrtStatus *, (OrtCustomOpDomain *, const OrtCustomOp *)) \
  F(AddCustomOpDomain, 28, OrtStatus *, (OrtSessionOptions *, OrtCustomOpDomain *)) \
  F(GetTensorMutableData, 51, OrtStatus *, (const OrtValue *, void **)) \
  F(CreateTensorTypeAndShapeInfo, 57, OrtStatus *, (OrtTensorInfo **)) \
  F(SetTensorElementType, 58, OrtStatus *, (OrtTensorInfo *, int)) \
  F(SetDimensions, 59, OrtStatus *, (OrtTensorInfo *, const int64_t *, size_t)) \
  F(GetTensorElementType, 60, OrtStatus *, (const OrtTensorInfo *, int *)) \
  F(GetDimensionsCount, 61, OrtStatus *, (const OrtTensorInfo *, size_t *)) \
  F(GetDimensions, 62, OrtStatus *, (const OrtTensorInfo *, int64_t *, size_t)) \
  F(GetSymbolicDimensions, 63, OrtStatus *, (const OrtTensorInfo *, const char **, size_t)) \
  F(GetTensorTypeAndShape, 65, OrtStatus *, (const OrtValue *, OrtTensorInfo **)) \
  F(KernelInfoGetAttribute_int64, 86, OrtStatus *, (const OrtKernelInfo *, const char *, int64_t *)) \
  F(KernelContext_GetInput, 90, OrtStatus *, (const OrtKernelContext *, size_t, const OrtValue **)) \
  F(KernelContext_GetOutput, 91, OrtStatus *, (OrtKernelContext *, size_t, const int64_t *, size_t, OrtValue **)) \
  F(ReleaseStatus, 93, void, (OrtStatus *)) \
  F(ReleaseTensorTypeAndShapeInfo, 99, void, (OrtTensorInfo *)) \
  F(KernelInfoGetAttributeArray_int64, 163, OrtStatus *, (const OrtKernelInfo *, const char *, int64_t *, size_t *)) \
  F(HasSessionConfigEntry, 237, OrtStatus *, (const OrtSessionOptions *, const char *key, int *found)) \
  F(GetSessionConfigEntry, 238, OrtStatus *, (const OrtSessionOptions *, const char *key, char *value, size_t *size)) \
  F(KernelInfo_GetNodeName, 244, OrtStatus *, (const OrtKernelInfo *, char *, size_t *)) \
  F(KernelInfoGetConstantInput_tensor, 249, OrtStatus *, (const OrtKernelInfo *, size_t, int *, const OrtValue **)) \
  F(ShapeInferContext_GetInputTypeShape, 268, OrtStatus *, (const OrtShapeInferContext *, size_t, OrtTensorInfo **)) \
  F(ShapeInferContext_GetAttribute, 269, OrtStatus *, (const OrtShapeInferContext *, const char *, const OrtOpAttr **)) \
  F(ShapeInferContext_SetOutputTypeShape, 270, OrtStatus *, (const OrtShapeInferContext *, size_t, const OrtTensorInfo *)) \
  F(SetSymbolicDimensions, 271, OrtStatus *, (OrtTensorInfo *, const char **, size_t)) \
  F(ReadOpAttr, 272, OrtStatus *, (const OrtOpAttr *, int type, void *data, size_t bytes, size_t *needed)) \
  F(KernelContext_ParallelFor, 274, OrtStatus *, \
    (const OrtKernelContext *, void (*)(void *, size_t), size_t total, size_t batches, void *))

/* Those that came with API version ORT_NEWER_VERSION or shortly before, called as the others where paconv_ort_is_newer. */
#define ORT_NEWER_FUNCTIONS(F) \
  F(GetKeyValue, 297, const char *, (const OrtKeyValuePairs *, const char *key)) \
  F(ReleaseKeyValuePairs, 300, void, (OrtKeyValuePairs *)) \
  F(KernelInfo_GetConfigEntries, 391, OrtStatus *, (const OrtKernelInfo *, OrtKeyValuePairs **))

#define ORT_DECLARE(name, index, result, arguments) \
  enum { ORT_INDEX_##name = index };                \
  typedef result(*Ort_##name) arguments;
ORT_FUNCTIONS(ORT_DECLARE)
ORT_NEWER_FUNCTIONS(ORT_DECLARE)
#undef ORT_DECLARE

extern const OrtFunction *paconv_ort_api;
extern int paconv_ort_is_newer; /* whether ORT_NEWER_FUNCTIONS are there */
#define ORT_CALL(name) ((Ort_##name)paconv_ort_api[ORT_INDEX_##name])
