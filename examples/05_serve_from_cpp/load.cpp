#include "load.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <mutex>
#include <stdexcept>
#include <thread>

#ifdef __linux__
#include <unistd.h>
#endif
#if defined(__GLIBC__) && __GLIBC_PREREQ(2, 33)
#include <malloc.h>
#define COUNTS_ALLOCATED
#endif

using Clock = std::chrono::steady_clock;

static const int REPORTS = 10;  // over the whole time
static const double MEBI = 1 << 20;

// What the program may hold more after the load than before it, in bytes: what onnxruntime and the C++ library make once,
// when something is done for the first time. What leaks with each answer passes it within some ten thousand answers.
static const double SLACK = 256 * 1024;

namespace {

struct Request {
  Input input;
  Output expected;
};

// What the threads share.
struct Shared {
  std::atomic<bool> stop{false};
  std::atomic<long long> answers{0}, samples{0}, opened{0};
  std::mutex mutex;
  std::exception_ptr failure;  // the first one; under the mutex
};

}  // namespace

// Bytes of this process in memory; 0 where the system doesn't say.
static double resident() {
#ifdef __linux__
  std::ifstream file("/proc/self/statm");
  double size = 0, pages = 0;
  if (file >> size >> pages) return pages * static_cast<double>(sysconf(_SC_PAGESIZE));
#endif
  return 0;
}

// Bytes that this process has asked its allocator for and not given back; 0 where the allocator doesn't say. What of
// them the allocator keeps in pages, and how, is resident(): that grows a little as free pieces get smaller.
static double allocated() {
#ifdef COUNTS_ALLOCATED
  const struct mallinfo2 info = mallinfo2();
  return static_cast<double>(info.uordblks + info.hblkhd);
#else
  return 0;
#endif
}

static bool same_bits(const Output &a, const Output &b) {
  return a.shape == b.shape && std::memcmp(a.data.data(), b.data.data(), a.data.size() * sizeof(float)) == 0;
}

// The samples in parts of 1, 2, ..., `batch`, and again, as far as they go, each with its answer.
static std::vector<Request> make_requests(const Session &session, const Input &samples, int batch) {
  const int64_t count = samples.shape[0];
  const size_t one = elements(samples.shape) / static_cast<size_t>(count);
  std::vector<Request> requests;
  int size = 1;
  for (int64_t first = 0; first < count; first += size, size = size % batch + 1) {
    if (first + size > count) break;
    Request request{{samples.data + static_cast<size_t>(first) * one, samples.shape}, {}};
    request.input.shape[0] = size;
    request.expected = session.run(request.input);
    requests.push_back(std::move(request));
  }
  return requests;
}

static void send(const Runtime &runtime, const std::string &model, const std::vector<Session> &sessions,
                 const std::vector<Request> &requests, const Load &load, size_t number, Shared &shared) try {
  // Threads start at other requests and sessions, so that different ones meet.
  for (size_t turn = number; !shared.stop; ++turn) {
    const Request &request = requests[turn % requests.size()];
    Output answer;
    if (load.reopen > 0 && (turn - number) % static_cast<size_t>(load.reopen) == 0) {
      answer = Session(runtime, model).run(request.input);
      ++shared.opened;
    } else {
      answer = sessions[turn % sessions.size()].run(request.input);
    }
    if (!same_bits(answer, request.expected))
      throw std::runtime_error("thread " + std::to_string(number) + ", request " + std::to_string(turn - number) +
                               ": an answer differs from the one before the load");
    ++shared.answers;
    shared.samples += request.input.shape[0];
  }
} catch (...) {
  std::lock_guard<std::mutex> lock(shared.mutex);
  if (!shared.failure) shared.failure = std::current_exception();
  shared.stop = true;
}

void serve_under_load(const Runtime &runtime, const std::string &model, const Input &samples, const Load &load) {
  std::vector<Session> sessions;
  for (int i = 0; i < load.sessions; ++i) sessions.emplace_back(runtime, model);
  const std::vector<Request> requests = make_requests(sessions[0], samples, load.batch);
  for (const Session &session : sessions)  // each has what it keeps, such as memory for every size of a request
    for (const Request &request : requests) session.run(request.input);
  std::printf("threads: %d, sessions: %d, samples of a request: 1 to %d, seconds: %.0f\n", load.threads, load.sessions,
              load.batch, load.seconds);
  std::printf("%8s %12s %12s %16s\n", "seconds", "answers", "answers/s", "resident [MiB]");

  Shared shared;
  std::vector<std::thread> threads;
  const double before = allocated();
  const auto start = Clock::now();
  for (int i = 0; i < load.threads; ++i)
    threads.emplace_back(send, std::cref(runtime), std::cref(model), std::cref(sessions), std::cref(requests),
                         std::cref(load), static_cast<size_t>(i), std::ref(shared));
  for (int report = 1; report <= REPORTS && !shared.stop; ++report) {
    const std::chrono::duration<double> due(load.seconds * report / REPORTS);
    while (Clock::now() < start + due && !shared.stop)
      std::this_thread::sleep_for(std::min<std::chrono::duration<double>>(start + due - Clock::now(),
                                                                          std::chrono::milliseconds(100)));
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    std::printf("%8.1f %12lld %12.0f %16.2f\n", seconds, shared.answers.load(),
                static_cast<double>(shared.answers) / seconds, resident() / MEBI);
    std::fflush(stdout);
  }
  shared.stop = true;
  for (std::thread &thread : threads) thread.join();
  if (shared.failure) std::rethrow_exception(shared.failure);

  std::printf("%lld answers of %lld samples, each the right one to the bit", shared.answers.load(),
              shared.samples.load());
  if (load.reopen > 0) std::printf("; %lld sessions opened and closed", shared.opened.load());
  std::printf("\n");
  if (before == 0) {
    std::printf("allocated memory: not known on this system\n");
    return;
  }
  const double more = allocated() - before;
  std::printf("allocated before: %.3f MiB, after: %+.3f MiB, %.3f bytes an answer\n", before / MEBI, more / MEBI,
              more / static_cast<double>(shared.answers));
  if (more > SLACK) throw std::runtime_error("memory leaks");
}
