// Compares every instruction set that this processor can run with the portable one, without Python: on products, rows,
// attention and a small decoder of random weights. Prints a line for each; the status is 1 if one of them differs.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "api.h"

namespace {

// The same numbers on every machine (Marsaglia's xorshift).
class Random {
 public:
  uint32_t bits() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 17;
    return state_ ^= state_ << 5;
  }
  float uniform() { return (float)(bits() >> 8) * 0x1p-23f - 1; }  // -1 to 1
  std::vector<float> floats(int64_t count, float scale = 1, float offset = 0) {
    std::vector<float> all((size_t)count);
    for (float& each : all) each = offset + scale * uniform();
    return all;
  }

 private:
  uint32_t state_ = 2463534242u;
};

// A matrix of random codes and scales; scales are halves about 2^-9 of either sign.
struct Matrix {
  std::vector<uint8_t> packed;
  std::vector<uint16_t> scales, minimums;
  std::vector<float> whole;
  QuantMatrix view{};

  Matrix(Random& random, int64_t rows, int64_t columns, int bits, int group, bool symmetric) {
    const int64_t tiles = (rows + 15) / 16, groups = group ? columns / group : 1;
    packed.resize((size_t)(tiles * 16 * columns * bits / 8));
    for (uint8_t& each : packed) each = (uint8_t)random.bits();
    const auto half = [&] { return (uint16_t)((random.bits() & 0x83ff) | (5 + random.bits() % 3) << 10); };
    for (int64_t i = 0; i < tiles * 16 * groups; i++) {
      if (group) scales.push_back(half());
      if (!group) whole.push_back(0.002f * random.uniform());
      if (!symmetric) minimums.push_back(half());
    }
    view = {rows, columns, bits, group, packed.data(), group ? (const void*)scales.data() : whole.data(),
            symmetric ? nullptr : minimums.data()};
  }
  Matrix(const Matrix&) = delete;
  Matrix& operator=(const Matrix&) = delete;
};

struct Result {
  int32_t status;
  std::vector<float> values;
};

// What all instruction sets do, and how far apart their results may be, as a share of the results' root mean square.
struct Task {
  std::string name;
  double tolerance;
  std::function<Result()> run;
};

// Integer sums are exact, so only the rounding of float32 remains.
constexpr double kRounding = 1e-5;

void add_products(Random& random, std::vector<Task>& tasks) {
  struct Format {
    int bits, group;
    bool symmetric;
  };
  for (Format f : {Format{4, 32, false}, {4, 64, false}, {4, 128, false}, {4, 32, true}, {4, 128, true}, {8, 32, true},
                   {8, 64, true}, {8, 128, true}, {8, 0, true}}) {
    for (int64_t rows : {7, 16, 40, 99}) {
      for (int64_t columns : {128, 640}) {
        const auto matrix = std::make_shared<Matrix>(random, rows, columns, f.bits, f.group, f.symmetric);
        const std::string name = "int" + std::to_string(f.bits) + " by " + std::to_string(f.group) +
                                 (f.bits == 4 && f.symmetric ? ", symmetric, " : ", ") + std::to_string(rows) + " x " +
                                 std::to_string(columns);
        std::vector<int64_t> ids;
        for (int64_t i = 0; i < 7; i++) ids.push_back((int64_t)(random.bits() % (uint32_t)rows));
        tasks.push_back({"rows of " + name, kRounding, [=] {
                           std::vector<float> y(ids.size() * (size_t)columns);
                           return Result{quant_rows(&matrix->view, ids.data(), (int64_t)ids.size(), y.data()), y};
                         }});
        for (int64_t count : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 33}) {
          const std::vector<float> x = random.floats(count * columns, 3, 0.5f);
          tasks.push_back({name + " times " + std::to_string(count), kRounding, [=] {
                             std::vector<float> y((size_t)(count * rows));
                             return Result{quant_matmul(&matrix->view, x.data(), count, y.data()), y};
                           }});
        }
      }
    }
  }
  const auto matrix = std::make_shared<Matrix>(random, 16, 64, 4, 32, false);
  for (float odd : {std::numeric_limits<float>::quiet_NaN(), INFINITY, -INFINITY}) {
    std::vector<float> x = random.floats(3 * 64);
    x[100] = odd;
    tasks.push_back({"an activation of " + std::to_string(odd), 0, [=] {
                       std::vector<float> y(3 * 16);
                       return Result{quant_matmul(&matrix->view, x.data(), 3, y.data()), {}};
                     }});
  }
}

QuantShape shape_of(int64_t hidden_size, int64_t intermediate_size, int64_t num_layers, int64_t heads,
                    int64_t key_value_heads, int64_t head_dim) {
  QuantShape shape{};
  shape.hidden_size = hidden_size;
  shape.intermediate_size = intermediate_size;
  shape.num_layers = num_layers;
  shape.num_heads = heads;
  shape.num_key_value_heads = key_value_heads;
  shape.head_dim = shape.rotary_dim = head_dim;
  shape.rms_norm_eps = 1e-5f;
  shape.attention_scale = 1.0f / std::sqrt((float)head_dim);
  shape.embedding_scale = shape.residual_scale = shape.logit_scale = 1.0f;
  return shape;
}

