// Attention as items that the pool's threads share.

#include "work.h"

#include <cmath>

namespace quant {

void rotate_and_put(const QuantShape& shape, const Heads& heads, const QuantRotation* rotation, const Place& place) {
  const int64_t d = shape.head_dim, turned = shape.rotary_dim, position = place.position, count = place.count;
  const QuantCacheLayer& layer = *place.cache;
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
      const int64_t start = h * layer.capacity * d;
      table().put(key, heads.values + m * heads.value_stride + h * d, d, position + m - layer.first, layer.keys + start,
                  layer.values + start);
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

}  // namespace

// An item is the queries of some tokens that share a key head. With many tokens it goes over all the keys that they
// see; with few, over some spans, one after the other in memory, and the last to finish of the items that belong together
// merges all spans.
void attend(const QuantShape& shape, const Heads& heads, const Place& place, float* y) {
  const int64_t d = shape.head_dim, shared = shape.num_heads / shape.num_key_value_heads;
  const int64_t position = place.position, count = place.count;
  const int64_t most_rows = std::min<int64_t>(kQueryRows, kScratchBytes / 4 / (d + kSpan));
  const int64_t tokens = std::min(count, std::max<int64_t>(1, most_rows / shared));
  const int64_t blocks = (count + tokens - 1) / tokens, groups = shape.num_key_value_heads * blocks;
  const bool apart = count <= kFewTokens;
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
    const int64_t first = (blocks - 1 - group / shape.num_key_value_heads) * tokens;
    const int64_t start = head * place.cache->capacity * d;
    AttentionSpan span;
    span.queries = heads.queries + head * shared * d;
    span.query_stride = heads.query_stride;
    span.heads = shared;
    span.head_dim = d;
    span.scale = shape.attention_scale;
    span.softcap = shape.attention_softcap;
    span.first_token = first;
    span.last_token = std::min(count, first + tokens);
    span.position = position;
    span.window = place.window;
    const int64_t end = position + span.last_token;  // of the keys that these tokens see
    const auto one = [&](int64_t s, const AttentionPartial& out) {
      span.first_key = s * kSpan;
      span.keys = place.cache->keys + start + (span.first_key - place.cache->first) * d;
      span.values = place.cache->values + start + (span.first_key - place.cache->first) * d;
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
