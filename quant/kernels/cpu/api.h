// The C interface of the CPU kernels: plain structures and pointers, so that one build serves every torch and Python.
//
// Layouts of matrices are those of quant/pack.py. All pointers stay the caller's and must outlive the call (a plan:
// outlive the plan). Calls come from one thread at a time; they share one pool of threads.

#pragma once

#include <stdint.h>

#if defined(_WIN32)
#define QUANT_API extern "C" __declspec(dllexport)
#else
#define QUANT_API extern "C" __attribute__((visibility("default")))
#endif

// A quantized matrix [rows, columns]; tiles of 16 rows by 32 columns, rows padded to whole tiles.
struct QuantMatrix {
  int64_t rows;
  int64_t columns;           // a multiple of 32 and of `group`
  int32_t bits;              // 4: codes 0..15; 8: codes -128..127
  int32_t group;             // columns that share a scale: 32, 64 or 128; 0: the whole row
  const uint8_t* packed;
  const void* scales;        // float16 [tiles][groups][16]; float32 when `group` is 0
  const uint16_t* minimums;  // float16, the shape of `scales`; null: symmetric, int4 is then (code - 8) * scale
};

struct QuantExpert {
  QuantMatrix gate, up, down;
};

// One layer: attention and a gated MLP, each added to the residual stream. All norms are RMSNorms; norms and biases are
// float32, and null where the layer has none.
struct QuantLayer {
  const float* attention_norm;
  QuantMatrix query, key, value;
  const float *query_bias, *key_bias, *value_bias;
  const float *query_norm, *key_norm;  // before the rotation; see `QuantShape.norm_heads`
  QuantMatrix attention_output;
  const float* post_attention_norm;  // of what is then added to the residual stream
  const float* mlp_norm;
  QuantMatrix gate, up, down;
  QuantMatrix router;          // [num_experts, hidden_size], where there are `experts` in place of the one MLP
  const QuantExpert* experts;  // [num_experts], or null
  const float* post_mlp_norm;
  int64_t window;    // tokens that a token sees, itself included; 0: all before it
  int32_t rotation;  // index into `QuantStep.rotations`, or -1 for no rotary positions
};

enum QuantActivation { QUANT_SILU = 0, QUANT_GELU_TANH = 1 };

struct QuantShape {
  int64_t hidden_size, intermediate_size, num_layers;
  int64_t num_heads, num_key_value_heads, head_dim;
  int64_t num_experts, experts_per_token, expert_intermediate_size;
  int32_t normalize_expert_weights;  // so that those of a token are 1 together
  int64_t rotary_dim;                // channel i of a head turns with channel i + rotary_dim / 2; the rest stays
  float rms_norm_eps;
  int32_t norm_heads;         // 1: query_norm and key_norm are of each head; 0: of all heads of a token together
  int32_t activation;         // of the gate
  float attention_scale;      // of scores
  float attention_softcap;    // scores s become cap * tanh(s / cap); 0: they stay
  float embedding_scale;      // of the embedding
  float residual_scale;       // of what a layer adds
  float logit_scale;          // of the logits
  float logit_softcap;        // after that, as `attention_softcap`
};

// Tokens of a cache that are attended to at a time, from multiples of it on: results do not depend on what is held.
enum { QUANT_SPAN = 128 };

// Newest tokens of a quantized cache that are held in full as well: a span that is not complete yet, and enough of the one
// before for a way back of 16 tokens.
enum { QUANT_TAIL = QUANT_SPAN + 16 };

// Keys and values of one layer.
//
// In full (`bits` is 0) they are float16: keys [num_key_value_heads][capacity / 16][head_dim][16 tokens], so that a
// vector holds one channel of 16 tokens; values [num_key_value_heads][capacity][head_dim].
//
// Quantized, every span that is complete is held in codes, [num_key_value_heads][capacity / QUANT_SPAN][...]. They are
// tiles as those of a QuantMatrix, but int8 by 4 columns and int4 by 8: keys of 16 tokens by all channels, values of 16
// channels by all tokens. Keys have scales (float16) by channel: of int8 [head_dim], key = code * scale; of int4
// [4 times 32 tokens][2][head_dim], key = code * scale + minimum. Values have them by token: of int8 [QUANT_SPAN]; of int4
// [32 channels each][2][QUANT_SPAN]. A query sees the spans before its own in codes, and its own in full: what it sees
// depends on its position alone. `keys` and `values` are rings of QUANT_TAIL tokens then, in the layouts of a full cache.
struct QuantCacheLayer {
  uint16_t* keys;
  uint16_t* values;
  int64_t capacity;  // tokens, a multiple of 16, or of QUANT_SPAN where there are codes
  int64_t first;     // position of the first token that is held, a multiple of QUANT_SPAN; no token may see further back
  int32_t bits;      // of a code, 8 or 4; 0: all is in full
  uint8_t* key_codes;
  uint8_t* value_codes;
  uint16_t* key_scales;
  uint16_t* value_scales;
};

