// Causal attention over the cache by spans of tokens, whose softmaxes are merged as they come (Milakov and Gimelshein,
// 2018; Dao et al., FlashAttention, 2022): no matrix of all scores. Spans begin at multiples of kSpan and are merged in
// order however the work is shared out, so that the result is the same to the bit.

#pragma once

#include "rows.h"

namespace {

// Tiles of 16 lanes whose sums for so many queries fit into the registers.
constexpr int tiles_beside(int rows) { return rows * 2 <= kAttendRows ? kBlockTiles * 2 : kBlockTiles; }

// Scores of Rows queries with Blocks times 16 tokens.
template <int Rows, int Blocks>
inline void score(const float* queries, const uint16_t* keys, int64_t head_dim, float* scores) {
  F acc[Rows][Blocks];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; b++) acc[r][b] = zero();
  }
  for (int64_t d = 0; d < head_dim; d++) {
    F key[Blocks];
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; b++) prefetch(keys + ((b + Blocks) * head_dim + d) * 16);  // the next blocks
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; b++) key[b] = load_half(keys + (b * head_dim + d) * 16);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; r++) {
      F query = set(queries[r * head_dim + d]);
#pragma GCC unroll 4
      for (int b = 0; b < Blocks; b++) acc[r][b] = fma(query, key[b], acc[r][b]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 4
    for (int b = 0; b < Blocks; b++) store(scores + r * kSpan + b * 16, acc[r][b]);
  }
}