// A cache whose memory starts as zeros, in full or, with bits, in codes beside a ring of the newest tokens.
struct Cache {
  std::vector<std::vector<uint16_t>> keys, values, key_scales, value_scales;
  std::vector<std::vector<uint8_t>> key_codes, value_codes;
  std::vector<QuantCacheLayer> layers;

  Cache(const QuantShape& shape, int64_t capacity, int bits = 0) {
    const int64_t head = shape.num_key_value_heads * shape.head_dim, held = bits ? QUANT_TAIL : capacity;
    const auto count = (size_t)shape.num_layers;
    keys.assign(count, std::vector<uint16_t>((size_t)(head * held)));
    key_codes.assign(count, std::vector<uint8_t>((size_t)(head * capacity)));
    key_scales.assign(count, std::vector<uint16_t>((size_t)(head * capacity)));  // more than they need
    values = keys;
    value_codes = key_codes;
    value_scales = key_scales;
    for (size_t i = 0; i < count; i++) {
      layers.push_back({keys[i].data(), values[i].data(), capacity, 0, bits, key_codes[i].data(), value_codes[i].data(),
                        key_scales[i].data(), value_scales[i].data()});
    }
  }
};

void add_attention(Random& random, std::vector<Task>& tasks) {
  for (int64_t head_dim : {16, 48, 64, 128}) {
    for (int64_t shared : {1, 3, 8}) {
      const int64_t key_value_heads = 2, heads = key_value_heads * shared;
      QuantShape shape = shape_of(heads * head_dim, 32, 1, heads, key_value_heads, head_dim);
      const int64_t window = shared == 3 ? 20 : shared == 8 ? 131 : 0;
      if (shared == 8) shape.attention_softcap = 3.0f;
      const std::vector<int64_t> counts = {150, 1, 2, 9, 5, 8, 33, 48};
      const int64_t total = 256;
      const auto queries = random.floats(total * heads * head_dim, 2);
      const auto keys = random.floats(total * key_value_heads * head_dim, 2);
      const auto values = random.floats(total * key_value_heads * head_dim);
      for (int bits : {0, 8, 4}) {
        const std::string name = "attention of " + std::to_string(heads) + " heads of " + std::to_string(head_dim) +
                                 " with a cache of " + std::to_string(bits ? bits : 16) + " bits";
        // With codes, a product may be rounded to another code: the second of two terms, 15 bits together.
        tasks.push_back({name, bits ? 1e-4 : kRounding, [=] {
                           Cache cache(shape, total, bits);
                           std::vector<float> y((size_t)(total * heads * head_dim));
                           int64_t position = 0;
                           int32_t status = QUANT_OK;
                           for (int64_t count : counts) {
                             status = std::max(
                                 status, quant_attend(&shape, cache.layers.data(), window, position, count,
                                                      queries.data() + position * heads * head_dim,
                                                      keys.data() + position * key_value_heads * head_dim,
                                                      values.data() + position * key_value_heads * head_dim,
                                                      y.data() + position * heads * head_dim));
                             position += count;
                           }
                           return Result{status, y};
                         }});
      }
    }
  }
}

// Two layers of random weights, with little in them or with all that there is.
struct Decoder {
  static constexpr int64_t kVocabulary = 70, kTokens = 40;
  QuantShape shape = shape_of(128, 192, 2, 4, 2, 32);
  std::vector<std::unique_ptr<Matrix>> matrices;
  std::vector<std::vector<float>> vectors;
  std::vector<QuantLayer> layers;
  QuantMatrix embedding;
  const float* output_norm;
  std::vector<int64_t> ids;
  std::vector<float> cosines, sines;

