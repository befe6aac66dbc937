// Mixtures of experts: every token's MLP is a weighted sum of a few of many.

#include "work.h"

#include <cmath>
#include <cstring>

namespace quant {

namespace {

// Rows of activations as they are, one after the other.
void copy_rows(const Activations& from, const int64_t* rows, int64_t count, const Activations& to) {
  const auto floats = (size_t)from.groups() * sizeof(float);
  for (int64_t i = 0; i < count; i++) {
    const Activations source = from.from(rows[i]), target = to.from(i);
    std::memcpy(target.codes, source.codes, (size_t)from.columns);
    std::memcpy(target.scales, source.scales, floats);
    std::memcpy(target.offsets, source.offsets, floats);
    std::memcpy(target.sums, source.sums, floats);
  }
}

// The likeliest experts of one token, the likeliest first and of equals the first, and what each weighs.
void choose(const QuantShape& shape, float* logits, int32_t* experts, float* weights) {
  const int64_t n = shape.num_experts, k = shape.experts_per_token;
  const float top = *std::max_element(logits, logits + n);
  float total = 0, chosen = 0;
  for (int64_t e = 0; e < n; e++) total += logits[e] = std::exp(logits[e] - top);
  for (int64_t j = 0; j < k; j++) {
    const auto best = std::max_element(logits, logits + n) - logits;
    experts[j] = (int32_t)best;
    chosen += weights[j] = logits[best];
    logits[best] = -1;
  }
  const float share = 1.0f / (shape.normalize_expert_weights ? chosen : total);
  for (int64_t j = 0; j < k; j++) weights[j] *= share;
}

}  // namespace

bool Experts::route(const QuantShape& shape, const QuantLayer& layer, const Activations& x, int64_t count) {
  const int64_t n = shape.num_experts, k = shape.experts_per_token;
  float* logits = logits_.get(count * n);
  int32_t* chosen = chosen_.get(count * k);
  const Product router = {&layer.router, logits, nullptr, false};
  multiply(&router, 1, x, count);
  float* weights = weights_.get(count * k);
  bool finite = true;
  for (int64_t m = 0; m < count; m++) {
    for (int64_t e = 0; e < n; e++) finite &= std::isfinite(logits[m * n + e]);
    if (!finite) return false;
    choose(shape, logits + m * n, chosen + m * k, weights + m * k);
  }
  // Tokens sorted by expert: rows [starts[e], starts[e + 1]) are those of expert e.
  int64_t* starts = starts_.get(n + 1);
  std::fill(starts, starts + n + 1, 0);
  for (int64_t i = 0; i < count * k; i++) starts[chosen[i] + 1]++;
  for (int64_t e = 0; e < n; e++) starts[e + 1] += starts[e];
  int64_t *rows = rows_.get(count * k), *tokens = tokens_.get(count * k), *next = next_.get(n);
  std::copy(starts, starts + n, next);
  for (int64_t i = 0; i < count * k; i++) {
    rows[i] = next[chosen[i]]++;
    tokens[rows[i]] = i / k;
  }
  copy_rows(x, tokens, count * k, routed_.get(count * k, x.columns));
  return true;
}

template <class Work> void Experts::each(const QuantShape& shape, int64_t tiles, int64_t step, const Work& work) {
  const int64_t *starts = starts_.get(shape.num_experts + 1), most = 4 * pool().threads();
  const Pieces pieces(tiles, most, step);
  int64_t *used = next_.get(shape.num_experts), count = 0;
  for (int64_t e = 0; e < shape.num_experts; e++) {
    if (starts[e + 1] > starts[e]) used[count++] = e;
  }
  pool().run(count * pieces.count, [&](int64_t i, int thread) {
    const int64_t e = used[i / pieces.count], piece = i % pieces.count;
    work(e, starts[e], starts[e + 1] - starts[e], pieces.first(piece), pieces.last(piece), thread);
  });
}

bool Experts::gate_up(const QuantShape& shape, const QuantLayer& layer, int64_t count) {
  const int64_t rows = count * shape.experts_per_token, inner = shape.expert_intermediate_size;
  const Activations x = routed_.get(rows, shape.hidden_size), out = gated_.get(rows, inner);
  std::atomic<bool> finite{true};
  each(shape, inner / kTileRows, 2, [&](int64_t e, int64_t start, int64_t n, int64_t first, int64_t last, int thread) {
    Scratch& mine = *workspace().threads[(size_t)thread];
    const QuantExpert& expert = layer.experts[e];
    if (!table().gated(expert.gate, expert.up, first, last, x.from(start), n, (QuantActivation)shape.activation,
                       out.from(start), mine.products.get(2 * n * kPanelRows), mine.bytes.get(kScratchBytes))) {
      finite.store(false, std::memory_order_relaxed);
    }
  });
  return finite;
}

void Experts::down(const QuantShape& shape, const QuantLayer& layer, int64_t count, float* y) {
  const int64_t k = shape.experts_per_token, hidden = shape.hidden_size;
  const Activations x = gated_.get(count * k, shape.expert_intermediate_size);
  float* each_down = down_.get(count * k * hidden);
  each(shape, tiles_of(layer.experts->down), kPanelRows / kTileRows,
       [&](int64_t e, int64_t start, int64_t n, int64_t first, int64_t last, int thread) {
         table().product(layer.experts[e].down, first, last, x.from(start), n,
                         each_down + start * hidden + first * kTileRows, hidden, nullptr, false,
                         workspace().scratch(thread));
       });
  const float* weights = weights_.get(count * k);
  const int64_t* rows = rows_.get(count * k);
  every_token(count, [&](int64_t m) {
    std::fill(y + m * hidden, y + (m + 1) * hidden, 0.0f);
    for (int64_t i = m * k; i < (m + 1) * k; i++) {
      table().add_scaled(y + m * hidden, each_down + rows[i] * hidden, weights[i], hidden);
    }
    return true;
  });
}

}  // namespace quant
