// pa.onnx in onnxruntime, with paconv's custom-op library registered: a Runtime once, Sessions from it, answers from those.
//
// Errors are std::runtime_error with what onnxruntime says.
#pragma once

#include <onnxruntime_c_api.h>

#include <memory>
#include <string>
#include <vector>

// What onnxruntime makes is released by its own function: Owned<OrtEnv>(env, ort->ReleaseEnv).
template <typename T>
using Owned = std::unique_ptr<T, void (*)(T *)>;

// Floats and their shape. The floats of an input belong to the caller.
struct Input {
  float *data;
  std::vector<int64_t> shape;
};

struct Output {
  std::vector<float> data;
  std::vector<int64_t> shape;
};

size_t elements(const std::vector<int64_t> &shape);

// What all sessions of a process share. It must outlive them.
class Runtime {
 public:
  // `threads` is how many compute one answer; 0 leaves that to onnxruntime: one per core.
  Runtime(const std::string &library, int threads);

 private:
  friend class Session;
  Owned<OrtEnv> env;
  Owned<OrtSessionOptions> options;
  Owned<OrtMemoryInfo> memory;
};

// A model that is served: one input, whose name it finds, and the first output. run() can be called from any number of
// threads at the same time.
class Session {
 public:
  Session(const Runtime &runtime, const std::string &model);
  Output run(const Input &input) const;
  const std::string &output_name() const { return output; }

 private:
  const Runtime &runtime;
  Owned<OrtSession> session;
  std::string input, output;
};
