// The order of work: products, attention and whole decoder layers as items that the pool's threads share.

#include "work.h"

#include <chrono>

using namespace quant;

struct QuantPlan {
  QuantShape shape;
  std::vector<QuantLayer> layers;
  QuantMatrix embedding = {}, output = {};
  const float* output_norm;
  bool timed = false;
  double seconds[QUANT_PARTS] = {};

  int32_t run(const QuantStep& step);

 private:
  bool layer(const QuantStep& step, int64_t index);
  bool norm(const float* hidden, const float* weight, int64_t count, const Activations& to);
  bool norm_heads(float* heads, const float* weight, int64_t count, int64_t size);
  bool mix(float* hidden, const QuantLayer& w, const Activations& x, int64_t count);
  bool add(float* hidden, float* added, const float* norm, int64_t count);
  bool add_product(float* hidden, const QuantMatrix& matrix, const Activations& x, const float* norm, int64_t count);
  int32_t output_logits(const QuantStep& step);

  template <class Work> auto part(QuantPart which, const Work& work) {
    if (!timed) return work();
    const auto began = std::chrono::steady_clock::now();
    auto result = work();
    seconds[which] += std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
    return result;
  }
};

bool QuantPlan::layer(const QuantStep& step, int64_t index) {
  const QuantLayer& w = layers[(size_t)index];
  const int64_t count = step.count, query_size = shape.num_heads * shape.head_dim;
  const int64_t key_value_size = shape.num_key_value_heads * shape.head_dim;
  Workspace& work = workspace();
  const Activations x = work.hidden.get(count, shape.hidden_size);
  float* projected = work.query_key_value.get(count * (query_size + 2 * key_value_size));
  const Heads heads = {projected,  projected + count * query_size, projected + count * (query_size + key_value_size),
                       query_size, key_value_size,                 key_value_size};

  bool finite = part(QUANT_NORM, [&] { return norm(step.hidden, w.attention_norm, count, x); });
  finite &= part(QUANT_QUERY_KEY_VALUE, [&] {
    const Product three[] = {{&w.query, heads.queries, w.query_bias, false},
                             {&w.key, heads.keys, w.key_bias, false},
                             {&w.value, heads.values, w.value_bias, false}};
    multiply(three, 3, x, count);
    return norm_heads(heads.queries, w.query_norm, count, query_size) &&
           norm_heads(heads.keys, w.key_norm, count, key_value_size);
  });
  const Place place = {step.cache + index, w.window, step.position, count};
  part(QUANT_ROPE, [&] {
    rotate_and_put(shape, heads, w.rotation < 0 ? nullptr : &step.rotations[w.rotation], place);
    return true;
  });
  const Activations attended = work.attended.get(count, query_size);
  finite &= part(QUANT_ATTENTION, [&] {
    float* y = work.attention.get(count * query_size);
    attend(shape, heads, place, y);
    return quantize_all(y, count, attended);
  });
  finite &= part(QUANT_ATTENTION_OUTPUT,
                 [&] { return add_product(step.hidden, w.attention_output, attended, w.post_attention_norm, count); });
  finite &= part(QUANT_NORM, [&] { return norm(step.hidden, w.mlp_norm, count, x); });
  if (w.experts) return finite && mix(step.hidden, w, x, count);
  const Activations gated = work.gated.get(count, shape.intermediate_size);
  finite &= part(QUANT_GATE_UP, [&] {
    return multiply_gated(w.gate, w.up, x, count, (QuantActivation)shape.activation, gated);
  });
  finite &= part(QUANT_DOWN, [&] { return add_product(step.hidden, w.down, gated, w.post_mlp_norm, count); });
  return finite;
}

bool QuantPlan::norm(const float* hidden, const float* weight, int64_t count, const Activations& to) {
  if (!weight) return quantize_all(hidden, count, to);
  return every_token(count, [&](int64_t m) {
    return table().norm(hidden + m * to.columns, weight, shape.rms_norm_eps, to.from(m), nullptr);
  });
}

bool QuantPlan::norm_heads(float* heads, const float* weight, int64_t count, int64_t size) {
  if (!weight) return true;
  const int64_t each = shape.norm_heads ? shape.head_dim : size;
  return every_token(count, [&](int64_t m) {
    bool finite = true;
    for (int64_t i = 0; i < size; i += each) {
      finite &= table().norm_floats(heads + m * size + i, weight, shape.rms_norm_eps, each);
    }
    return finite;
  });
}

