// Attention as items that the pool's threads share.

#include "work.h"

#include <cmath>

namespace quant {

namespace {

// Where the tokens of a step, and those before them in their span, are in full: in a full cache, in the ring of a quantized
// one, or, when they are more than that takes, in memory of the workspace.
struct InFull {
  uint16_t *keys, *values;
  int64_t capacity;  // tokens of a head
  int64_t first;     // position of the first slot
  bool ring;

  int64_t slot(int64_t position) const { return ring ? position % kTail : position - first; }
};

InFull ring_of(const QuantCacheLayer& layer) { return {layer.keys, layer.values, kTail, 0, true}; }

bool fits_ring(const Place& place) { return place.count <= kTail - kSpan; }

InFull in_full(const QuantShape& shape, const Place& place) {
  const QuantCacheLayer& layer = *place.cache;
  if (!layer.bits) return {layer.keys, layer.values, layer.capacity, layer.first, false};
  if (fits_ring(place)) return ring_of(layer);
  const int64_t first = place.position / kSpan * kSpan, capacity = (place.position + place.count - first + 15) / 16 * 16;
  const int64_t size = shape.num_key_value_heads * capacity * shape.head_dim;
  return {workspace().keys.get(size), workspace().values.get(size), capacity, first, false};
}

// Copies the tokens of one head at [begin, end), 16 at most and all of one block.
void copy_block(const InFull& from, const InFull& to, int64_t head, int64_t d, int64_t begin, int64_t end) {
  const int64_t there = from.slot(begin), here = to.slot(begin), lane = begin % 16, count = end - begin;
  const uint16_t* keys = from.keys + head * from.capacity * d + there / 16 * 16 * d + lane;
  uint16_t* out = to.keys + head * to.capacity * d + here / 16 * 16 * d + lane;
  for (int64_t i = 0; i < d; i++) std::copy_n(keys + i * 16, count, out + i * 16);
  std::copy_n(from.values + (head * from.capacity + there) * d, count * d, to.values + (head * to.capacity + here) * d);
}

void copy(const QuantShape& shape, const InFull& from, const InFull& to, int64_t begin, int64_t end) {
  if (begin >= end) return;
  const int64_t first = begin / 16, blocks = (end - 1) / 16 - first + 1;
  pool().run(blocks * shape.num_key_value_heads, [&](int64_t i, int) {
    const int64_t block = first + i % blocks;
    copy_block(from, to, i / blocks, shape.head_dim, std::max(begin, block * 16), std::min(end, (block + 1) * 16));
  });
}

// Points `span` to the keys and values in full of the tokens from its first on.
void point_to(AttentionSpan& span, const InFull& at, int64_t head) {
  const int64_t d = span.head_dim, slot = at.slot(span.first_key);
  span.bits = 0;
  span.keys_rest = at.keys + head * at.capacity * d;
  span.values_rest = at.values + head * at.capacity * d;
  span.keys = span.keys_rest + slot * d;
  span.values = span.values_rest + slot * d;
  span.run = at.ring ? kTail - slot : kSpan;
}

// Codes of the spans that the step completes.
void encode_spans(const QuantShape& shape, const Place& place, const InFull& from) {
  const QuantCacheLayer& layer = *place.cache;
  const int64_t first = place.position / kSpan, spans = (place.position + place.count) / kSpan - first;
  const CodesLayout layout(layer.bits, shape.head_dim);
  if (!spans) return;
  pool().run(spans * shape.num_key_value_heads, [&](int64_t i, int) {
    const int64_t head = i / spans;
    AttentionSpan span = {};
    span.head_dim = shape.head_dim;
    span.first_key = (first + i % spans) * kSpan;
    point_to(span, from, head);
    span.bits = layer.bits;
    table().encode(span, layout.at(layer, head, span.first_key));
  });
}

}  // namespace

void rotate_and_put(const QuantShape& shape, const Heads& heads, const QuantRotation* rotation, const Place& place) {
  const int64_t d = shape.head_dim, turned = shape.rotary_dim, position = place.position, count = place.count;
  const QuantCacheLayer& layer = *place.cache;
  const InFull to = in_full(shape, place);
  const auto token = [&](int64_t m) {
    const auto rotate = [&](float* head) {
      table().rotate(head, rotation->cosines + m * turned, rotation->sines + m * turned, turned);
    };
    if (rotation) {
      for (int64_t h = 0; h < shape.num_heads; h++) rotate(heads.queries + m * heads.query_stride + h * d);
    }
    for (int64_t h = 0; h < shape.num_key_value_heads; h++) {
      float* key = heads.keys + m * heads.key_stride + h * d;
      if (rotation) rotate(key);
      const int64_t start = h * to.capacity * d;
      table().put(key, heads.values + m * heads.value_stride + h * d, d, to.slot(position + m), to.keys + start,
                  to.values + start);
    }
  };
  if (count <= 4) {
    for (int64_t m = 0; m < count; m++) token(m);
  } else {
    // Blocks of 16 tokens, so that no two threads write into one line of keys.
    const int64_t first = position / 16, blocks = (position + count - 1) / 16 - first + 1;
    pool().run(blocks, [&](int64_t b, int) {
      const int64_t from = std::max<int64_t>(0, (first + b) * 16 - position);
      for (int64_t m = from; m < std::min(count, (first + b + 1) * 16 - position); m++) token(m);
    });
  }
  if (!layer.bits) return;
  if (!fits_ring(place)) {
    copy(shape, ring_of(layer), to, to.first, position);
    copy(shape, to, ring_of(layer), std::max(position, position + count - kTail), position + count);
  }
  encode_spans(shape, place, to);
}

namespace {

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

// Where blocks of at most so many tokens end; with codes, no block reaches from one span into the next, as what its tokens
// see of the first is not the same.
std::vector<int64_t> block_ends(const Place& place, int64_t tokens) {
  std::vector<int64_t> ends;
  for (int64_t first = 0; first < place.count; first = ends.back()) {
    const int64_t left = place.cache->bits ? kSpan - (place.position + first) % kSpan : place.count;
    ends.push_back(std::min(place.count, first + std::min(tokens, left)));
  }
  return ends;
}

}  // namespace

// An item is the queries of some tokens that share a key head. With many tokens it goes over all the keys that they
// see; with few, over some spans, one after the other in memory, and the last to finish of the items that belong together
// merges all spans.
void attend(const QuantShape& shape, const Heads& heads, const Place& place, float* y) {
  const int64_t d = shape.head_dim, shared = shape.num_heads / shape.num_key_value_heads;
  const int64_t position = place.position, count = place.count;
  const QuantCacheLayer& layer = *place.cache;
  const int64_t tokens = std::min(count, std::max<int64_t>(1, most_query_rows(d) / shared));
  const std::vector<int64_t> ends = block_ends(place, tokens);
  const int64_t blocks = (int64_t)ends.size(), groups = shape.num_key_value_heads * blocks;
  const bool apart = count <= kFewTokens;
  const InFull newest = in_full(shape, place);
  const CodesLayout layout(layer.bits ? layer.bits : 8, d);
  const auto first_span = [&](int64_t token) {
    return place.window ? std::max<int64_t>(0, position + token + 1 - place.window) / kSpan : 0;
  };
  const int64_t begin = first_span(0), spans = (position + count + kSpan - 1) / kSpan - begin;
  const Pieces pieces(spans, apart ? (8 * pool().threads() + groups - 1) / groups : 1, 1);
  const int64_t items = apart ? groups * pieces.count : groups;
  const int64_t rows = tokens * shared, slots = apart ? groups * spans : 2 * pool().threads();
  const Partials partials = {workspace().partial.get(slots * Partials::size(rows, d)), rows, d};
  std::vector<std::atomic<int64_t>> left((size_t)(apart ? groups : 0));
  for (auto& each : left) each.store(pieces.count, std::memory_order_relaxed);

  pool().run(items, [&](int64_t i, int thread) {
    // The last tokens see the most keys: long items first.
    const int64_t group = apart ? i / pieces.count : i, head = group % shape.num_key_value_heads;
    const int64_t block = blocks - 1 - group / shape.num_key_value_heads, first = block ? ends[(size_t)block - 1] : 0;
    const int64_t own = (position + first) / kSpan;  // span of the first token
    AttentionSpan span = {};
    span.queries = heads.queries + head * shared * d;
    span.query_stride = heads.query_stride;
    span.heads = shared;
    span.head_dim = d;
    span.scale = shape.attention_scale;
    span.softcap = shape.attention_softcap;
    span.first_token = first;
    span.last_token = ends[(size_t)block];
    span.position = position;
    span.window = place.window;
    const int64_t end = position + span.last_token;  // of the keys that these tokens see
    const auto one = [&](int64_t s, const AttentionPartial& out) {
      span.first_key = s * kSpan;
      point_to(span, newest, head);
      if (layer.bits && s < own) {
        span.bits = layer.bits;
        span.codes = layout.at(layer, head, span.first_key);
      }
      span.last_key = std::max(span.first_key, std::min(end, span.first_key + kSpan));
      table().attend(span, out, workspace().scratch(thread));
    };

    AttentionPartial whole;
    if (apart) {
      const int64_t piece = i % pieces.count;
      for (int64_t s = pieces.first(piece); s < pieces.last(piece); s++) {
        one(begin + s, partials.at(group * spans + s));
      }
      if (left[(size_t)group].fetch_sub(1, std::memory_order_acq_rel) > 1) return;
      whole = partials.at(group * spans);
      for (int64_t s = 1; s < spans; s++) table().merge(whole, partials.at(group * spans + s), span.rows(), d);
    } else {
      int64_t s = first_span(first);
      whole = partials.at(2 * thread);
      one(s, whole);
      for (s++; s * kSpan < end; s++) {
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

}  // namespace quant

using namespace quant;

QUANT_API int32_t quant_attend(const QuantShape* shape, const QuantCacheLayer* cache, int64_t window, int64_t position,
                               int64_t count, const float* queries, const float* keys, const float* values, float* y) {
  return guarded([&]() -> int32_t {
    workspace().prepare(count);
    const int64_t query_size = shape->num_heads * shape->head_dim;
    const int64_t key_value_size = shape->num_key_value_heads * shape->head_dim;
    // Without a rotation nothing of them is written.
    const Heads heads = {const_cast<float*>(queries), const_cast<float*>(keys), const_cast<float*>(values),
                         query_size, key_value_size, key_value_size};
    const Place place = {cache, window, position, count};
    rotate_and_put(*shape, heads, nullptr, place);
    attend(*shape, heads, place, y);
    return QUANT_OK;
  });
}