// sums [Rows, Slices * 16] = weights [Rows, tokens] times values [tokens, Slices * 16], or added to them.
template <int Rows, int Slices>
inline void weigh(const float* weights, const uint16_t* values, int64_t tokens, int64_t head_dim, bool add_to,
                  float* sums) {
  F acc[Rows][Slices];
#pragma GCC unroll 12
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 4
    for (int s = 0; s < Slices; s++) acc[r][s] = add_to ? load(sums + r * head_dim + s * 16) : zero();
  }
  for (int64_t t = 0; t < tokens; t++) {
    F value[Slices];
#pragma GCC unroll 4
    for (int s = 0; s < Slices; s += 2) prefetch(values + (t + 32) * head_dim + s * 16);
#pragma GCC unroll 4
    for (int s = 0; s < Slices; s++) value[s] = load_half(values + t * head_dim + s * 16);
#pragma GCC unroll 12
    for (int r = 0; r < Rows; r++) {
      F weight = set(weights[r * kSpan + t]);
#pragma GCC unroll 4
      for (int s = 0; s < Slices; s++) acc[r][s] = fma(weight, value[s], acc[r][s]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < Rows; r++) {
#pragma GCC unroll 4
    for (int s = 0; s < Slices; s++) store(sums + r * head_dim + s * 16, acc[r][s]);
  }
}

// From scores to exp(score - largest) in place, for those from `first` up to `seen` of `tokens`; the others weigh nothing.
inline void soften(float* scores, int64_t first, int64_t seen, int64_t tokens, float* largest_, float* weight) {
  const int64_t end = (tokens + 15) / 16 * 16;
  for (int64_t t = 0; t < first; t++) scores[t] = -INFINITY;
  for (int64_t t = seen; t < end; t++) scores[t] = -INFINITY;
  F most = load(scores);
  for (int64_t t = 16; t < end; t += 16) most = max(most, load(scores + t));
  const float top = largest(most);
  F total = zero();
  for (int64_t t = 0; t < end; t += 16) {
    // What weighs nothing is made exactly zero: sums of the tiniest numbers would be denormal, and slow.
    F e = exponential(max(sub(load(scores + t), set(top)), set(-80.0f)));
    e = max(sub(e, set(1.9e-35f)), zero());
    store(scores + t, e);
    total = add(total, e);
  }
  *largest_ = top;
  *weight = sum(total);
}

// Scores [rows, kSpan] to what each key weighs, by the rules of the span.
inline void soften_rows(const AttentionSpan& span, float* scores, const AttentionPartial& out) {
  const int64_t count = span.last_key - span.first_key;
  for (int64_t r = 0; r < span.rows(); r++) {
    const int64_t end = span.position + span.first_token + r / span.heads + 1 - span.first_key;
    const int64_t seen = end < count ? end : count, first = span.window && end > span.window ? end - span.window : 0;
    if (seen > first) {
      if (span.softcap) cap(scores + r * kSpan, span.softcap, (count + 15) / 16 * 16);
      soften(scores + r * kSpan, first, seen, count, out.largest + r, out.weights + r);
    } else {
      for (int64_t t = 0; t < count; t++) scores[r * kSpan + t] = 0;
      out.largest[r] = -INFINITY;
      out.weights[r] = 0;
    }
  }
}

// The scaled queries of a span's rows, [rows, head_dim].
inline void gather_queries(const AttentionSpan& span, float* queries) {
  const int64_t d = span.head_dim;
  for (int64_t r = 0; r < span.rows(); r++) {
    const float* query = span.queries + (span.first_token + r / span.heads) * span.query_stride + r % span.heads * d;
    for (int64_t i = 0; i < d; i++) queries[r * d + i] = query[i] * span.scale;
  }
}

void attend_in_full(const AttentionSpan& span, const AttentionPartial& out, uint8_t* scratch) {
  const int64_t rows = span.rows(), d = span.head_dim, count = span.last_key - span.first_key;
  const int64_t begun = count < span.run ? count : span.run;  // tokens before the ring begins again
  float* queries = (float*)scratch;
  float* scores = queries + rows * d;
  gather_queries(span, queries);
  for (int64_t r = 0; r < rows; r += kAttendRows) {
    with_constant<kAttendRows>(rows - r, [&](auto n) {
      constexpr int kRows = decltype(n)::value, kMost = tiles_beside(kRows);
      const auto some = [&](const uint16_t* keys, int64_t first, int64_t tokens) {
        for (int64_t b = 0; b < (tokens + 15) / 16; b += kMost) {
          with_constant<kMost>((tokens + 15) / 16 - b, [&](auto width) {
            score<kRows, decltype(width)::value>(queries + r * d, keys + b * 16 * d, d,
                                                 scores + r * kSpan + first + b * 16);
          });
        }
      };
      some(span.keys, 0, begun);
      some(span.keys_rest, begun, count - begun);
    });
  }
  soften_rows(span, scores, out);
  for (int64_t r = 0; r < rows; r += kAttendRows) {
    with_constant<kAttendRows>(rows - r, [&](auto n) {
      constexpr int kRows = decltype(n)::value, kMost = tiles_beside(kRows);
      for (int64_t s = 0; s < d / 16; s += kMost) {
        with_constant<kMost>(d / 16 - s, [&](auto width) {
          constexpr int kSlices = decltype(width)::value;
          float* sums = out.sums + r * d + s * 16;
          weigh<kRows, kSlices>(scores + r * kSpan, span.values + s * 16, begun, d, false, sums);
          if (count > begun) {
            weigh<kRows, kSlices>(scores + r * kSpan + begun, span.values_rest + s * 16, count - begun, d, true, sums);
          }
        });
      }
    });
  }
}

void merge(const AttentionPartial& to, const AttentionPartial& from, int64_t rows, int64_t head_dim) {
  for (int64_t r = 0; r < rows; r++) {
    if (from.weights[r] == 0) continue;
    const float top = to.largest[r] > from.largest[r] ? to.largest[r] : from.largest[r];
    const F kept = set(std::exp(to.largest[r] - top)), added = set(std::exp(from.largest[r] - top));
    to.weights[r] = largest(fma(kept, set(to.weights[r]), mul(added, set(from.weights[r]))));
    to.largest[r] = top;
    for (int64_t i = r * head_dim; i < (r + 1) * head_dim; i += 16) {
      store(to.sums + i, fma(kept, load(to.sums + i), mul(added, load(from.sums + i))));
    }
  }
}

}  // namespace
