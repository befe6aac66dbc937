// Threads that share work in small items.
//
// Every thread owns a contiguous range of the items, which keeps its reads sequential, and takes from the others' when
// its own is done: on a machine where another program takes one core, the thread that lost it delays one item and not
// the whole. Threads that wait spin for a while, as the next piece of work comes within microseconds, and then sleep.

#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace quant {

class Pool {
 public:
  explicit Pool(int threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  int threads() const { return count_; }

  // Calls `work(item, thread)` for every item of 0..items, on all threads, and returns when all are done.
  template <class Work> void run(int64_t items, const Work& work) {
    run(items, [](const void* w, int64_t item, int thread) { (*(const Work*)w)(item, thread); }, &work);
  }

 private:
  using Call = void (*)(const void* work, int64_t item, int thread);

  // What is left of one thread's range: round (24 bits), next item (20 bits), end (20 bits). All in one word, so that
  // a thread that comes late from an earlier round can take nothing of this one. (It would have to sleep through
  // exactly 2^24 rounds to be fooled.)
  struct alignas(64) Range {
    std::atomic<uint64_t> word{0};
  };

  void run(int64_t items, Call call, const void* work);
  void take(uint64_t round, int thread);
  void serve(int thread);
  uint64_t await(uint64_t seen);

  const int count_;
  std::unique_ptr<Range[]> ranges_;
  std::vector<std::thread> workers_;
  Call call_ = nullptr;
  const void* work_ = nullptr;
  alignas(64) std::atomic<int64_t> left_{0};
  alignas(64) std::atomic<uint64_t> round_{0};
  alignas(64) std::atomic<int> asleep_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
};

}  // namespace quant
