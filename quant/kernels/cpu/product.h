// Products of int8 activations with int4 and int8 matrices. Included by each isa_*.cpp after its vectors.
//
// With weights w = code * scale + minimum and activations x = code' * scale' + offset', a group of 32 columns adds
//
//     scale * scale' * (sum of code * code') + scale * (sum of code) * offset' + minimum * (sum of x)
//
// to the product: one integer dot product, and two terms that are one number per row of weights times one per token.
// The minimum also stands for the offset that makes int8 codes unsigned. They are added in the same order however many
// tokens there are, so that a text gives the same bits read at once, in pieces or token by token.

#pragma once

#include "rows.h"

namespace {

template <int Bits> constexpr int64_t kTileBytes = kTileRows * kGroup * Bits / 8;
template <int Bits> constexpr bool kHasMinimum = Bits == 4 || kOffset8 != 0;

// Scales and minimums of one tile, by group of 32 columns.
template <int Bits> struct Scaling {
  const uint16_t* half = nullptr;
  const uint16_t* minimums = nullptr;
  const float* whole = nullptr;  // one scale for the row
  int shift = 0;

  Scaling(const QuantMatrix& matrix, int64_t tile) {
    if (matrix.group == 0) {
      whole = (const float*)matrix.scales + tile * kTileRows;
      return;
    }
    shift = matrix.group == 32 ? 0 : matrix.group == 64 ? 1 : 2;
    const int64_t start = tile * (matrix.columns / matrix.group) * kTileRows;
    half = (const uint16_t*)matrix.scales + start;
    if (matrix.minimums) minimums = matrix.minimums + start;
  }
  F scale(int64_t g) const { return whole ? load(whole) : load_half(half + (g >> shift) * kTileRows); }
  F minimum(int64_t g, F scale) const {
    if (Bits == 4 && minimums) return load_half(minimums + (g >> shift) * kTileRows);
    return mul(scale, set(Bits == 4 ? -8.0f : (float)-kOffset8));
  }
};

inline F load_some(const float* p, int64_t n) {
  if (n >= 16) return load(p);
  float lanes[16] = {};
  for (int64_t i = 0; i < n; i++) lanes[i] = p[i];
  return load(lanes);
}

inline void store_some(float* p, F a, int64_t n) {
  if (n >= 16) return store(p, a);
  float lanes[16];
  store(lanes, a);
  for (int64_t i = 0; i < n; i++) p[i] = lanes[i];
}

// Where a product goes: the first of its rows of the matrix, for the first token.
struct Output {
  float* y;
  int64_t stride;     // from token to token
  int64_t rows;       // of the matrix that are left, padding not counted
  const float* bias;  // of the first row, or null
  bool accumulate;

