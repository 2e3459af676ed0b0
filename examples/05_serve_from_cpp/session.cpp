// What is paconv's own is one call, RegisterCustomOpsLibrary_V2. The rest is what any onnxruntime program does.
#include "session.h"

#include <stdexcept>

// The functions, once they are asked for.
static const OrtApi *api() {
  static const OrtApi *const found = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (found == nullptr)
    throw std::runtime_error("onnxruntime " + std::string(OrtGetApiBase()->GetVersionString()) + " is too old");
  return found;
}

// onnxruntime's functions return null, or a status that says what went wrong.
static void check(OrtStatus *status) {
  if (status == nullptr) return;
  Owned<OrtStatus> owned(status, api()->ReleaseStatus);
  throw std::runtime_error(api()->GetErrorMessage(status));
}

// A name of the session's; onnxruntime hands out a copy that goes back to its allocator.
template <typename GetName>
static std::string name_of(GetName get, const OrtSession *session) {
  OrtAllocator *allocator = nullptr;
  check(api()->GetAllocatorWithDefaultOptions(&allocator));
  char *copy = nullptr;
  check(get(session, 0, allocator, &copy));
  std::string name = copy;
  check(api()->AllocatorFree(allocator, copy));
  return name;
}

size_t elements(const std::vector<int64_t> &shape) {
  size_t product = 1;
  for (int64_t size : shape) product *= static_cast<size_t>(size);
  return product;
}

Runtime::Runtime(const std::string &library, int threads)
    : env(nullptr, api()->ReleaseEnv),
      options(nullptr, api()->ReleaseSessionOptions),
      memory(nullptr, api()->ReleaseMemoryInfo) {
  OrtEnv *made_env = nullptr;
  check(api()->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "serve", &made_env));
  env.reset(made_env);
  OrtSessionOptions *made_options = nullptr;
  check(api()->CreateSessionOptions(&made_options));
  options.reset(made_options);
  check(api()->SetIntraOpNumThreads(made_options, threads));
  // On Windows this path and the model's are wide strings.
  check(api()->RegisterCustomOpsLibrary_V2(made_options, library.c_str()));
  OrtMemoryInfo *made_memory = nullptr;
  check(api()->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &made_memory));
  memory.reset(made_memory);
}

Session::Session(const Runtime &runtime, const std::string &model)
    : runtime(runtime), session(nullptr, api()->ReleaseSession) {
  OrtSession *made = nullptr;
  check(api()->CreateSession(runtime.env.get(), model.c_str(), runtime.options.get(), &made));
  session.reset(made);
  size_t inputs = 0;
  check(api()->SessionGetInputCount(made, &inputs));
  if (inputs != 1) throw std::runtime_error(model + " has " + std::to_string(inputs) + " inputs; this program feeds one");
  input = name_of(api()->SessionGetInputName, made);
  output = name_of(api()->SessionGetOutputName, made);
}

Output Session::run(const Input &given) const {
  // The input tensor uses the caller's floats where they are.
  OrtValue *value = nullptr;
  check(api()->CreateTensorWithDataAsOrtValue(runtime.memory.get(), given.data, elements(given.shape) * sizeof(float),
                                              given.shape.data(), given.shape.size(),
                                              ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &value));
  Owned<OrtValue> value_owner(value, api()->ReleaseValue);

  const char *input_names[] = {input.c_str()}, *output_names[] = {output.c_str()};
  OrtValue *answer = nullptr;
  check(api()->Run(session.get(), nullptr, input_names, &value, 1, output_names, 1, &answer));
  Owned<OrtValue> answer_owner(answer, api()->ReleaseValue);

  OrtTensorTypeAndShapeInfo *info = nullptr;
  check(api()->GetTensorTypeAndShape(answer, &info));
  Owned<OrtTensorTypeAndShapeInfo> info_owner(info, api()->ReleaseTensorTypeAndShapeInfo);
  ONNXTensorElementDataType type;
  check(api()->GetTensorElementType(info, &type));
  if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) throw std::runtime_error(output + " is not of floats");
  size_t rank = 0;
  check(api()->GetDimensionsCount(info, &rank));
  Output made;
  made.shape.resize(rank);
  check(api()->GetDimensions(info, made.shape.data(), rank));
  void *data = nullptr;
  check(api()->GetTensorMutableData(answer, &data));
  const float *floats = static_cast<const float *>(data);
  made.data.assign(floats, floats + elements(made.shape));
  return made;
}
