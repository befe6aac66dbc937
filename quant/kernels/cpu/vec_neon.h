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
constexpr int kAttendRows = 6;  // queries whose sums fit, in attention

// A vector of what `quarter` gives for 0 to 3.
template <class V, class Quarter> inline V quarters(const Quarter& quarter) {
  return {quarter(0), quarter(1), quarter(2), quarter(3)};
}

inline F set(float a) {
  return quarters<F>([&](int) { return vdupq_n_f32(a); });
}
inline F zero() { return set(0); }
inline F load(const float* p) {
  return quarters<F>([&](int i) { return vld1q_f32(p + 4 * i); });
}
inline void store(float* p, F a) {
  vst1q_f32(p, a.q[0]);
  vst1q_f32(p + 4, a.q[1]);
  vst1q_f32(p + 8, a.q[2]);
  vst1q_f32(p + 12, a.q[3]);
}
inline F load_half(const uint16_t* p) {
  return quarters<F>([&](int i) { return vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i))); });
}
inline void store_half(uint16_t* p, F a) {
  vst1_u16(p, vreinterpret_u16_f16(vcvt_f16_f32(a.q[0])));
  vst1_u16(p + 4, vreinterpret_u16_f16(vcvt_f16_f32(a.q[1])));
  vst1_u16(p + 8, vreinterpret_u16_f16(vcvt_f16_f32(a.q[2])));
  vst1_u16(p + 12, vreinterpret_u16_f16(vcvt_f16_f32(a.q[3])));
}
inline F add(F a, F b) {
  return quarters<F>([&](int i) { return vaddq_f32(a.q[i], b.q[i]); });
}
inline F sub(F a, F b) {
  return quarters<F>([&](int i) { return vsubq_f32(a.q[i], b.q[i]); });
}
inline F mul(F a, F b) {
  return quarters<F>([&](int i) { return vmulq_f32(a.q[i], b.q[i]); });
}
inline F div(F a, F b) {
  return quarters<F>([&](int i) { return vdivq_f32(a.q[i], b.q[i]); });
}
inline F fma(F a, F b, F c) {  // a * b + c
  return quarters<F>([&](int i) { return vfmaq_f32(c.q[i], a.q[i], b.q[i]); });
}
inline F max(F a, F b) {
  return quarters<F>([&](int i) { return vmaxq_f32(a.q[i], b.q[i]); });
}
inline F min(F a, F b) {
  return quarters<F>([&](int i) { return vminq_f32(a.q[i], b.q[i]); });
}
// Lanes are added in the same order by every instruction set.
inline float sum(F a) {
  const float32x4_t four = vaddq_f32(vaddq_f32(a.q[0], a.q[2]), vaddq_f32(a.q[1], a.q[3]));
  const float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
  return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
inline float largest(F a) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(a.q[0], a.q[1]), vmaxq_f32(a.q[2], a.q[3]))); }
inline F round_even(F a) {
  return quarters<F>([&](int i) { return vrndnq_f32(a.q[i]); });
}

