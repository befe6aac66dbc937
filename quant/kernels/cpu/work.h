// What products, attention and plans share: buffers, how work is cut into items, and the calls between them.

#pragma once

#include <algorithm>
#include <memory>
#include <new>
#include <vector>

#include "dispatch.h"

namespace quant {

// Memory aligned to 64 bytes that only grows.
template <class T> class Buffer {
 public:
  ~Buffer() { ::operator delete[](data_, std::align_val_t(64)); }
  Buffer() = default;
  Buffer(const Buffer&) = delete;
  Buffer& operator=(const Buffer&) = delete;

  T* get(int64_t count) {
    if (count > capacity_) {
      ::operator delete[](data_, std::align_val_t(64));
      data_ = nullptr;
      capacity_ = 0;
      data_ = (T*)::operator new[]((size_t)count * sizeof(T), std::align_val_t(64));
      capacity_ = count;
    }
    return data_;
  }

 private:
  T* data_ = nullptr;
  int64_t capacity_ = 0;
};

struct ActivationBuffer {
  Buffer<int8_t> codes;
  Buffer<float> scales, offsets, sums;

  Activations get(int64_t count, int64_t columns) {
    const int64_t groups = columns / kGroup;
    return {codes.get(count * columns), scales.get(count * groups), offsets.get(count * groups), sums.get(count * groups),
            columns};
  }
};

// The MLP of a layer that has experts, in three steps: which of them each token gets, and their two products.
class Experts {
 public:
  // False when a value is not finite.
  bool route(const QuantShape& shape, const QuantLayer& layer, const Activations& x, int64_t count);
  bool gate_up(const QuantShape& shape, const QuantLayer& layer, int64_t count);
  void down(const QuantShape& shape, const QuantLayer& layer, int64_t count, float* y);

 private:
  // Shares out tiles of the matrices of the experts that have tokens: work(expert, first row, rows, tiles, thread).
  template <class Work> void each(const QuantShape& shape, int64_t tiles, int64_t step, const Work& work);

  Buffer<float> logits_, weights_, down_;  // weights [token][choice]
  Buffer<int32_t> chosen_;                 // [token][choice]
  Buffer<int64_t> starts_, next_, rows_, tokens_;
  ActivationBuffer routed_, gated_;
};

// Memory of one thread.
struct Scratch {
  Buffer<uint8_t> bytes;
  Buffer<float> products;
};

struct Workspace {
  std::vector<std::unique_ptr<Scratch>> threads;
  ActivationBuffer hidden, attended, gated;
  Buffer<float> query_key_value, attention, partial, added;
  Buffer<uint16_t> keys, values;  // of tokens that a ring has no room for
  Experts experts;

  void prepare(int64_t count) {
    while ((int)threads.size() < pool().threads()) threads.push_back(std::make_unique<Scratch>());
    for (auto& each : threads) {
      each->bytes.get(kScratchBytes);
      each->products.get(2 * count * kPanelRows);
    }
  }
  uint8_t* scratch(int thread) { return threads[(size_t)thread]->bytes.get(kScratchBytes); }
};

// Of the process: calls come from one thread at a time.
Workspace& workspace();

inline int64_t tiles_of(const QuantMatrix& matrix) { return (matrix.rows + kTileRows - 1) / kTileRows; }

// Pieces of [0, total) whose bounds are multiples of `step`, and about `items` of them.
struct Pieces {
  int64_t total, size, count;

  Pieces(int64_t total_, int64_t items, int64_t step) : total(total_) {
    const int64_t steps = (total + step - 1) / step;
    const int64_t per = std::max<int64_t>(1, steps / std::max<int64_t>(1, items));
    size = per * step;
    count = (total + size - 1) / size;
  }
  int64_t first(int64_t i) const { return i * size; }
  int64_t last(int64_t i) const { return std::min(total, (i + 1) * size); }
};

// Turns running out of memory, the only exception there is, into a status.
template <class Work> int32_t guarded(const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return QUANT_NO_MEMORY;
  }
}

// Calls `token(m)` for every token, by several threads if they are many; false if any call was.
template <class Token> bool every_token(int64_t count, const Token& token) {
  bool finite = true;
  if (count <= 4) {
    for (int64_t m = 0; m < count; m++) finite &= token(m);
    return finite;
  }
  std::atomic<bool> all{true};
  const Pieces pieces(count, 8 * pool().threads(), 1);
  pool().run(pieces.count, [&](int64_t i, int) {
    for (int64_t m = pieces.first(i); m < pieces.last(i); m++) {
      if (!token(m)) all.store(false, std::memory_order_relaxed);
    }
  });
  return all;
}

// ------------------------------------------------------------------------------------------------ products.cpp

// One of several products of the same activations, whose items are handed out together: y = x W' + bias, or added to y.
struct Product {
  const QuantMatrix* matrix;
  float* y;
  const float* bias;
  bool accumulate;
};

bool quantize_all(const float* x, int64_t count, const Activations& to);
void multiply(const Product* products, int number, const Activations& x, int64_t count);
// y = (x + rest) W', where `rest` follows `x` in memory: the weights are read once for both.
void multiply_two_terms(const QuantMatrix& matrix, const Activations& x, int64_t count, float* y);
// activation(x G') * (x U') into `out`; false when a value is not finite.
bool multiply_gated(const QuantMatrix& gate, const QuantMatrix& up, const Activations& x, int64_t count,
                    QuantActivation activation, const Activations& out);
int32_t embed(const QuantMatrix& matrix, const int64_t* ids, int64_t count, float* y);

// ------------------------------------------------------------------------------------------------ attend.cpp

// Queries, keys and values of the tokens of a step, each with its own stride from token to token.
struct Heads {
  float *queries, *keys, *values;
  int64_t query_stride, key_stride, value_stride;
};

// Where the tokens of a step stand, and what they see.
struct Place {
  const QuantCacheLayer* cache;
  int64_t window, position, count;
};

// Rotates queries and keys unless `rotation` is null, and puts keys and values into the cache.
void rotate_and_put(const QuantShape& shape, const Heads& heads, const QuantRotation* rotation, const Place& place);
void attend(const QuantShape& shape, const Heads& heads, const Place& place, float* y);

}  // namespace quant
