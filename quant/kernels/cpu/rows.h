// Work on single rows: quantizing activations, norms, rotary positions, the cache, the exponential function.
// Included by each isa_*.cpp after its vectors.

#pragma once

#include <cmath>
#include <cstring>
#include <type_traits>

#include "table.h"

namespace {

using namespace quant;

inline void prefetch(const void* p) { __builtin_prefetch(p); }

// Calls f with `n`, 1 to Most, as a compile-time constant.
template <int Most, class Function> inline void with_constant(int64_t n, Function&& f) {
  if constexpr (Most > 1) {
    if (n < Most) return with_constant<Most - 1>(n, f);
  }
  f(std::integral_constant<int, Most>{});
}

// exp(x) to about 1e-7 of its value; what would underflow gives 1e-38, and what would overflow 2e38. Polynomial of
// Cephes' expf.
inline F exponential(F x) {
  x = max(min(x, set(88.0f)), set(-87.0f));
  F n = round_even(mul(x, set(1.44269504f)));
  F r = fma(n, set(-0.693359375f), x);
  r = fma(n, set(2.12194440e-4f), r);
  F p = set(1.9875691500e-4f);
  p = fma(p, r, set(1.3981999507e-3f));
  p = fma(p, r, set(8.3334519073e-3f));
  p = fma(p, r, set(4.1665795894e-2f));
  p = fma(p, r, set(1.6666665459e-1f));
  p = fma(p, r, set(5.0000001201e-1f));
  p = fma(mul(r, r), p, add(r, set(1.0f)));
  return times_power_of_two(p, n);
}

constexpr int32_t kInfinityBits = 0x7f800000;
constexpr float kSmallest = 1e-30f;  // of half a group's range; less counts as none, as 127 / it would overflow

// Whether what was seen is all finite: as integers, the bits of NaN and infinity are the largest.
struct Finite {
  I bits = to_int(zero());

  void see(F a, F b) { bits = max(bits, max(absolute_bits(a), absolute_bits(b))); }
  bool all() const { return largest(bits) < kInfinityBits; }
};

// Codes of 32 activations, the group g of a token. What rounding loses stays in a and b.
inline void quantize_group(F& a, F& b, const Activations& out, int64_t g) {
  const float high = largest(max(a, b)), low = -largest(sub(zero(), min(a, b)));
  const float middle = 0.5f * high + 0.5f * low, reach = 0.5f * high - 0.5f * low;
  const bool some = reach > kSmallest;
  const F inverse = set(some ? 127.0f / reach : 0.0f), center = set(middle);
  const I qa = to_int(mul(sub(a, center), inverse)), qb = to_int(mul(sub(b, center), inverse));
  store_codes(out.codes + g * 32, qa);
  store_codes(out.codes + g * 32 + 16, qb);
  const float scale = some ? reach / 127.0f : 0.0f;
  out.scales[g] = scale;
  out.offsets[g] = middle;
  out.sums[g] = scale * (float)sum(add(qa, qb)) + 32 * middle;
  a = sub(a, fma(to_float(qa), set(scale), center));
  b = sub(b, fma(to_float(qb), set(scale), center));
}

bool quantize(const float* x, Activations out) {
  Finite finite;
  for (int64_t g = 0; g < out.groups(); g++) {
    F a = load(x + g * 32), b = load(x + g * 32 + 16);
    finite.see(a, b);
    quantize_group(a, b, out, g);
  }
  return finite.all();
}

inline float sum_of_squares(const float* x, int64_t n) {
  F squares[4] = {zero(), zero(), zero(), zero()};
  int64_t i = 0;
  for (; i + 64 <= n; i += 64) {
    for (int j = 0; j < 4; j++) {
      F v = load(x + i + j * 16);
      squares[j] = fma(v, v, squares[j]);
    }
  }
  for (; i < n; i += 16) squares[0] = fma(load(x + i), load(x + i), squares[0]);
  return sum(add(add(squares[0], squares[1]), add(squares[2], squares[3])));
}

// RMSNorm (Zhang and Sennrich, 2019) and quantization.
bool norm(const float* x, const float* weight, float eps, Activations out, const Activations* rest) {
  const float total = sum_of_squares(x, out.columns);
  const F factor = set(1.0f / std::sqrt(total / (float)out.columns + eps));
  Finite finite;
  for (int64_t g = 0; g < out.groups(); g++) {
    F a = mul(mul(load(x + g * 32), factor), load(weight + g * 32));
    F b = mul(mul(load(x + g * 32 + 16), factor), load(weight + g * 32 + 16));
    finite.see(a, b);
    quantize_group(a, b, out, g);
    if (rest) quantize_group(a, b, *rest, g);
  }
  return finite.all() && total < INFINITY;
}

// RMSNorm in place.
bool norm_floats(float* x, const float* weight, float eps, int64_t n) {
  const float total = sum_of_squares(x, n);
  const F factor = set(1.0f / std::sqrt(total / (float)n + eps));
  for (int64_t i = 0; i < n; i += 16) store(x + i, mul(mul(load(x + i), factor), load(weight + i)));
  return total < INFINITY;
}

// to += scale * from; with no `from`, to = scale * to.
void add_scaled(float* to, const float* from, float scale, int64_t n) {
  const F factor = set(scale);
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    store(to + i, from ? fma(factor, load(from + i), load(to + i)) : mul(factor, load(to + i)));
  }
  for (; i < n; i++) to[i] = from ? to[i] + scale * from[i] : scale * to[i];
}

