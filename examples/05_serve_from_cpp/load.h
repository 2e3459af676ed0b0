// Many requests at once for a while: is every answer right to the bit, and does the memory stay what it was?
#pragma once

#include <string>

#include "session.h"

struct Load {
  double seconds = 0;  // 0: none
  int threads = 1;     // that send requests, each the next when it has its answer
  int sessions = 1;    // each thread goes round them, so that every one is shared by all
  int batch = 1;       // requests are of 1, 2, ..., `batch` samples
  int reopen = 0;      // every so many requests a thread opens a session, asks it once and closes it; 0: never
};

// Send parts of `samples` to `model`, and print requests and resident memory as they go. The right answers are those that
// one session gives before the load. Throws std::runtime_error at an answer with other bits, or if memory keeps growing.
void serve_under_load(const Runtime &runtime, const std::string &model, const Input &samples, const Load &load);
