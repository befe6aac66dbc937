// Sixteen lanes in four NEON registers, for arm64 with the dot product instructions.

#pragma once

#include <arm_neon.h>
#include <stdint.h>

namespace {

// 16 float32, lanes 0 to 3 first.
struct F {
  float32x4_t q[4];
};
// 16 int32.
struct I {
  int32x4_t q[4];
};
// 16 rows of 4 codes.
struct B {
  int8x16_t q[4];
};

constexpr const char* kName = "neon";
constexpr int kFewRows = 4;    // rows of activations that one pass over a tile serves
constexpr int kBlockRows = 4;  // rows by tiles whose integer sums fit into 32 registers beside what is multiplied
constexpr int kBlockTiles = 1;

inline F zero() { return {vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0), vdupq_n_f32(0)}; }
inline F set(float a) { return {vdupq_n_f32(a), vdupq_n_f32(a), vdupq_n_f32(a), vdupq_n_f32(a)}; }
inline F load(const float* p) { return {vld1q_f32(p), vld1q_f32(p + 4), vld1q_f32(p + 8), vld1q_f32(p + 12)}; }