// cap * tanh(x / cap).
inline F capped(F x, F cap) {
  const F grown = exponential(mul(div(x, cap), set(2.0f)));
  return mul(cap, sub(set(1.0f), div(set(2.0f), add(grown, set(1.0f)))));
}

void cap(float* x, float limit, int64_t n) {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) store(x + i, capped(load(x + i), set(limit)));
  if (i == n) return;
  float lanes[16] = {};
  for (int64_t j = i; j < n; j++) lanes[j - i] = x[j];
  store(lanes, capped(load(lanes), set(limit)));
  for (int64_t j = i; j < n; j++) x[j] = lanes[j - i];
}

// gate / (1 + exp(-steepness)) * up: with the gate itself silu; with what approximates its normal distribution, gelu
// (Hendrycks and Gimpel, 2016, their form with tanh).
template <QuantActivation Activation> inline F gated_lanes(F gate, F up) {
  F steepness = gate;
  if (Activation == QUANT_GELU_TANH) {
    const F cube = mul(mul(gate, gate), gate);
    steepness = mul(set(1.5957691216f), fma(set(0.044715f), cube, gate));  // 2 sqrt(2 / pi)
  }
  return mul(div(gate, add(set(1.0f), exponential(sub(zero(), steepness)))), up);
}

// Rotary positions, half-split: channel i turns with channel i + rotary_dim / 2.
void rotate(float* head, const float* cosines, const float* sines, int64_t rotary_dim) {
  const int64_t half = rotary_dim / 2;
  for (int64_t i = 0; i < half; i++) {
    float a = head[i], b = head[i + half];
    head[i] = a * cosines[i] + b * sines[i];
    head[i + half] = b * cosines[i + half] + a * sines[i + half];
  }
}

constexpr float kMostHalf = 65504.0f;

// One token's key and value of one head to the cache of that head; what float16 cannot hold is held at its largest.
void put(const float* key, const float* value, int64_t head_dim, int64_t slot, uint16_t* keys, uint16_t* values) {
  uint16_t* block = keys + slot / 16 * 16 * head_dim + slot % 16;
  for (int64_t d = 0; d < head_dim; d += 16) {
    uint16_t column[16];
    store_half(column, max(min(load(key + d), set(kMostHalf)), set(-kMostHalf)));
    for (int i = 0; i < 16; i++) block[(d + i) * 16] = column[i];
    store_half(values + slot * head_dim + d, max(min(load(value + d), set(kMostHalf)), set(-kMostHalf)));
  }
}

inline float half_to_float(uint16_t h) {
  uint16_t lanes[16] = {h};
  float out[16];
  store(out, load_half(lanes));
  return out[0];
}

// One row of a quantized matrix.
void row(const QuantMatrix& matrix, int64_t index, float* y) {
  const int64_t groups = matrix.columns / kGroup, per_scale = matrix.group ? matrix.group / kGroup : groups;
  const int64_t tile = index / kTileRows, lane = index % kTileRows, loads = matrix.bits;
  const uint8_t* codes = matrix.packed + (tile * groups * loads * kTileRows + lane) * 4;
  float scale = 0, minimum = 0;
  for (int64_t g = 0; g < groups; g++) {
    if (g % per_scale == 0) {
      int64_t at = (tile * (groups / per_scale) + g / per_scale) * kTileRows + lane;
      scale = matrix.group ? half_to_float(((const uint16_t*)matrix.scales)[at]) : ((const float*)matrix.scales)[at];
      minimum = matrix.minimums ? half_to_float(matrix.minimums[at]) : matrix.bits == 4 ? -8 * scale : 0;
    }
    for (int64_t j = 0; j < loads; j++) {
      const uint8_t* four = codes + (g * loads + j) * kTileRows * 4;
      for (int i = 0; i < 4; i++) {
        if (matrix.bits == 8) {
          y[g * 32 + j * 4 + i] = (float)(int8_t)four[i] * scale;
        } else {
          y[g * 32 + j * 8 + i] = (float)(four[i] & 15) * scale + minimum;
          y[g * 32 + j * 8 + 4 + i] = (float)(four[i] >> 4) * scale + minimum;
        }
      }
    }
  }
}

}  // namespace
