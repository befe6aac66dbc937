// The order of work: products, attention and whole decoder layers as items that the pool's threads share.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <new>
#include <vector>

#include "dispatch.h"

namespace quant {
namespace {

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

// Memory of one thread.
struct Scratch {
  Buffer<uint8_t> bytes;
  Buffer<float> products;
};

struct Workspace {
  std::vector<std::unique_ptr<Scratch>> threads;
  ActivationBuffer hidden, attended, gated;
  Buffer<float> query_key_value, attention, partial;

  void prepare(int64_t count) {
    while ((int)threads.size() < pool().threads()) threads.push_back(std::make_unique<Scratch>());
    for (auto& each : threads) {
      each->bytes.get(kScratchBytes);
      each->products.get(2 * count * kPanelRows);
    }
  }
  uint8_t* scratch(int thread) { return threads[(size_t)thread]->bytes.get(kScratchBytes); }
};

Workspace& workspace() {
  static Workspace shared;
  return shared;
}

int64_t tiles_of(const QuantMatrix& matrix) { return (matrix.rows + kTileRows - 1) / kTileRows; }

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

// Work of an item, in bytes of weights times passes over them: small enough that a thread which loses its core holds up
// the others little, large enough that taking an item costs nothing.
constexpr int64_t kItemBytes = 32 << 10;

int64_t items_for(const QuantMatrix& matrix, int64_t count) {
  const int64_t bytes = matrix.rows * matrix.columns * matrix.bits / 8, passes = (count + 7) / 8;
  return std::max<int64_t>(2 * pool().threads(), bytes * passes / kItemBytes);
}

int64_t step_for(int64_t count) { return count > kFewTokens ? kPanelRows / kTileRows : 1; }

bool quantize_all(const float* x, int64_t count, const Activations& to) {
  if (count <= 4) {
    bool finite = true;
    for (int64_t m = 0; m < count; m++) finite &= table().quantize(x + m * to.columns, to.from(m));
    return finite;
  }
  std::atomic<bool> finite{true};
  const Pieces pieces(count, 8 * pool().threads(), 1);
  pool().run(pieces.count, [&](int64_t i, int) {
    for (int64_t m = pieces.first(i); m < pieces.last(i); m++) {
      if (!table().quantize(x + m * to.columns, to.from(m))) finite.store(false, std::memory_order_relaxed);
    }
  });
  return finite;
}

bool norm_all(const float* x, const float* weight, float eps, int64_t count, const Activations& to,
              const Activations* rest = nullptr) {
  const auto token = [&](int64_t m) {
    const Activations remaining = rest ? rest->from(m) : to;
    return table().norm(x + m * to.columns, weight, eps, to.from(m), rest ? &remaining : nullptr);
  };
  if (count <= 4) {
    bool finite = true;
    for (int64_t m = 0; m < count; m++) finite &= token(m);
    return finite;
  }
  std::atomic<bool> finite{true};
  const Pieces pieces(count, 8 * pool().threads(), 1);
  pool().run(pieces.count, [&](int64_t i, int) {
    for (int64_t m = pieces.first(i); m < pieces.last(i); m++) {
      if (!token(m)) finite.store(false, std::memory_order_relaxed);
    }
  });
  return finite;
}

// One of several products of the same activations, whose items are handed out together.
struct Product {
  const QuantMatrix* matrix;
  float* y;
  const float* bias;
  bool accumulate;
};

void multiply(const Product* products, int number, const Activations& x, int64_t count) {
  Pieces pieces[3] = {{0, 1, 1}, {0, 1, 1}, {0, 1, 1}};
  int64_t items = 0;
  for (int p = 0; p < number; p++) {
    const QuantMatrix& matrix = *products[p].matrix;
    pieces[p] = Pieces(tiles_of(matrix), items_for(matrix, count), step_for(count));
    items += pieces[p].count;
  }
  pool().run(items, [&](int64_t i, int thread) {
    int p = 0;
    while (i >= pieces[p].count) i -= pieces[p++].count;
    const Product& product = products[p];
    const int64_t first = pieces[p].first(i), rows = product.matrix->rows;
    table().product(*product.matrix, first, pieces[p].last(i), x, count, product.y + first * kTileRows, rows,
                    product.bias, product.accumulate, workspace().scratch(thread));
  });
}

// y = (x + rest) W', where `rest` follows `x` in memory: the weights are read once for both.
void multiply_two_terms(const QuantMatrix& matrix, const Activations& x, int64_t count, float* y) {
  const Pieces pieces(tiles_of(matrix), items_for(matrix, 2 * count), step_for(2 * count));
  pool().run(pieces.count, [&](int64_t i, int thread) {
    constexpr int64_t kStep = kPanelRows / kTileRows;
    Scratch& mine = *workspace().threads[(size_t)thread];
    float* both = mine.products.get(2 * count * kPanelRows);
    for (int64_t tile = pieces.first(i); tile < pieces.last(i); tile += kStep) {
      const int64_t row = tile * kTileRows, last = std::min(pieces.last(i), tile + kStep);
      table().product(matrix, tile, last, x, 2 * count, both, kPanelRows, nullptr, false, mine.bytes.get(kScratchBytes));
      for (int64_t m = 0; m < count; m++) {
        const float *a = both + m * kPanelRows, *b = a + count * kPanelRows;
        float* to = y + m * matrix.rows + row;
        for (int64_t n = 0; n < std::min(matrix.rows, last * kTileRows) - row; n++) to[n] = a[n] + b[n];
      }
    }
  });
}

// silu(x G') * (x U') into `out`.
bool multiply_gated(const QuantMatrix& gate, const QuantMatrix& up, const Activations& x, int64_t count,
                    const Activations& out) {
  const Pieces pieces(tiles_of(gate), 2 * items_for(gate, count), 2);
  std::atomic<bool> finite{true};
  pool().run(pieces.count, [&](int64_t i, int thread) {
    Scratch& mine = *workspace().threads[(size_t)thread];
    if (!table().gated(gate, up, pieces.first(i), pieces.last(i), x, count, out,
                       mine.products.get(2 * count * kPanelRows), mine.bytes.get(kScratchBytes))) {
      finite.store(false, std::memory_order_relaxed);
    }
  });
  return finite;
}

// Rotates queries and keys if cosines are given, and puts keys and values into the cache. Rows are queries, keys and
// values of one token, each with its own stride.
struct Heads {
  float *queries, *keys, *values;
  int64_t query_stride, key_stride, value_stride;
};

void rotate_and_put(const QuantShape& shape, const Heads& heads, const float* cosines, const float* sines,
                    const QuantCache& cache, int64_t layer, int64_t position, int64_t count) {
  const int64_t d = shape.head_dim;
  const auto token = [&](int64_t m) {
    const float *c = cosines + m * d, *s = sines + m * d;
    if (cosines) {
      for (int64_t h = 0; h < shape.num_heads; h++) table().rotate(heads.queries + m * heads.query_stride + h * d, c, s, d);
    }
    for (int64_t h = 0; h < shape.num_key_value_heads; h++) {
      float* key = heads.keys + m * heads.key_stride + h * d;
      if (cosines) table().rotate(key, c, s, d);
      const int64_t start = h * cache.capacity * d;
      table().put(key, heads.values + m * heads.value_stride + h * d, d, position + m,
                  cache.layers[layer].keys + start, cache.layers[layer].values + start);
    }
  };
  if (count <= 4) {
    for (int64_t m = 0; m < count; m++) token(m);
    return;
  }
  // Blocks of 16 tokens, so that no two threads write into one line of keys.
  const int64_t first = position / 16, blocks = (position + count - 1) / 16 - first + 1;
  pool().run(blocks, [&](int64_t b, int) {
    const int64_t from = std::max<int64_t>(0, (first + b) * 16 - position);
    for (int64_t m = from; m < std::min(count, (first + b + 1) * 16 - position); m++) token(m);
  });
}

// Results of `rows` queries, for the given number of spans.
struct Partials {
  float* data;
  int64_t rows, head_dim;

