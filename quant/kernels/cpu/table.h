// What every instruction set supplies: the work of one thread. How work is shared out is in plan.cpp.

#pragma once

#include "api.h"

namespace quant {

constexpr int64_t kTileRows = 16;
constexpr int64_t kGroup = 32;       // columns of activations that share a scale, and of a tile
constexpr int64_t kPanelRows = 32;   // rows of a matrix that are multiplied together when there are many activations
constexpr int64_t kFewTokens = 8;    // up to here a product reads the weights once and unpacks nothing
constexpr int64_t kQueryRows = 64;   // at most, of the queries that attend together
constexpr int64_t kSpan = QUANT_SPAN;
constexpr int64_t kTail = QUANT_TAIL;

// Activations [count, columns] as int8: x = code * scale + offset, a scale and an offset for every 32. (The offset, the
// middle of the 32, cuts the error of groups with an outlier by half: SmolLM2's mean KL divergence from float32 products
// falls from 0.0026 to 0.0010.) `sums` are those of x.
struct Activations {
  int8_t* codes;
  float* scales;
  float* offsets;
  float* sums;
  int64_t columns;

  int64_t groups() const { return columns / kGroup; }
  Activations from(int64_t row) const {
    return {codes + row * columns, scales + row * groups(), offsets + row * groups(), sums + row * groups(), columns};
  }
};

// The codes of a span of one head, as QuantCacheLayer has them.
struct SpanCodes {
  uint8_t *keys, *values;
  uint16_t *key_scales, *value_scales;
};

// Tokens of a span whose keys share their scales, by channel; and channels of a value that share theirs.
constexpr int64_t key_group(int bits) { return bits == 8 ? kSpan : 32; }
constexpr int64_t value_group(int bits, int64_t head_dim) { return bits == 8 ? head_dim : 32; }
constexpr int64_t scale_terms(int bits) { return bits == 8 ? 1 : 2; }  // the scale alone, or with a minimum

// Where the codes of span `index`, and those of a head with so many spans, lie.
struct CodesLayout {
  int64_t codes, key_scales, value_scales;  // of one span and head

  CodesLayout(int bits, int64_t head_dim)
      : codes(kSpan * head_dim * bits / 8),
        key_scales(kSpan / key_group(bits) * scale_terms(bits) * head_dim),
        value_scales((head_dim + value_group(bits, head_dim) - 1) / value_group(bits, head_dim) * scale_terms(bits) *
                     kSpan) {}
  SpanCodes at(const QuantCacheLayer& layer, int64_t head, int64_t position) const {
    const int64_t i = head * (layer.capacity / kSpan) + (position - layer.first) / kSpan;
    return {layer.key_codes + i * codes, layer.value_codes + i * codes, layer.key_scales + i * key_scales,
            layer.value_scales + i * value_scales};
  }
};

// Queries that share a key head, looking at up to kSpan tokens of the cache.
struct AttentionSpan {
  const float* queries;  // of token 0 and the first head that shares the keys; rows of heads `head_dim` apart
  int64_t query_stride;  // from token to token
  int64_t heads;         // that share the keys
  int64_t head_dim;
  float scale;
  float softcap;  // of the scores; 0 for none
  const uint16_t* keys;  // from first_key on, as the values
  const uint16_t* values;
  int64_t run;  // tokens, a multiple of 16, after which both go on elsewhere: where a ring begins again
  const uint16_t* keys_rest;
  const uint16_t* values_rest;
  int32_t bits;        // of the span's codes, which are then read in place of all these; 0: there are none
  SpanCodes codes;
  int64_t first_token, last_token;  // of the queries
  int64_t position;                 // of query token 0: it sees the keys up to its own position
  int64_t window;                   // keys that a query sees at most, up to its own; 0: all
  int64_t first_key, last_key;      // of the span; first_key is a multiple of kSpan

  int64_t rows() const { return (last_token - first_token) * heads; }
};

// Attention over some of the keys, not yet divided by its weights; rows are tokens by heads.
struct AttentionPartial {
  float* sums;     // [rows, head_dim]
  float* largest;  // [rows] of the scores; minus infinity where nothing was seen
  float* weights;  // [rows] sum of exp(score - largest)
};

struct Table {
  const char* name;

  // Of one token; both return false when a value is not finite. `rest`, unless null, gets what rounding loses in `out`,
  // quantized itself: the two together are as good as 15 bits.
  bool (*quantize)(const float* x, Activations out);
  bool (*norm)(const float* x, const float* weight, float eps, Activations out, const Activations* rest);

  // RMSNorm in place; false when a value is not finite.
  bool (*norm_floats)(float* x, const float* weight, float eps, int64_t n);
  // to += scale * from, or to = scale * to with no `from`.
  void (*add_scaled)(float* to, const float* from, float scale, int64_t n);
  // x becomes cap * tanh(x / cap).
  void (*cap)(float* x, float cap, int64_t n);

  // Tiles [first, last) of x W' + bias, or added to y; y is where the first tile's first row goes for token 0, and
  // tokens lie `stride` apart. `scratch` has kScratchBytes.
  void (*product)(const QuantMatrix& matrix, int64_t first, int64_t last, const Activations& x, int64_t count, float* y,
                  int64_t stride, const float* bias, bool accumulate, uint8_t* scratch);
  // Tiles [first, last), first even, of activation(x G') * (x U'), quantized into `out`. False when a value is not finite.
  // `products` has room for 2 x count x kPanelRows floats.
  bool (*gated)(const QuantMatrix& gate, const QuantMatrix& up, int64_t first, int64_t last, const Activations& x,
                int64_t count, QuantActivation activation, const Activations& out, float* products, uint8_t* scratch);

  void (*row)(const QuantMatrix& matrix, int64_t row, float* y);
  void (*rotate)(float* head, const float* cosines, const float* sines, int64_t rotary_dim);
  void (*put)(const float* key, const float* value, int64_t head_dim, int64_t slot, uint16_t* keys, uint16_t* values);
  // A span in full (whose keys and values are as in an AttentionSpan) to codes.
  void (*encode)(const AttentionSpan& span, const SpanCodes& to);
  void (*attend)(const AttentionSpan& span, const AttentionPartial& out, uint8_t* scratch);
  // Joins the partial result of later keys to one of earlier keys.
  void (*merge)(const AttentionPartial& to, const AttentionPartial& from, int64_t rows, int64_t head_dim);

  int64_t (*probe_operations)(int64_t rounds);               // returns how many were done
  uint64_t (*probe_bandwidth)(const uint8_t* p, int64_t n);  // n a multiple of 256
};

// Bytes that `product`, `gated` and `attend` may use, aligned to 64.
constexpr int64_t kScratchBytes = 1 << 18;

// Queries that may attend together.
inline int64_t most_query_rows(int64_t head_dim) {
  const int64_t longest = head_dim > kSpan ? head_dim : kSpan;
  const int64_t each = 4 * (head_dim + kSpan) + 2 * longest + 16;  // the row, its scores, and either of them in terms
  const int64_t rows = (kScratchBytes - 4 * longest) / each;
  return rows < kQueryRows ? rows : kQueryRows;
}

}  // namespace quant
