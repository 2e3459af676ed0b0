// Runs pa.onnx from C++: onnxruntime's shared library, paconv's custom-op library, and no Python.
//
//     serve [OPTIONS] pa.onnx libpaconv.so input.bin output.bin 1 3 224 224
//
// input.bin holds the input as raw floats, and the numbers at the end are its shape. The first output is written to
// output.bin in the same way; its name and shape are printed. On an error the program prints one line and returns 1.
//
//     --seconds S      then serve the samples of input.bin for so long, and compare each answer with that before
//     --threads N      that send requests, each the next when it has its answer (1)
//     --sessions N     each used by all threads (1)
//     --batch N        requests are of 1, 2, ..., N samples (1)
//     --reopen N       every N requests a thread opens a session, asks it once and closes it (never)
//     --per-answer N   threads that compute one answer (with --seconds 1, else one per core)
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "load.h"
#include "session.h"

static std::vector<float> read_floats(const std::string &path, const std::vector<int64_t> &shape) {
  std::ifstream file(path, std::ios::binary);
  std::vector<char> bytes{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  if (!file) throw std::runtime_error("cannot read " + path);
  if (bytes.size() != elements(shape) * sizeof(float))
    throw std::runtime_error(path + " has " + std::to_string(bytes.size()) + " bytes; the shape needs " +
                             std::to_string(elements(shape) * sizeof(float)));
  std::vector<float> floats(elements(shape));
  std::copy(bytes.begin(), bytes.end(), reinterpret_cast<char *>(floats.data()));
  return floats;
}

static void write_floats(const std::string &path, const std::vector<float> &floats) {
  std::ofstream file(path, std::ios::binary);
  file.write(reinterpret_cast<const char *>(floats.data()), static_cast<std::streamsize>(floats.size() * sizeof(float)));
  if (!file.flush()) throw std::runtime_error("cannot write " + path);
}

static double number(const std::string &text, const char *expected) {
  char *end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != '\0' || !(value >= 1 && value < 1e9))
    throw std::runtime_error("expected " + std::string(expected) + ", found " + text);
  return value;
}

static int whole(const std::string &text, const char *expected) {
  const double value = number(text, expected);
  if (value != static_cast<int>(value))
    throw std::runtime_error("expected " + std::string(expected) + ", found " + text);
  return static_cast<int>(value);
}

int main(int argc, char **argv) try {
  Load load;
  int per_answer = 0, first = 1;
  for (; first + 1 < argc && std::string(argv[first]).rfind("--", 0) == 0; first += 2) {
    const std::string option = argv[first], value = argv[first + 1];
    if (option == "--seconds") load.seconds = number(value, "seconds, 1 or more");
    else if (option == "--threads") load.threads = whole(value, "a number of threads, 1 or more");
    else if (option == "--sessions") load.sessions = whole(value, "a number of sessions, 1 or more");
    else if (option == "--batch") load.batch = whole(value, "a number of samples, 1 or more");
    else if (option == "--reopen") load.reopen = whole(value, "a number of requests, 1 or more");
    else if (option == "--per-answer") per_answer = whole(value, "a number of threads, 1 or more");
    else throw std::runtime_error("unknown option " + option);
  }
  if (argc - first < 5) {
    std::fprintf(stderr, "usage: %s [--seconds S] [--threads N] [--sessions N] [--batch N] [--reopen N] [--per-answer N] "
                         "MODEL LIBRARY INPUT OUTPUT SIZE...\n", argv[0]);
    return 1;
  }
  const std::string model = argv[first], library = argv[first + 1], input = argv[first + 2], output = argv[first + 3];
  std::vector<int64_t> shape;
  for (int i = first + 4; i < argc; ++i) shape.push_back(whole(argv[i], "a size"));

  const Runtime runtime(library, per_answer == 0 && load.seconds > 0 ? 1 : per_answer);
  std::vector<float> floats = read_floats(input, shape);
  const Input samples{floats.data(), shape};
  {
    const Session session(runtime, model);
    const Output answer = session.run(samples);
    write_floats(output, answer.data);
    std::printf("%s:", session.output_name().c_str());
    for (int64_t size : answer.shape) std::printf(" %lld", static_cast<long long>(size));
    std::printf("\n");
  }
  if (load.seconds > 0) serve_under_load(runtime, model, samples, load);
  return 0;
} catch (const std::exception &error) {
  std::fprintf(stderr, "serve: %s\n", error.what());
  return 1;
}
