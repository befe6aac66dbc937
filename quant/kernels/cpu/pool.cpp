#include "pool.h"

#include <algorithm>
#include <chrono>

#if defined(__x86_64__) || defined(__i386__)
#include <immintrin.h>
#endif

namespace quant {
namespace {

constexpr int kItemBits = 20;
constexpr int64_t kMostItems = (1 << kItemBits) - 1;
constexpr uint64_t kRoundMask = (1 << 24) - 1;

// The next work of the same token comes within microseconds. After that a thread that waits offers its core to any other
// program, but stays awake while the next token is chosen, which takes a tenth of a token's time; and then it sleeps.
constexpr std::chrono::microseconds kSpin{30}, kAwake{1000};

inline void pause() {
#if defined(__x86_64__) || defined(__i386__)
  _mm_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

uint64_t pack(uint64_t round, int64_t next, int64_t end) {
  return (round & kRoundMask) << (2 * kItemBits) | (uint64_t)next << kItemBits | (uint64_t)end;
}

}  // namespace

Pool::Pool(int threads) : count_(std::max(1, threads)), ranges_(new Range[(size_t)count_]) {
  for (int i = 1; i < count_; i++) workers_.emplace_back([this, i] { serve(i); });
}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_.store(true);
    round_.fetch_add(1);
  }
  wake_.notify_all();
  for (auto& worker : workers_) worker.join();
}

void Pool::run(int64_t items, Call call, const void* work) {
  if (count_ == 1 || items <= 1 || items > kMostItems) {
    for (int64_t i = 0; i < items; i++) call(work, i, 0);
    return;
  }
  const uint64_t round = round_.load(std::memory_order_relaxed) + 1;
  call_ = call;
  work_ = work;
  left_.store(items, std::memory_order_relaxed);
  for (int t = 0; t < count_; t++) {
    ranges_[t].word.store(pack(round, items * t / count_, items * (t + 1) / count_), std::memory_order_release);
  }
  round_.store(round, std::memory_order_seq_cst);
  if (asleep_.load(std::memory_order_seq_cst) > 0) {
    std::lock_guard<std::mutex> lock(mutex_);
    wake_.notify_all();
  }
  take(round, 0);
  // Someone else holds the last items. If that thread has lost its core to another program, spinning helps nobody.
  for (int spins = 0; left_.load(std::memory_order_acquire) > 0; spins++) {
    if (spins < 2000) {
      pause();
    } else {
      std::this_thread::yield();
    }
  }
}

// Takes items of its own range first, then of the others'.
void Pool::take(uint64_t round, int thread) {
  for (int k = 0; k < count_; k++) {
    auto& word = ranges_[(thread + k) % count_].word;
    uint64_t seen = word.load(std::memory_order_acquire);
    for (;;) {
      const int64_t next = (int64_t)(seen >> kItemBits) & kMostItems, end = (int64_t)seen & kMostItems;
      if (seen >> (2 * kItemBits) != (round & kRoundMask)) return;
      if (next >= end) break;
      if (!word.compare_exchange_weak(seen, pack(round, next + 1, end), std::memory_order_acq_rel)) continue;
      // Only now is it sure that call_ and work_ are those of this round: it cannot end before this item is done.
      call_(work_, next, thread);
      left_.fetch_sub(1, std::memory_order_release);
      seen = word.load(std::memory_order_acquire);
    }
  }
}

void Pool::serve(int thread) {
  uint64_t seen = 0;
  for (;;) {
    seen = await(seen);
    if (stop_.load()) return;
    take(seen, thread);
  }
}

// Returns the number of the next round.
uint64_t Pool::await(uint64_t seen) {
  const auto began = std::chrono::steady_clock::now();
  for (;;) {
    for (int i = 0; i < 100; i++) {
      const uint64_t round = round_.load(std::memory_order_acquire);
      if (round != seen) return round;
      pause();
    }
    const auto waited = std::chrono::steady_clock::now() - began;
    if (waited > kAwake) break;
    if (waited > kSpin) std::this_thread::yield();
  }
  std::unique_lock<std::mutex> lock(mutex_);
  asleep_.fetch_add(1, std::memory_order_seq_cst);
  wake_.wait(lock, [&] { return round_.load(std::memory_order_seq_cst) != seen; });
  asleep_.fetch_sub(1, std::memory_order_seq_cst);
  return round_.load(std::memory_order_acquire);
}

}  // namespace quant
