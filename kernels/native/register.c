/* The custom-op library: registers paconv's ops with onnxruntime, which then checks every node and call and runs the
 * kernels on its own thread pool.
 *
 * The kernels are native functions made from Numba sources: linked in, once for each CPU (paconv_cpus.h), or
 * installed by address while developing (paconv_install). All names, types and limits come from paconv_tables.h. Both
 * headers are generated from paconv/ops and paconv/kernels.
 *
 * No state is shared between calls but the node, which is read-only after creation: threads may share a session.
 */
#include <stdio.h>

#include "choice.h"
#include "ops.h"
#include "platform.h"

const OrtFunction *paconv_ort_api;
int paconv_ort_is_newer;

static const char *op_name(const OrtCustomOp *op) { return OP_TABLES[((const Op *)op)->kind].name; }
static const char *op_provider(const OrtCustomOp *op) { return (void)op, NULL; /* the CPU */ }
static int op_input_type(const OrtCustomOp *op, size_t k) { return OP_TABLES[((const Op *)op)->kind].input_types[k]; }
static size_t op_inputs(const OrtCustomOp *op) { return (size_t)OP_TABLES[((const Op *)op)->kind].input_count; }
static int op_output_type(const OrtCustomOp *op, size_t k) { return OP_TABLES[((const Op *)op)->kind].output_types[k]; }
static size_t op_outputs(const OrtCustomOp *op) { return (size_t)OP_TABLES[((const Op *)op)->kind].output_count; }
/* An op of several outputs may leave any out. */
static int op_optional(const OrtCustomOp *op, size_t k) { return (void)k, op_outputs(op) > 1; }
static int op_zero(const OrtCustomOp *op, size_t k) { return (void)op, (void)k, 0; }
static int op_one(const OrtCustomOp *op) { return (void)op, 1; }
static int op_end_version(const OrtCustomOp *op) { return (void)op, 0x7fffffff; }

#define ORT_OP(op)                                                                                                     \
  {.fill = fill_##op, .ort = {                                                                                         \
   .version = ORT_API_VERSION_USED, .GetName = op_name, .GetExecutionProviderType = op_provider,                       \
   .GetInputType = op_input_type, .GetInputTypeCount = op_inputs, .GetOutputType = op_output_type,                     \
   .GetOutputTypeCount = op_outputs, .KernelDestroy = destroy_node, .GetInputCharacteristic = op_zero,                 \
   .GetOutputCharacteristic = op_optional, .GetInputMemoryType = op_zero, .GetVariadicInputMinArity = op_one,          \
   .GetVariadicInputHomogeneity = op_one, .GetVariadicOutputMinArity = op_one, .GetVariadicOutputHomogeneity = op_one, \
   .CreateKernelV2 = create_node, .KernelComputeV2 = compute_##op, .InferOutputShape = infer_##op,                     \
   .GetStartVersion = op_one, .GetEndVersion = op_end_version}}

static const Op OPS[OP_COUNT] = {
    [OP_PABitConv] = ORT_OP(bit_conv), [OP_PABitConvCounts] = ORT_OP(bit_conv), [OP_PALevelConv] = ORT_OP(bit_conv),
    [OP_PALevels] = ORT_OP(levels),    [OP_PALevelMaxPool] = ORT_OP(max_pool),    [OP_PADepthwiseConv] = ORT_OP(depthwise_conv),
};

/* One set of ops for each choice of a session, AUTOMATIC first. */
static Op ops[CHOICE_COUNT + 1][OP_COUNT];

static Lock registration = LOCK_INITIALIZER;

static OrtStatus *need_api(const OrtApiBase *base) {
  if (paconv_ort_api) return NULL;
  paconv_ort_api = base->GetApi(ORT_API_VERSION_USED);
  int major = 0, minor = 0; /* asked of the version: GetApi complains on stderr about one that isn't there */
  sscanf(base->GetVersionString(), "%d.%d", &major, &minor);
  paconv_ort_is_newer = major > 1 || minor >= ORT_NEWER_VERSION;
  if (paconv_ort_api) return NULL;
  char message[160];
  snprintf(message, sizeof message, "paconv: expected onnxruntime 1.%d or newer; found %s", ORT_API_VERSION_USED,
           base->GetVersionString());
  const OrtFunction *oldest = base->GetApi(1);
  return ((Ort_CreateStatus)oldest[ORT_INDEX_CreateStatus])(ORT_FAIL, message);
}

static OrtStatus *make_domain(int choice, OrtCustomOpDomain **result) {
  static OrtCustomOpDomain *domains[CHOICE_COUNT + 1];
  OrtCustomOpDomain **domain = &domains[choice + 1];
  if (!*domain) {
    OrtCustomOpDomain *fresh = NULL;
    RETURN_IF_ERROR(ORT_CALL(CreateCustomOpDomain)(DOMAIN_NAME, &fresh));
    for (int kind = 0; kind < OP_COUNT; kind++) {
      Op *op = &ops[choice + 1][kind];
      *op = OPS[kind], op->kind = kind, op->choice = choice;
      RETURN_IF_ERROR(ORT_CALL(CustomOpDomain_Add)(fresh, &op->ort));
    }
    *domain = fresh;
  }
  *result = *domain;
  return NULL;
}

/* onnxruntime calls this for SessionOptions.register_custom_ops_library. */
EXPORT OrtStatus *RegisterCustomOps(OrtSessionOptions *options, const OrtApiBase *base) {
  OrtCustomOpDomain *domain = NULL;
  int choice = AUTOMATIC;
  char message[256];
  lock(&registration);
  OrtStatus *status = need_api(base);
  if (!status) status = session_choice(options, &choice);
  const Cpu *cpu = status ? NULL : choose_cpu(message, sizeof message);
  if (!status && !cpu) status = ORT_CALL(CreateStatus)(ORT_FAIL, message);
  if (!status) read_rates_once(cpu);
  if (!status) status = make_domain(choice, &domain);
  unlock(&registration);
  if (status) return status;
  return ORT_CALL(AddCustomOpDomain)(options, domain);
}