// Rotary positions of the tokens of a step.
struct QuantRotation {
  const float* cosines;  // [count, rotary_dim]
  const float* sines;    // [count, rotary_dim], those of the first half negated
};

// What one forward pass does: `count` tokens at positions from `position` on, through some of the layers.
struct QuantStep {
  const int64_t* ids;  // [count], or null to go on from `hidden`
  float* hidden;       // [count, hidden_size]: the residual stream, read unless `ids` are given, and written
  int64_t count;
  int64_t position;
  QuantRotation rotations[2];
  const QuantCacheLayer* cache;     // [num_layers]
  int64_t first_layer, last_layer;  // the layers from the first up to, not including, the last
  float* logits;                    // [vocab_size] after the last token, or of every token; null for none
  int32_t all_logits;
};

enum QuantStatus { QUANT_OK = 0, QUANT_NOT_FINITE = 1, QUANT_NO_MEMORY = 2, QUANT_BAD_ID = 3, QUANT_UNKNOWN = 4 };

// Parts of a forward pass that are timed on their own.
enum QuantPart {
  QUANT_EMBEDDING, QUANT_NORM, QUANT_QUERY_KEY_VALUE, QUANT_ROPE, QUANT_ATTENTION, QUANT_ATTENTION_OUTPUT,
  QUANT_GATE_UP, QUANT_DOWN, QUANT_OUTPUT, QUANT_PARTS
};

struct QuantPlan;

// Instruction sets: names that this processor can run, best first, separated by spaces; and the choice of one by name
// (QUANT_UNKNOWN when it is not among them).
QUANT_API const char* quant_instruction_sets(void);
QUANT_API int32_t quant_use(const char* name);

// Threads that share the work, the caller's included.
QUANT_API void quant_set_threads(int32_t threads);

// y [count, rows] = x [count, columns] times the matrix transposed.
QUANT_API int32_t quant_matmul(const QuantMatrix* matrix, const float* x, int64_t count, float* y);

// Rows of a matrix as float32 [count, columns].
QUANT_API int32_t quant_rows(const QuantMatrix* matrix, const int64_t* ids, int64_t count, float* y);

// Puts keys and values [count, heads * head_dim] (rotated) into a layer's cache at `position` on and attends causally, to
// `window` tokens unless it is 0: queries and `y` [count, num_heads * head_dim].
QUANT_API int32_t quant_attend(const QuantShape* shape, const QuantCacheLayer* cache, int64_t window, int64_t position,
                               int64_t count, const float* queries, const float* keys, const float* values, float* y);

// `embedding` and `output` may be null: no step may then have ids, or ask for logits. Null when memory runs out.
QUANT_API QuantPlan* quant_plan_new(const QuantShape* shape, const QuantLayer* layers, const QuantMatrix* embedding,
                                    const float* output_norm, const QuantMatrix* output);
QUANT_API void quant_plan_free(QuantPlan* plan);
QUANT_API int32_t quant_plan_run(QuantPlan* plan, const QuantStep* step);

// Seconds per `QuantPart` since the last call, as seen by the calling thread; timing starts with the first call.
QUANT_API void quant_plan_times(QuantPlan* plan, double seconds[QUANT_PARTS]);

// What this machine can do, with all threads: bytes read per second from `buffer`, and int8 operations (a multiplication
// or an addition) per second in the best dot product of the instruction set.
QUANT_API double quant_probe_bandwidth(const uint8_t* buffer, int64_t bytes);
QUANT_API double quant_probe_operations(void);
