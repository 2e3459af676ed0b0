// Runs pa.onnx from C++: onnxruntime's shared library, paconv's custom-op library, and no Python.
//
//     serve pa.onnx libpaconv.so input.bin output.bin 1 3 224 224
//
// input.bin holds the input as raw floats, and the numbers at the end are its shape. The first output is written to
// output.bin in the same way; its name and shape are printed. On an error the program prints one line and returns 1.
//
// What is paconv's own is one call, RegisterCustomOpsLibrary_V2. The rest is what any onnxruntime program does.
#include <onnxruntime_c_api.h>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

static const OrtApi *ort;

// What onnxruntime makes is released by its own function: Owned<OrtEnv>(env, ort->ReleaseEnv).
template <typename T>
using Owned = std::unique_ptr<T, void (*)(T *)>;

// onnxruntime's functions return null, or a status that says what went wrong.
static void check(OrtStatus *status) {
  if (status == nullptr) return;
  Owned<OrtStatus> owned(status, ort->ReleaseStatus);
  throw std::runtime_error(ort->GetErrorMessage(status));
}

static std::vector<char> read_file(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) throw std::runtime_error("cannot read " + path);
  return bytes;
}

static void write_file(const std::string &path, const void *data, size_t bytes) {
  std::ofstream file(path, std::ios::binary);
  file.write(static_cast<const char *>(data), static_cast<std::streamsize>(bytes));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

static size_t elements(const std::vector<int64_t> &shape) {
  size_t product = 1;
  for (int64_t size : shape) product *= static_cast<size_t>(size);
  return product;
}

// A name of the session's; onnxruntime hands out a copy that goes back to its allocator.
template <typename GetName>
static std::string name_of(GetName get, const OrtSession *session) {
  OrtAllocator *allocator = nullptr;
  check(ort->GetAllocatorWithDefaultOptions(&allocator));
  char *copy = nullptr;
  check(get(session, 0, allocator, &copy));
  std::string name = copy;
  check(ort->AllocatorFree(allocator, copy));
  return name;
}

static void serve(const std::string &model, const std::string &library, const std::string &input_path,
                  const std::string &output_path, const std::vector<int64_t> &shape) {
  ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
  if (ort == nullptr)
    throw std::runtime_error("onnxruntime " + std::string(OrtGetApiBase()->GetVersionString()) + " is too old");

  OrtEnv *env = nullptr;
  check(ort->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "serve", &env));
  Owned<OrtEnv> env_owner(env, ort->ReleaseEnv);

  // The session. A program that serves makes it once; Run can then be called from any number of threads.
  // On Windows the two paths are wide strings.
  OrtSessionOptions *options = nullptr;
  check(ort->CreateSessionOptions(&options));
  Owned<OrtSessionOptions> options_owner(options, ort->ReleaseSessionOptions);
  check(ort->RegisterCustomOpsLibrary_V2(options, library.c_str()));
  OrtSession *session = nullptr;
  check(ort->CreateSession(env, model.c_str(), options, &session));
  Owned<OrtSession> session_owner(session, ort->ReleaseSession);

  size_t inputs = 0;
  check(ort->SessionGetInputCount(session, &inputs));
  if (inputs != 1) throw std::runtime_error(model + " has " + std::to_string(inputs) + " inputs; this program feeds one");
  const std::string input_name = name_of(ort->SessionGetInputName, session);
  const std::string output_name = name_of(ort->SessionGetOutputName, session);

  // The input tensor uses our bytes where they are, so they must outlive it.
  std::vector<char> bytes = read_file(input_path);
  if (bytes.size() != elements(shape) * sizeof(float))
    throw std::runtime_error(input_path + " has " + std::to_string(bytes.size()) + " bytes; the shape needs " +
                             std::to_string(elements(shape) * sizeof(float)));
  OrtMemoryInfo *memory = nullptr;
  check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));
  Owned<OrtMemoryInfo> memory_owner(memory, ort->ReleaseMemoryInfo);
  OrtValue *input = nullptr;
  check(ort->CreateTensorWithDataAsOrtValue(memory, bytes.data(), bytes.size(), shape.data(), shape.size(),
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, &input));
  Owned<OrtValue> input_owner(input, ort->ReleaseValue);

  const char *input_names[] = {input_name.c_str()}, *output_names[] = {output_name.c_str()};
  OrtValue *output = nullptr;
  check(ort->Run(session, nullptr, input_names, &input, 1, output_names, 1, &output));
  Owned<OrtValue> output_owner(output, ort->ReleaseValue);

  OrtTensorTypeAndShapeInfo *info = nullptr;
  check(ort->GetTensorTypeAndShape(output, &info));
  Owned<OrtTensorTypeAndShapeInfo> info_owner(info, ort->ReleaseTensorTypeAndShapeInfo);
  ONNXTensorElementDataType type;
  check(ort->GetTensorElementType(info, &type));
  if (type != ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT) throw std::runtime_error(output_name + " is not of floats");
  size_t rank = 0;
  check(ort->GetDimensionsCount(info, &rank));
  std::vector<int64_t> output_shape(rank);
  check(ort->GetDimensions(info, output_shape.data(), rank));
  void *data = nullptr;
  check(ort->GetTensorMutableData(output, &data));
  write_file(output_path, data, elements(output_shape) * sizeof(float));

  std::printf("%s:", output_name.c_str());
  for (int64_t size : output_shape) std::printf(" %lld", static_cast<long long>(size));
  std::printf("\n");
}

int main(int argc, char **argv) {
  if (argc < 6) {
    std::fprintf(stderr, "usage: %s MODEL LIBRARY INPUT OUTPUT SIZE...\n", argv[0]);
    return 1;
  }
  try {
    std::vector<int64_t> shape;
    for (int i = 5; i < argc; ++i) {
      char *end = nullptr;
      shape.push_back(std::strtoll(argv[i], &end, 10));
      if (*end != '\0' || shape.back() < 1) throw std::runtime_error("expected a size, found " + std::string(argv[i]));
    }
    serve(argv[1], argv[2], argv[3], argv[4], shape);
  } catch (const std::exception &error) {
    std::fprintf(stderr, "serve: %s\n", error.what());
    return 1;
  }
  return 0;
}