  static int64_t size(int64_t rows, int64_t head_dim) { return rows * (head_dim + 2); }
  AttentionPartial at(int64_t i) const {
    float* start = data + i * size(rows, head_dim);
    return {start, start + rows * head_dim, start + rows * (head_dim + 1)};
  }
};

// An item is the queries of some tokens that share a key head. With many tokens it goes over all the keys that they
// see; with few, over one span, and the last to finish of the spans that belong together merges them.
void attend(const QuantShape& shape, const Heads& heads, const QuantCache& cache, int64_t layer, int64_t position,
            int64_t count, float* y) {
  const int64_t d = shape.head_dim, shared = shape.num_heads / shape.num_key_value_heads, keys = position + count;
  const int64_t most_rows = std::min<int64_t>(kQueryRows, kScratchBytes / 4 / (d + kSpan));
  const int64_t tokens = std::min(count, std::max<int64_t>(1, most_rows / shared));
  const int64_t blocks = (count + tokens - 1) / tokens, groups = shape.num_key_value_heads * blocks;
  const bool apart = count <= kFewTokens;
  const int64_t spans = (keys + kSpan - 1) / kSpan, items = apart ? groups * spans : groups;
  const int64_t rows = tokens * shared, slots = apart ? items : 2 * pool().threads();
  const Partials partials = {workspace().partial.get(slots * Partials::size(rows, d)), rows, d};
  std::vector<std::atomic<int64_t>> left((size_t)(apart ? groups : 0));
  for (auto& each : left) each.store(spans, std::memory_order_relaxed);

  pool().run(items, [&](int64_t i, int thread) {
    // The last tokens see the most keys: long items first.
    const int64_t group = apart ? i / spans : i, head = group % shape.num_key_value_heads;
    const int64_t first = (blocks - 1 - group / shape.num_key_value_heads) * tokens;
    const int64_t start = head * cache.capacity * d;
    AttentionSpan span;
    span.queries = heads.queries + head * shared * d;
    span.query_stride = heads.query_stride;
    span.heads = shared;
    span.head_dim = d;
    span.scale = 1.0f / std::sqrt((float)d);
    span.keys = cache.layers[layer].keys + start;
    span.values = cache.layers[layer].values + start;
    span.first_token = first;
    span.last_token = std::min(count, first + tokens);
    span.position = position;
    const int64_t end = position + span.last_token;  // of the keys that these tokens see
    const auto one = [&](int64_t s, const AttentionPartial& out) {
      span.first_key = s * kSpan;
      span.last_key = std::max(span.first_key, std::min(end, span.first_key + kSpan));
      table().attend(span, out, workspace().scratch(thread));
    };

    AttentionPartial whole;
    if (apart) {
      one(i % spans, partials.at(i));
      if (left[(size_t)group].fetch_sub(1, std::memory_order_acq_rel) > 1) return;
      whole = partials.at(group * spans);
      for (int64_t s = 1; s < spans; s++) table().merge(whole, partials.at(group * spans + s), span.rows(), d);
    } else {
      whole = partials.at(2 * thread);
      one(0, whole);
      for (int64_t s = 1; s * kSpan < end; s++) {
        one(s, partials.at(2 * thread + 1));
        table().merge(whole, partials.at(2 * thread + 1), span.rows(), d);
      }
    }
    for (int64_t r = 0; r < span.rows(); r++) {
      float* out = y + (first + r / shared) * shape.num_heads * d + (head * shared + r % shared) * d;
      const float inverse = 1.0f / whole.weights[r];
      for (int64_t j = 0; j < d; j++) out[j] = whole.sums[r * d + j] * inverse;
    }
  });
}

// Turns running out of memory, the only exception there is, into a status.
template <class Work> int32_t guarded(const Work& work) {
  try {
    return work();
  } catch (const std::bad_alloc&) {
    return QUANT_NO_MEMORY;
  }
}

int32_t embed(const QuantMatrix& matrix, const int64_t* ids, int64_t count, float* y) {
  for (int64_t m = 0; m < count; m++) {
    if (ids[m] < 0 || ids[m] >= matrix.rows) return QUANT_BAD_ID;
  }
  if (count <= 4) {
    for (int64_t m = 0; m < count; m++) table().row(matrix, ids[m], y + m * matrix.columns);
    return QUANT_OK;
  }
  pool().run(count, [&](int64_t m, int) { table().row(matrix, ids[m], y + m * matrix.columns); });
  return QUANT_OK;
}

}  // namespace
}  // namespace quant

