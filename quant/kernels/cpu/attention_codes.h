// Attention to a span of the cache that is held in codes, and the codes themselves. Included by each isa_*.cpp.
//
// Both products, of queries with keys and of weights with values, are sums of products of bytes: the scales of keys are
// multiplied into the queries, those of values into the weights, and what comes out is rounded to two terms of int8, which
// together are as good as 15 bits. The sums of integers are exact, so that it does not matter which rows come together.

#pragma once

#include "attention.h"

namespace {

// Rows of two terms whose sums with kBlockTiles tiles fit into the registers.
constexpr int kCodeRows = kBlockRows / 2;

// Rows of floats as x = scale * (high + low / 254) + base, where `base` is added to every sum.
struct Terms {
  int8_t* codes;    // [rows][2][columns]
  float* scales;    // [rows]
  float* bases;     // [rows]
  float* starts;    // [rows][2] whole numbers that the sums of the terms begin with
  int64_t columns;  // a multiple of 16

  static constexpr float kStep = 1.0f / 254;
  Terms(float* memory, int64_t rows, int64_t columns_) : columns(columns_) {
    scales = memory;
    bases = scales + rows;
    starts = bases + rows;
    codes = (int8_t*)(starts + 2 * rows);
  }
};

// Row r becomes x * scales; where there are minimums, its base is the sum of x * minimums, and what it is multiplied with
// has no sign. `scaled` has room for a row.
inline void make_terms(const Terms& terms, int64_t r, const float* x, const uint16_t* scales, const uint16_t* minimums,
                       float* scaled) {
  const int64_t n = terms.columns;
  int8_t *high = terms.codes + r * 2 * n, *low = high + n;
  F most = zero(), base = zero();
  for (int64_t i = 0; i < n; i += 16) {
    const F v = load(x + i), product = mul(v, load_half(scales + i));
    most = max(most, max(product, sub(zero(), product)));
    if (minimums) base = fma(v, load_half(minimums + i), base);
    store(scaled + i, product);
  }
  const float reach = largest(most);
  const bool some = reach > kSmallest;
  const F inverse = set(some ? 127.0f / reach : 0.0f);
  I highs = to_int(zero()), lows = highs;
  for (int64_t i = 0; i < n; i += 16) {
    const F v = mul(load(scaled + i), inverse);
    const I whole = to_int(v), rest = to_int(mul(sub(v, to_float(whole)), set(254.0f)));
    store_codes(high + i, whole);
    store_codes(low + i, rest);
    highs = add(highs, whole);
    lows = add(lows, rest);
  }
  terms.scales[r] = some ? reach / 127.0f : 0.0f;
  terms.bases[r] = minimums ? sum(base) : 0.0f;
  terms.starts[2 * r] = minimums ? 0.0f : (float)(-kOffset8 * sum(highs));
  terms.starts[2 * r + 1] = minimums ? 0.0f : (float)(-kOffset8 * sum(lows));
}

// y [Rows, Tiles * 16] of terms from row `first` on times tiles of codes, 16 lanes by all columns each.
template <int Bits, int Rows, int Tiles>
inline void multiply_codes(const Terms& terms, int64_t first, const uint8_t* tiles, float* y, int64_t stride) {
  constexpr int kLines = 2 * Rows;
  const int64_t n = terms.columns, loads = n * Bits / 32;  // of 16 lanes by 4 bytes
  const int8_t* x = terms.codes + first * 2 * n;
  Acc<8> dot[Tiles][kLines];
#pragma GCC unroll 8
  for (int r = 0; r < kLines; r++) {
#pragma GCC unroll 4
    for (int t = 0; t < Tiles; t++) dot[t][r] = to_int(set(terms.starts[2 * first + r]));
  }
  for (int64_t j = 0; j < loads; j++) {
    B bytes[Tiles];
#pragma GCC unroll 4
    for (int t = 0; t < Tiles; t++) {
      bytes[t] = load_bytes(tiles + (t * loads + j) * 64);
      prefetch(tiles + ((t + Tiles) * loads + j) * 64);  // the next tiles
    }
#pragma GCC unroll 2
    for (int half = 0; half < 8 / Bits; half++, x += 4) {
      B codes[Tiles];
#pragma GCC unroll 4
      for (int t = 0; t < Tiles; t++) {
        codes[t] = Bits == 8 ? codes8(bytes[t]) : half ? high_nibbles(bytes[t]) : low_nibbles(bytes[t]);
      }
#pragma GCC unroll 8
      for (int r = 0; r < kLines; r++) {
        const B four = broadcast4(x + r * n);
#pragma GCC unroll 4
        for (int t = 0; t < Tiles; t++) {
          dot[t][r] = acc_step<8>(dot[t][r], codes[t], four);
          stay(dot[t][r]);
        }
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < Rows; r++) {
    const F scale = set(terms.scales[first + r]), base = set(terms.bases[first + r]);
#pragma GCC unroll 4
    for (int t = 0; t < Tiles; t++) {
      const F high = to_float(acc_finish<8>(dot[t][2 * r])), low = to_float(acc_finish<8>(dot[t][2 * r + 1]));
      store(y + r * stride + t * 16, fma(scale, fma(low, set(Terms::kStep), high), base));
    }
  }
}

// y [rows, tiles * 16].
template <int Bits>
inline void multiply_all(const Terms& terms, int64_t rows, const uint8_t* codes, int64_t tiles, float* y,
                         int64_t stride) {
  const int64_t tile_bytes = terms.columns * 16 * Bits / 8;
  for (int64_t r = 0; r < rows; r += kCodeRows) {
    with_constant<kCodeRows>(rows - r, [&](auto n) {
      constexpr int kRows = decltype(n)::value, kMost = kRows * 2 <= kCodeRows ? kBlockTiles * 2 : kBlockTiles;
      for (int64_t t = 0; t < tiles; t += kMost) {
        with_constant<kMost>(tiles - t, [&](auto width) {
          multiply_codes<Bits, kRows, decltype(width)::value>(terms, r, codes + t * tile_bytes, y + r * stride + t * 16,
                                                              stride);
        });
      }
    });
  }
}

// A whole span in codes.
template <int Bits> void attend_to_codes(const AttentionSpan& span, const AttentionPartial& out, uint8_t* scratch) {
  const int64_t rows = span.rows(), d = span.head_dim, most = d > kSpan ? d : kSpan;
  float* queries = (float*)scratch;
  float* scores = queries + rows * d;
  float* scaled = scores + rows * kSpan;
  float* memory = scaled + most;
  gather_queries(span, queries);

  const Terms by_channel(memory, rows, d);
  constexpr int64_t kGroupTokens = key_group(Bits), kTerms = scale_terms(Bits);
  for (int64_t first = 0; first < kSpan; first += kGroupTokens) {
    const uint16_t* scales = span.codes.key_scales + first / kGroupTokens * kTerms * d;
    for (int64_t r = 0; r < rows; r++) {
      make_terms(by_channel, r, queries + r * d, scales, kTerms == 2 ? scales + d : nullptr, scaled);
    }
    multiply_all<Bits>(by_channel, rows, span.codes.keys + first * d * Bits / 8, kGroupTokens / 16, scores + first,
                       kSpan);
  }
  soften_rows(span, scores, out);
  const Terms by_token(memory, rows, kSpan);
  const int64_t channels = value_group(Bits, d);
  for (int64_t first = 0; first < d; first += channels) {
    const uint16_t* scales = span.codes.value_scales + first / channels * kTerms * kSpan;
    for (int64_t r = 0; r < rows; r++) {
      make_terms(by_token, r, scores + r * kSpan, scales, kTerms == 2 ? scales + kSpan : nullptr, scaled);
    }
    const int64_t tiles = (d - first < channels ? d - first : channels) / 16;
    multiply_all<Bits>(by_token, rows, span.codes.values + first * kSpan * Bits / 8, tiles, out.sums + first, d);
  }
}

void attend(const AttentionSpan& span, const AttentionPartial& out, uint8_t* scratch) {
  if (span.bits == 8) return attend_to_codes<8>(span, out, scratch);
  if (span.bits == 4) return attend_to_codes<4>(span, out, scratch);
  attend_in_full(span, out, scratch);
}

// How 16 numbers are rounded: code = (x - minimum) / scale.
struct Rounding {
  float scale[16], minimum[16];

  // From the largest and the smallest of each 16 that come together; the halves that are kept are what counts.
  template <int Bits> static Rounding of(const float* high, const float* low, uint16_t* scales, uint16_t* minimums) {
    Rounding r;
    if constexpr (Bits == 8) {
      const F most = max(load(high), sub(zero(), load(low)));
      store_half(scales, div(most, set(127.0f)));
      store(r.minimum, zero());
    } else {
      store_half(scales, div(sub(load(high), load(low)), set(15.0f)));
      store_half(minimums, load(low));
      store(r.minimum, load_half(minimums));
    }
    store(r.scale, load_half(scales));
    return r;
  }
};

// The 16 codes of x, by one scale or one each.
template <int Bits> inline void round_codes(F x, F scale, F minimum, int8_t* codes) {
  // No scale gives infinity, or NaN of zero by zero: nothing is rounded then.
  const F least = set(Bits == 8 ? -127.0f : 0.0f), most = set(Bits == 8 ? 127.0f : 15.0f);
  const F some = max(scale, set(1e-30f));
  store_codes(codes, to_int(max(min(div(sub(x, minimum), some), most), least)));
}

// Puts a code into its place in tiles of 16 lanes by `columns`.
template <int Bits> inline void place(uint8_t* tiles, int64_t columns, int64_t lane, int64_t column, int8_t code) {
  uint8_t* at = tiles + lane / 16 * columns * 16 * Bits / 8 + lane % 16 * 4 + column % 4;
  if constexpr (Bits == 8) {
    at[column / 4 * 64] = (uint8_t)code;
  } else {
    uint8_t& both = at[column / 8 * 64];
    both = column % 8 < 4 ? (uint8_t)((both & 0xf0) | code) : (uint8_t)((both & 0x0f) | code << 4);
  }
}

template <int Bits> void encode_span(const AttentionSpan& span, const SpanCodes& to) {
  const int64_t d = span.head_dim;
  const auto key_block = [&](int64_t t) {
    return t < span.run ? span.keys + t * d : span.keys_rest + (t - span.run) * d;  // of 16 tokens
  };
  const auto value_of = [&](int64_t t) {
    return t < span.run ? span.values + t * d : span.values_rest + (t - span.run) * d;
  };
  alignas(64) float high[16], low[16];
  alignas(16) int8_t codes[16];
  constexpr int64_t kTokens = key_group(Bits), kTerms = scale_terms(Bits);
  for (int64_t first = 0; first < kSpan; first += kTokens) {
    for (int64_t c = 0; c < d; c += 16) {
      for (int64_t i = 0; i < 16; i++) {
        F most = load_half(key_block(first) + (c + i) * 16), least = most;
        for (int64_t t = first + 16; t < first + kTokens; t += 16) {
          const F keys = load_half(key_block(t) + (c + i) * 16);
          most = max(most, keys);
          least = min(least, keys);
        }
        high[i] = largest(most);
        low[i] = -largest(sub(zero(), least));
      }
      uint16_t* scales = to.key_scales + first / kTokens * kTerms * d + c;
      const Rounding rounding = Rounding::of<Bits>(high, low, scales, scales + d);
      for (int64_t i = 0; i < 16; i++) {
        for (int64_t t = first; t < first + kTokens; t += 16) {
          round_codes<Bits>(load_half(key_block(t) + (c + i) * 16), set(rounding.scale[i]), set(rounding.minimum[i]),
                            codes);
          for (int64_t k = 0; k < 16; k++) place<Bits>(to.keys, d, t + k, c + i, codes[k]);
        }
      }
    }
  }
  const int64_t channels = value_group(Bits, d);
  for (int64_t first = 0; first < d; first += channels) {
    const int64_t end = d - first < channels ? d : first + channels;
    for (int64_t t = 0; t < kSpan; t += 16) {
      for (int64_t k = 0; k < 16; k++) {
        F most = load_half(value_of(t + k) + first), least = most;
        for (int64_t c = first + 16; c < end; c += 16) {
          most = max(most, load_half(value_of(t + k) + c));
          least = min(least, load_half(value_of(t + k) + c));
        }
        high[k] = largest(most);
        low[k] = -largest(sub(zero(), least));
      }
      uint16_t* scales = to.value_scales + first / channels * kTerms * kSpan + t;
      const Rounding rounding = Rounding::of<Bits>(high, low, scales, scales + kSpan);
      for (int64_t k = 0; k < 16; k++) {
        for (int64_t c = first; c < end; c += 16) {
          round_codes<Bits>(load_half(value_of(t + k) + c), set(rounding.scale[k]), set(rounding.minimum[k]), codes);
          for (int64_t i = 0; i < 16; i++) place<Bits>(to.values, kSpan, c + i, t + k, codes[i]);
        }
      }
    }
  }
}

void encode(const AttentionSpan& span, const SpanCodes& to) {
  if (span.bits == 8) return encode_span<8>(span, to);
  encode_span<4>(span, to);
}

}  // namespace
