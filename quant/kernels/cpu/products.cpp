// Products of quantized matrices as items that the pool's threads share.

#include "work.h"

#include <chrono>

namespace quant {

Workspace& workspace() {
  static Workspace shared;
  return shared;
}

namespace {

// Work of an item, in bytes of weights times passes over them: small enough that a thread which loses its core holds up
// the others little, large enough that taking an item costs nothing.
constexpr int64_t kItemBytes = 32 << 10;

int64_t items_for(const QuantMatrix& matrix, int64_t count) {
  const int64_t bytes = matrix.rows * matrix.columns * matrix.bits / 8, passes = (count + 7) / 8;
  return std::max<int64_t>(2 * pool().threads(), bytes * passes / kItemBytes);
}

int64_t step_for(int64_t count) { return count > kFewTokens ? kPanelRows / kTileRows : 1; }

}  // namespace

bool quantize_all(const float* x, int64_t count, const Activations& to) {
  return every_token(count, [&](int64_t m) { return table().quantize(x + m * to.columns, to.from(m)); });
}

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

bool multiply_gated(const QuantMatrix& gate, const QuantMatrix& up, const Activations& x, int64_t count,
                    QuantActivation activation, const Activations& out) {
  const Pieces pieces(tiles_of(gate), 2 * items_for(gate, count), 2);
  std::atomic<bool> finite{true};
  pool().run(pieces.count, [&](int64_t i, int thread) {
    Scratch& mine = *workspace().threads[(size_t)thread];
    if (!table().gated(gate, up, pieces.first(i), pieces.last(i), x, count, activation, out,
                       mine.products.get(2 * count * kPanelRows), mine.bytes.get(kScratchBytes))) {
      finite.store(false, std::memory_order_relaxed);
    }
  });
  return finite;
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

}  // namespace quant

using namespace quant;

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