  F start(int64_t token, int64_t row) const {
    if (accumulate) return load_some(y + token * stride + row, rows - row);
    return bias ? load_some(bias + row, rows - row) : zero();
  }
  Output from(int64_t row, int64_t token) const {
    return {y + token * stride + row, stride, rows - row, bias ? bias + row : nullptr, accumulate};
  }
};

alignas(64) constexpr int8_t kOnes[kGroup] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                              1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

// ------------------------------------------------------------------------------------------------ a few tokens

template <int Bits, int Rows>
inline void few(const QuantMatrix& matrix, int64_t tile, const Activations& x, const Output& out) {
  const int64_t groups = x.groups();
  const uint8_t* codes = matrix.packed + tile * groups * kTileBytes<Bits>;
  const Scaling<Bits> scaling(matrix, tile);
  F acc[Rows];
#pragma GCC unroll 8
  for (int m = 0; m < Rows; m++) acc[m] = out.start(m, 0);
  for (int64_t g = 0; g < groups; g++, codes += kTileBytes<Bits>) {
    // One page ahead, as the hardware's own prefetching stops at each page.
#pragma GCC unroll 8
    for (int i = 0; i < Bits; i++) prefetch(codes + 4096 + i * 64);
    const F scale = scaling.scale(g), minimum = scaling.minimum(g, scale);
    const F total = mul(scale, to_float(dot_tile<Bits>(codes, kOnes)));
#pragma GCC unroll 8
    for (int m = 0; m < Rows; m++) {
      const I dot = dot_tile<Bits>(codes, x.codes + m * x.columns + g * kGroup);
      acc[m] = fma(to_float(dot), mul(scale, set(x.scales[m * groups + g])), acc[m]);
      acc[m] = fma(total, set(x.offsets[m * groups + g]), acc[m]);
      if (kHasMinimum<Bits>) acc[m] = fma(minimum, set(x.sums[m * groups + g]), acc[m]);
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < Rows; m++) store_some(out.y + m * out.stride, acc[m], out.rows);
}

// ------------------------------------------------------------------------------------------------ many tokens

// Groups of columns of a panel that are unpacked at a time: the codes and scales of two tiles then fit into the smallest
// first-level cache beside the activations.
constexpr int64_t kPanelGroups = 16;

template <int Bits> struct Panel {
  alignas(64) uint8_t codes[kPanelGroups][kBlockTiles][8][64];
  alignas(64) float scales[kPanelGroups][kBlockTiles][16];
  alignas(64) float totals[kPanelGroups][kBlockTiles][16];  // scale times sum of the codes
  alignas(64) float minimums[kPanelGroups][kBlockTiles][16];

  void unpack(const QuantMatrix& matrix, int64_t tile, int64_t tiles, int64_t first_group, int64_t groups) {
    for (int64_t t = 0; t < tiles; t++) {
      const Scaling<Bits> scaling(matrix, tile + t);
      const uint8_t* p = matrix.packed + ((tile + t) * (matrix.columns / kGroup) + first_group) * kTileBytes<Bits>;
      for (int64_t g = 0; g < groups; g++, p += kTileBytes<Bits>) {
        const F scale = scaling.scale(first_group + g);
        store(scales[g][t], scale);
        store(totals[g][t], mul(scale, to_float(dot_tile<Bits>(p, kOnes))));
        store(minimums[g][t], scaling.minimum(first_group + g, scale));
        for (int j = 0; j < Bits; j++) {
          prefetch(p + 4096 + j * 64);
          B raw = load_bytes(p + j * 64);
          if constexpr (Bits == 8) {
            store_bytes(codes[g][t][j], codes8(raw));
          } else {
            store_bytes(codes[g][t][2 * j], low_nibbles(raw));
            store_bytes(codes[g][t][2 * j + 1], high_nibbles(raw));
          }
        }
      }
    }
  }
};

template <int Bits, int Rows, int Tiles>
inline void block(const Panel<Bits>& panel, int64_t groups, int64_t first_group, const Activations& x, const Output& out,
                  bool first) {
  const int64_t stride = x.groups();
  const float *scales = x.scales + first_group, *offsets = x.offsets + first_group, *sums = x.sums + first_group;
  F acc[Tiles][Rows];
#pragma GCC unroll 8
  for (int m = 0; m < Rows; m++) {
#pragma GCC unroll 2
    for (int t = 0; t < Tiles; t++) {
      acc[t][m] = first ? out.start(m, t * 16) : load_some(out.y + m * out.stride + t * 16, out.rows - t * 16);
    }
  }
  for (int64_t g = 0; g < groups; g++) {
    const int8_t* codes = x.codes + (first_group + g) * kGroup;
    Acc<Bits> dot[Tiles][Rows];
#pragma GCC unroll 8
    for (int m = 0; m < Rows; m++) {
#pragma GCC unroll 2
      for (int t = 0; t < Tiles; t++) dot[t][m] = acc_zero<Bits>();
    }
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
      B weights[Tiles];
#pragma GCC unroll 2
      for (int t = 0; t < Tiles; t++) weights[t] = load_bytes(panel.codes[g][t][j]);
#pragma GCC unroll 8
      for (int m = 0; m < Rows; m++) {
        B four = broadcast4(codes + m * x.columns + j * 4);
#pragma GCC unroll 2
        for (int t = 0; t < Tiles; t++) dot[t][m] = acc_step<Bits>(dot[t][m], weights[t], four);
      }
    }
#pragma GCC unroll 2
    for (int t = 0; t < Tiles; t++) {
      const F scale = load(panel.scales[g][t]), total = load(panel.totals[g][t]), minimum = load(panel.minimums[g][t]);
#pragma GCC unroll 8
      for (int m = 0; m < Rows; m++) {
        acc[t][m] = fma(to_float(acc_finish<Bits>(dot[t][m])), mul(scale, set(scales[m * stride + g])), acc[t][m]);
        acc[t][m] = fma(total, set(offsets[m * stride + g]), acc[t][m]);
        if (kHasMinimum<Bits>) acc[t][m] = fma(minimum, set(sums[m * stride + g]), acc[t][m]);
      }
    }
  }
#pragma GCC unroll 8
  for (int m = 0; m < Rows; m++) {
#pragma GCC unroll 2
    for (int t = 0; t < Tiles; t++) store_some(out.y + m * out.stride + t * 16, acc[t][m], out.rows - t * 16);
  }
}

template <int Bits>
void many(const QuantMatrix& matrix, int64_t tile, int64_t tiles, const Activations& x, int64_t count,
          const Output& out, uint8_t* scratch) {
  static_assert(sizeof(Panel<Bits>) <= kScratchBytes, "a panel must fit into the scratch memory");
  auto& panel = *(Panel<Bits>*)scratch;
  for (int64_t g = 0; g < x.groups(); g += kPanelGroups) {
    const int64_t groups = x.groups() - g < kPanelGroups ? x.groups() - g : kPanelGroups;
    panel.unpack(matrix, tile, tiles, g, groups);
    for (int64_t m = 0; m < count; m += kBlockRows) {
      with_constant<kBlockRows>(count - m, [&](auto rows) {
        with_constant<kBlockTiles>(tiles, [&](auto width) {
          block<Bits, decltype(rows)::value, decltype(width)::value>(panel, groups, g, x.from(m), out.from(0, m), g == 0);
        });
      });
    }
  }
}

// ------------------------------------------------------------------------------------------------ what the table has

template <int Bits>
void product_of(const QuantMatrix& matrix, int64_t first, int64_t last, const Activations& x, int64_t count,
                const Output& out, uint8_t* scratch) {
  if (count > kFewTokens) {
    for (int64_t tile = first; tile < last; tile += kBlockTiles) {
      const int64_t tiles = last - tile < kBlockTiles ? last - tile : kBlockTiles;
      many<Bits>(matrix, tile, tiles, x, count, out.from((tile - first) * kTileRows, 0), scratch);
    }
    return;
  }
  for (int64_t tile = first; tile < last; tile++) {
    const Output here = out.from((tile - first) * kTileRows, 0);
    for (int64_t m = 0; m < count; m += kFewRows) {
      with_constant<kFewRows>(count - m, [&](auto rows) {
        few<Bits, decltype(rows)::value>(matrix, tile, x.from(m), here.from(0, m));
      });
    }
  }
}

inline void product_to(const QuantMatrix& matrix, int64_t first, int64_t last, const Activations& x, int64_t count,
                       const Output& out, uint8_t* scratch) {
  if (matrix.bits == 4) return product_of<4>(matrix, first, last, x, count, out, scratch);
  product_of<8>(matrix, first, last, x, count, out, scratch);
}

void product(const QuantMatrix& matrix, int64_t first, int64_t last, const Activations& x, int64_t count, float* y,
             int64_t stride, const float* bias, bool accumulate, uint8_t* scratch) {
  const int64_t row = first * kTileRows;
  product_to(matrix, first, last, x, count, {y, stride, matrix.rows - row, bias ? bias + row : nullptr, accumulate},
             scratch);
}

template <QuantActivation Activation>
bool gated_as(const QuantMatrix& gate, const QuantMatrix& up, int64_t first, int64_t last, const Activations& x,
              int64_t count, const Activations& out, float* products, uint8_t* scratch) {
  float* gates = products;
  float* ups = products + count * kPanelRows;
  Finite finite;
  for (int64_t tile = first; tile < last; tile += 2) {
    product_to(gate, tile, tile + 2, x, count, {gates, kPanelRows, kPanelRows, nullptr, false}, scratch);
    product_to(up, tile, tile + 2, x, count, {ups, kPanelRows, kPanelRows, nullptr, false}, scratch);
    for (int64_t m = 0; m < count; m++) {
      const float *g = gates + m * kPanelRows, *u = ups + m * kPanelRows;
      F a = gated_lanes<Activation>(load(g), load(u)), b = gated_lanes<Activation>(load(g + 16), load(u + 16));
      finite.see(a, b);
      quantize_group(a, b, out.from(m), tile / 2);
    }
  }
  return finite.all();
}

bool gated(const QuantMatrix& gate, const QuantMatrix& up, int64_t first, int64_t last, const Activations& x,
           int64_t count, QuantActivation activation, const Activations& out, float* products, uint8_t* scratch) {
  const auto chosen = activation == QUANT_SILU ? gated_as<QUANT_SILU> : gated_as<QUANT_GELU_TANH>;
  return chosen(gate, up, first, last, x, count, out, products, scratch);
}

}  // namespace