  Decoder(Random& random, bool rich) {
    if (rich) {
      shape.rotary_dim = 24;
      shape.norm_heads = 1;
      shape.activation = QUANT_GELU_TANH;
      shape.attention_softcap = shape.logit_softcap = 5.0f;
      shape.embedding_scale = 3.0f;
      shape.residual_scale = 0.5f;
      shape.logit_scale = 0.7f;
    }
    const int64_t query_size = shape.num_heads * shape.head_dim;
    const int64_t key_value_size = shape.num_key_value_heads * shape.head_dim;
    const auto matrix = [&](int64_t rows, int64_t columns) {
      const int bits = matrices.size() % 3 ? 4 : 8;
      matrices.push_back(std::make_unique<Matrix>(random, rows, columns, bits, 32, true));
      return matrices.back()->view;
    };
    const auto vector = [&](int64_t size, float offset) {
      vectors.push_back(random.floats(size, 0.2f, offset));
      return (const float*)vectors.back().data();
    };
    for (int64_t i = 0; i < shape.num_layers; i++) {
      QuantLayer layer{};
      layer.attention_norm = vector(shape.hidden_size, 1);
      layer.query = matrix(query_size, shape.hidden_size);
      layer.key = matrix(key_value_size, shape.hidden_size);
      layer.value = matrix(key_value_size, shape.hidden_size);
      if (i == 0) layer.query_bias = vector(query_size, 0);
      layer.attention_output = matrix(shape.hidden_size, query_size);
      layer.mlp_norm = vector(shape.hidden_size, 1);
      layer.gate = matrix(shape.intermediate_size, shape.hidden_size);
      layer.up = matrix(shape.intermediate_size, shape.hidden_size);
      layer.down = matrix(shape.hidden_size, shape.intermediate_size);
      if (rich) {
        layer.query_norm = vector(shape.head_dim, 1);
        layer.key_norm = vector(shape.head_dim, 1);
        layer.post_attention_norm = vector(shape.hidden_size, 1);
        layer.post_mlp_norm = vector(shape.hidden_size, 1);
        layer.window = i == 0 ? 7 : 0;
        layer.rotation = i == 0 ? 1 : -1;
        if (i == 1) layer.attention_norm = nullptr;
      }
      layers.push_back(layer);
    }
    embedding = matrix(kVocabulary, shape.hidden_size);
    output_norm = vector(shape.hidden_size, 1);
    for (int64_t t = 0; t < kTokens; t++) {
      ids.push_back((int64_t)(random.bits() % (uint32_t)kVocabulary));
      for (int64_t i = 0; i < shape.rotary_dim; i++) {
        const float angle = (float)t / (float)(1 + i % (shape.rotary_dim / 2));
        cosines.push_back(std::cos(angle));
        sines.push_back(i < shape.rotary_dim / 2 ? -std::sin(angle) : std::sin(angle));
      }
    }
  }

  // Logits of every token.
  Result run() const {
    QuantPlan* plan = quant_plan_new(&shape, layers.data(), &embedding, output_norm, &embedding);
    if (!plan) return {QUANT_NO_MEMORY, {}};
    Cache cache(shape, 48);
    Result result = {QUANT_OK, std::vector<float>((size_t)(kTokens * kVocabulary))};
    std::vector<float> hidden((size_t)(kTokens * shape.hidden_size));
    int64_t position = 0;
    for (int64_t count : {20, 1, 1, 5, 13}) {
      QuantStep step{};
      step.ids = ids.data() + position;
      step.hidden = hidden.data();
      step.count = count;
      step.position = position;
      for (QuantRotation& rotation : step.rotations) {
        rotation = {cosines.data() + position * shape.rotary_dim, sines.data() + position * shape.rotary_dim};
      }
      step.cache = cache.layers.data();
      step.last_layer = shape.num_layers;
      step.logits = result.values.data() + position * kVocabulary;
      step.all_logits = 1;
      result.status = std::max(result.status, quant_plan_run(plan, &step));
      position += count;
    }
    quant_plan_free(plan);
    return result;
  }
};

// A sum that is rounded differently may move a code of an activation by one, hence the tolerance.
void add_decoder(Random& random, std::vector<Task>& tasks) {
  for (bool rich : {false, true}) {
    const auto decoder = std::make_shared<Decoder>(random, rich);
    tasks.push_back({rich ? "a decoder with all" : "a decoder", 0.02, [=] { return decoder->run(); }});
  }
}

// Root mean square of the difference over that of `expected`; infinite where only one is not a number.
double difference(const std::vector<float>& values, const std::vector<float>& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < values.size(); i++) {
    error += std::pow((double)values[i] - expected[i], 2);
    size += std::pow((double)expected[i], 2);
  }
  if (std::isnan(error)) return INFINITY;
  return error == 0 ? 0 : std::sqrt(error / size);
}

}  // namespace

int main() {
  Random random;
  std::vector<Task> tasks;
  add_products(random, tasks);
  add_attention(random, tasks);
  add_decoder(random, tasks);
  quant_set_threads(2);

  std::vector<Result> expected;
  if (quant_use("portable") != QUANT_OK) return 1;
  for (const Task& task : tasks) expected.push_back(task.run());

  bool same = true;
  std::string names = quant_instruction_sets();
  for (char* name = std::strtok(&names[0], " "); name; name = std::strtok(nullptr, " ")) {
    quant_use(name);
    size_t right = 0;
    double most = 0;
    for (size_t i = 0; i < tasks.size(); i++) {
      const Result result = tasks[i].run();
      const double share = difference(result.values, expected[i].values);
      if (result.status == expected[i].status && share <= tasks[i].tolerance) {
        right++;
        if (tasks[i].tolerance == kRounding) most = std::max(most, share);
      } else if (i - right < 5) {
        std::printf("  %s: %s: status %d, off by %.2g\n", name, tasks[i].name.c_str(), (int)result.status, share);
      }
    }
    std::printf("%s: %zu of %zu results are the portable ones, to %.1g\n", name, right, tasks.size(), most);
    same &= right == tasks.size();
  }
  return same ? 0 : 1;
}