using namespace quant;

struct QuantPlan {
  QuantShape shape;
  std::vector<QuantLayer> layers;
  QuantMatrix embedding = {}, output = {};
  const float* output_norm;
  bool timed = false;
  double seconds[QUANT_PARTS] = {};

  int32_t run(const QuantStep& step);

 private:
  bool layer(const QuantStep& step, int64_t index);
  int32_t output_logits(const QuantStep& step);

  template <class Work> auto part(QuantPart which, const Work& work) {
    if (!timed) return work();
    const auto began = std::chrono::steady_clock::now();
    auto result = work();
    seconds[which] += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return result;
  }
};

bool QuantPlan::layer(const QuantStep& step, int64_t index) {
  const QuantLayer& w = layers[(size_t)index];
  const int64_t count = step.count, query_size = shape.num_heads * shape.head_dim;
  const int64_t key_value_size = shape.num_key_value_heads * shape.head_dim;
  Workspace& work = workspace();
  const Activations x = work.hidden.get(count, shape.hidden_size);
  float* projected = work.query_key_value.get(count * (query_size + 2 * key_value_size));
  const Heads heads = {projected,  projected + count * query_size, projected + count * (query_size + key_value_size),
                       query_size, key_value_size,                 key_value_size};

  bool finite = part(QUANT_NORM, [&] {
    return norm_all(step.hidden, w.attention_norm, shape.rms_norm_eps, count, x);
  });
  part(QUANT_QUERY_KEY_VALUE, [&] {
    const Product three[] = {{&w.query, heads.queries, w.query_bias, false},
                             {&w.key, heads.keys, w.key_bias, false},
                             {&w.value, heads.values, w.value_bias, false}};
    multiply(three, 3, x, count);
    return true;
  });
  part(QUANT_ROPE, [&] {
    rotate_and_put(shape, heads, step.cosines, step.sines, step.cache, index, step.position, count);
    return true;
  });
  const Activations attended = work.attended.get(count, query_size);
  finite &= part(QUANT_ATTENTION, [&] {
    float* y = work.attention.get(count * query_size);
    attend(shape, heads, step.cache, index, step.position, count, y);
    return quantize_all(y, count, attended);
  });
  part(QUANT_ATTENTION_OUTPUT, [&] {
    const Product one = {&w.attention_output, step.hidden, nullptr, true};
    multiply(&one, 1, attended, count);
    return true;
  });
  finite &= part(QUANT_NORM, [&] { return norm_all(step.hidden, w.mlp_norm, shape.rms_norm_eps, count, x); });
  const Activations gated = work.gated.get(count, shape.intermediate_size);
  finite &= part(QUANT_GATE_UP, [&] { return multiply_gated(w.gate, w.up, x, count, gated); });
  part(QUANT_DOWN, [&] {
    const Product one = {&w.down, step.hidden, nullptr, true};
    multiply(&one, 1, gated, count);
    return true;
  });
  return finite;
}