inline I load_ints(const void* p) {
  return quarters<I>([&](int i) { return vreinterpretq_s32_u8(vld1q_u8((const uint8_t*)p + 16 * i)); });
}
inline I to_int(F a) {
  return quarters<I>([&](int i) { return vcvtnq_s32_f32(a.q[i]); });
}
inline F to_float(I a) {
  return quarters<F>([&](int i) { return vcvtq_f32_s32(a.q[i]); });
}
inline I add(I a, I b) {
  return quarters<I>([&](int i) { return vaddq_s32(a.q[i], b.q[i]); });
}
inline I max(I a, I b) {
  return quarters<I>([&](int i) { return vmaxq_s32(a.q[i], b.q[i]); });
}
inline I absolute_bits(F a) {
  return quarters<I>([&](int i) { return vreinterpretq_s32_f32(vabsq_f32(a.q[i])); });
}
inline int32_t sum(I a) { return vaddvq_s32(vaddq_s32(vaddq_s32(a.q[0], a.q[1]), vaddq_s32(a.q[2], a.q[3]))); }
inline int32_t largest(I a) { return vmaxvq_s32(vmaxq_s32(vmaxq_s32(a.q[0], a.q[1]), vmaxq_s32(a.q[2], a.q[3]))); }
inline void store_codes(int8_t* p, I a) {
  const int16x8_t low = vcombine_s16(vmovn_s32(a.q[0]), vmovn_s32(a.q[1]));
  const int16x8_t high = vcombine_s16(vmovn_s32(a.q[2]), vmovn_s32(a.q[3]));
  vst1q_s8(p, vcombine_s8(vmovn_s16(low), vmovn_s16(high)));
}
// a * 2^n for whole n of -126 to 127.
inline F times_power_of_two(F a, F n) {
  return quarters<F>([&](int i) {
    const int32x4_t exponent = vaddq_s32(vcvtnq_s32_f32(n.q[i]), vdupq_n_s32(127));
    return vmulq_f32(a.q[i], vreinterpretq_f32_s32(vshlq_n_s32(exponent, 23)));
  });
}

// Dot products of codes with activations, four columns at a time. The instruction takes signed codes as they are.
constexpr int kOffset8 = 0;

template <int Bits> using Acc = I;
inline B load_bytes(const uint8_t* p) {
  return quarters<B>([&](int i) { return vreinterpretq_s8_u8(vld1q_u8(p + 16 * i)); });
}
inline void store_bytes(uint8_t* p, B a) {
  vst1q_u8(p, vreinterpretq_u8_s8(a.q[0]));
  vst1q_u8(p + 16, vreinterpretq_u8_s8(a.q[1]));
  vst1q_u8(p + 32, vreinterpretq_u8_s8(a.q[2]));
  vst1q_u8(p + 48, vreinterpretq_u8_s8(a.q[3]));
}
inline B low_nibbles(B a) {
  return quarters<B>([&](int i) { return vandq_s8(a.q[i], vdupq_n_s8(0x0f)); });
}
inline B high_nibbles(B a) {
  return quarters<B>([&](int i) { return vreinterpretq_s8_u8(vshrq_n_u8(vreinterpretq_u8_s8(a.q[i]), 4)); });
}
inline B codes8(B a) { return a; }
inline B broadcast4(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return quarters<B>([&](int) { return vreinterpretq_s8_s32(vdupq_n_s32(four)); });
}
template <int Bits> inline Acc<Bits> acc_zero() {
  return quarters<I>([](int) { return vdupq_n_s32(0); });
}
template <int Bits> inline I acc_step(I acc, B codes, B x) {
  acc = quarters<I>([&](int i) { return vdotq_s32(acc.q[i], codes.q[i], x.q[i]); });
  // Keeps the steps in their order: GCC's own needs four times the registers that there are.
  __asm__ volatile("" : "+w"(acc.q[0]), "+w"(acc.q[1]), "+w"(acc.q[2]), "+w"(acc.q[3]));
  return acc;
}
template <int Bits> inline I acc_finish(I acc) { return acc; }

inline void stay(I&) {}  // sums do

// 16 rows of one tile times 32 activations.
template <int Bits> inline I dot_tile(const uint8_t* tile, const int8_t* x);

template <> inline I dot_tile<4>(const uint8_t* tile, const int8_t* x) {
  I a = acc_zero<4>();
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    const B v = load_bytes(tile + j * 64);
    a = acc_step<4>(a, low_nibbles(v), broadcast4(x + j * 8));
    a = acc_step<4>(a, high_nibbles(v), broadcast4(x + j * 8 + 4));
  }
  return a;
}

template <> inline I dot_tile<8>(const uint8_t* tile, const int8_t* x) {
  I a = acc_zero<8>();
#pragma GCC unroll 8
  for (int j = 0; j < 8; j++) a = acc_step<8>(a, load_bytes(tile + j * 64), broadcast4(x + j * 4));
  return a;
}

}  // namespace