// The MLP of experts, added to the residual stream. Nothing is routed by what is not finite.
bool QuantPlan::mix(float* hidden, const QuantLayer& w, const Activations& x, int64_t count) {
  Experts& experts = workspace().experts;
  const bool finite = part(QUANT_GATE_UP, [&] {
    return experts.route(shape, w, x, count) && experts.gate_up(shape, w, count);
  });
  if (!finite) return false;
  return part(QUANT_DOWN, [&] {
    float* added = workspace().added.get(count * shape.hidden_size);
    experts.down(shape, w, count, added);
    return add(hidden, added, w.post_mlp_norm, count);
  });
}

// hidden += scale * norm(x W'), with or without the norm.
bool QuantPlan::add_product(float* hidden, const QuantMatrix& matrix, const Activations& x, const float* norm,
                            int64_t count) {
  if (!norm && shape.residual_scale == 1.0f) {
    const Product straight = {&matrix, hidden, nullptr, true};
    multiply(&straight, 1, x, count);
    return true;
  }
  float* added = workspace().added.get(count * shape.hidden_size);
  const Product apart = {&matrix, added, nullptr, false};
  multiply(&apart, 1, x, count);
  return add(hidden, added, norm, count);
}

bool QuantPlan::add(float* hidden, float* added, const float* norm, int64_t count) {
  const int64_t size = shape.hidden_size;
  return every_token(count, [&](int64_t m) {
    const bool finite = !norm || table().norm_floats(added + m * size, norm, shape.rms_norm_eps, size);
    table().add_scaled(hidden + m * size, added + m * size, shape.residual_scale, size);
    return finite;
  });
}

// The logits are where rounding of activations shows most, a quarter of its whole effect, and are made of few tokens:
// two terms cost nothing there.
int32_t QuantPlan::output_logits(const QuantStep& step) {
  const int64_t count = step.all_logits ? step.count : 1;
  const Activations x = workspace().hidden.get(2 * count, shape.hidden_size), rest = x.from(count);
  return part(QUANT_OUTPUT, [&]() -> int32_t {
    const float* last = step.hidden + (step.count - count) * shape.hidden_size;
    const bool finite = every_token(count, [&](int64_t m) {
      const Activations remaining = rest.from(m);
      return table().norm(last + m * x.columns, output_norm, shape.rms_norm_eps, x.from(m), &remaining);
    });
    if (!finite) return QUANT_NOT_FINITE;
    multiply_two_terms(output, x, count, step.logits);
    const int64_t size = count * output.rows;
    if (shape.logit_scale != 1.0f) table().add_scaled(step.logits, nullptr, shape.logit_scale, size);
    if (shape.logit_softcap) table().cap(step.logits, shape.logit_softcap, size);
    return QUANT_OK;
  });
}

int32_t QuantPlan::run(const QuantStep& step) {
  workspace().prepare(step.count);
  if (step.ids) {
    const int32_t status = part(QUANT_EMBEDDING, [&] {
      const int32_t found = embed(embedding, step.ids, step.count, step.hidden);
      if (found == QUANT_OK && shape.embedding_scale != 1.0f) {
        table().add_scaled(step.hidden, nullptr, shape.embedding_scale, step.count * shape.hidden_size);
      }
      return found;
    });
    if (status != QUANT_OK) return status;
  }
  for (int64_t i = step.first_layer; i < step.last_layer; i++) {
    if (!layer(step, i)) return QUANT_NOT_FINITE;
  }
  return step.logits ? output_logits(step) : (int32_t)QUANT_OK;
}

QUANT_API QuantPlan* quant_plan_new(const QuantShape* shape, const QuantLayer* layers, const QuantMatrix* embedding,
                                    const float* output_norm, const QuantMatrix* output) {
  try {
    auto plan = std::make_unique<QuantPlan>();
    plan->shape = *shape;
    plan->layers.assign(layers, layers + shape->num_layers);
    if (embedding) plan->embedding = *embedding;
    if (output) plan->output = *output;
    plan->output_norm = output_norm;
    return plan.release();
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

QUANT_API void quant_plan_free(QuantPlan* plan) { delete plan; }

QUANT_API int32_t quant_plan_run(QuantPlan* plan, const QuantStep* step) {
  return guarded([&] { return plan->run(*step); });
}

QUANT_API void quant_plan_times(QuantPlan* plan, double seconds[QUANT_PARTS]) {
  std::copy(plan->seconds, plan->seconds + QUANT_PARTS, seconds);
  std::fill(plan->seconds, plan->seconds + QUANT_PARTS, 0.0);
  plan->timed = true;
}