// The logits are where rounding of activations shows most, a quarter of its whole effect, and are made of few tokens:
// two terms cost nothing there.
int32_t QuantPlan::output_logits(const QuantStep& step) {
  const int64_t count = step.all_logits ? step.count : 1;
  const Activations x = workspace().hidden.get(2 * count, shape.hidden_size), rest = x.from(count);
  return part(QUANT_OUTPUT, [&]() -> int32_t {
    const float* last = step.hidden + (step.count - count) * shape.hidden_size;
    if (!norm_all(last, output_norm, shape.rms_norm_eps, count, x, &rest)) return QUANT_NOT_FINITE;
    multiply_two_terms(output, x, count, step.logits);
    return QUANT_OK;
  });
}

int32_t QuantPlan::run(const QuantStep& step) {
  workspace().prepare(step.count);
  if (step.ids) {
    const int32_t status = part(QUANT_EMBEDDING, [&] { return embed(embedding, step.ids, step.count, step.hidden); });
    if (status != QUANT_OK) return status;
  }
  for (int64_t i = step.first_layer; i < step.last_layer; i++) {
    if (!layer(step, i)) return QUANT_NOT_FINITE;
  }
  return step.logits ? output_logits(step) : (int32_t)QUANT_OK;
}

QUANT_API QuantPlan* quant_plan_new(const QuantShape* shape, const QuantLayer* layers, const QuantMatrix* embedding,
                                    const float* output_norm, const QuantMatrix* output) {
  try {
    auto plan = std::make_unique<QuantPlan>();
    plan->shape = *shape;
    plan->layers.assign(layers, layers + shape->num_layers);
    if (embedding) plan->embedding = *embedding;
    if (output) plan->output = *output;
    plan->output_norm = output_norm;
    return plan.release();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

QUANT_API void quant_plan_free(QuantPlan* plan) { delete plan; }

QUANT_API int32_t quant_plan_run(QuantPlan* plan, const QuantStep* step) {
  return guarded([&] { return plan->run(*step); });
}

QUANT_API void quant_plan_times(QuantPlan* plan, double seconds[QUANT_PARTS]) {
  std::copy(plan->seconds, plan->seconds + QUANT_PARTS, seconds);
  std::fill(plan->seconds, plan->seconds + QUANT_PARTS, 0.0);
  plan->timed = true;
}

QUANT_API int32_t quant_matmul(const QuantMatrix* matrix, const float* x, int64_t count, float* y) {
  return guarded([&]() -> int32_t {
    workspace().prepare(count);
    const Activations quantized = workspace().hidden.get(count, matrix->columns);
    if (!quantize_all(x, count, quantized)) return QUANT_NOT_FINITE;
    const Product one = {matrix, y, nullptr, false};
    multiply(&one, 1, quantized, count);
    return QUANT_OK;
  });
}

QUANT_API int32_t quant_rows(const QuantMatrix* matrix, const int64_t* ids, int64_t count, float* y) {
  return embed(*matrix, ids, count, y);
}

QUANT_API int32_t quant_attend(const QuantShape* shape, const QuantCache* cache, int64_t layer, int64_t position,
                               int64_t count, const float* queries, const float* keys, const float* values, float* y) {
  return guarded([&]() -> int32_t {
    workspace().prepare(count);
    const int64_t query_size = shape->num_heads * shape->head_dim;
    const int64_t key_value_size = shape->num_key_value_heads * shape->head_dim;
    // Without cosines nothing of them is written.
    const Heads heads = {const_cast<float*>(queries), const_cast<float*>(keys), const_cast<float*>(values),
                         query_size, key_value_size, key_value_size};
    rotate_and_put(*shape, heads, nullptr, nullptr, *cache, layer, position, count);
    attend(*shape, heads, *cache, layer, position, count, y);
    return QUANT_OK;
  });
}

QUANT_API double quant_probe_bandwidth(const uint8_t* buffer, int64_t bytes) {
  const int64_t items = 64, each = bytes / items / 256 * 256;
  std::atomic<uint64_t> used{0};  // so that no read is left out
  const auto began = std::chrono::steady_clock::now();
  pool().run(items, [&](int64_t i, int) { used += table().probe_bandwidth(buffer + i * each, each); });
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
  return (double)(items * each) / seconds + (used == 0 ? 1e-9 : 0);
}

QUANT_API double quant_probe_operations(void) {
  constexpr int64_t kRounds = 200000;
  const int64_t items = 8 * pool().threads();
  std::atomic<int64_t> done{0};
  const auto began = std::chrono::steady_clock::now();
  pool().run(items, [&](int64_t, int) { done += table().probe_operations(kRounds); });
  return (double)done / std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}
