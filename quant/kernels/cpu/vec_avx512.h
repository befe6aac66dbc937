// Sixteen lanes in one AVX-512 register; dot products of bytes by VNNI.

#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace {

using F = __m512;   // 16 float32
using I = __m512i;  // 16 int32
using B = __m512i;  // 16 rows of 4 codes

constexpr const char* kName = "avx512";
constexpr int kFewRows = 8;     // rows of activations that one pass over a tile serves
constexpr int kBlockRows = 6;   // rows by tiles whose accumulators fit into the registers
constexpr int kBlockTiles = 2;
constexpr int kAttendRows = 12;  // queries by tiles likewise, in attention, where nothing else is summed

inline F zero() { return _mm512_setzero_ps(); }
inline F set(float a) { return _mm512_set1_ps(a); }
inline F load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, F a) { _mm512_storeu_ps(p, a); }
inline F load_half(const uint16_t* p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i*)p)); }
inline void store_half(uint16_t* p, F a) {
  _mm256_storeu_si256((__m256i*)p, _mm512_cvtps_ph(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
inline F add(F a, F b) { return _mm512_add_ps(a, b); }
inline F sub(F a, F b) { return _mm512_sub_ps(a, b); }
inline F mul(F a, F b) { return _mm512_mul_ps(a, b); }
inline F div(F a, F b) { return _mm512_div_ps(a, b); }
inline F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }  // a * b + c
inline F max(F a, F b) { return _mm512_max_ps(a, b); }
inline F min(F a, F b) { return _mm512_min_ps(a, b); }
inline float sum(F a) { return _mm512_reduce_add_ps(a); }
inline float largest(F a) { return _mm512_reduce_max_ps(a); }
inline F round_even(F a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
inline F times_power_of_two(F a, F n) { return _mm512_scalef_ps(a, n); }

inline I load_ints(const void* p) { return _mm512_loadu_si512(p); }
inline I to_int(F a) { return _mm512_cvtps_epi32(a); }
inline F to_float(I a) { return _mm512_cvtepi32_ps(a); }
inline I add(I a, I b) { return _mm512_add_epi32(a, b); }
inline I max(I a, I b) { return _mm512_max_epi32(a, b); }
inline I absolute_bits(F a) { return _mm512_castps_si512(_mm512_abs_ps(a)); }
inline int32_t sum(I a) { return _mm512_reduce_add_epi32(a); }
inline int32_t largest(I a) { return _mm512_reduce_max_epi32(a); }
inline void store_codes(int8_t* p, I a) { _mm_storeu_si128((__m128i*)p, _mm512_cvtepi32_epi8(a)); }

// Dot products of codes with activations, four columns at a time. The instruction wants unsigned codes, so int8 is
// moved up by 128; the caller takes kOffset8 times the sum of the activations off again.
constexpr int kOffset8 = 128;

template <int Bits> using Acc = I;
inline B load_bytes(const uint8_t* p) { return _mm512_loadu_si512(p); }
inline void store_bytes(uint8_t* p, B a) { _mm512_storeu_si512(p, a); }
inline B low_nibbles(B a) { return _mm512_and_si512(a, _mm512_set1_epi8(0x0f)); }
inline B high_nibbles(B a) { return _mm512_and_si512(_mm512_srli_epi16(a, 4), _mm512_set1_epi8(0x0f)); }
inline B codes8(B a) { return _mm512_xor_si512(a, _mm512_set1_epi8((char)0x80)); }
inline B broadcast4(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return _mm512_set1_epi32(four);
}
template <int Bits> inline Acc<Bits> acc_zero() { return _mm512_setzero_si512(); }
template <int Bits> inline I acc_step(I acc, B codes, B x) { return _mm512_dpbusd_epi32(acc, codes, x); }
template <int Bits> inline I acc_finish(I acc) { return acc; }
// Has a sum stay in its register: GCC else moves every one of them to another and back.
inline void stay(I& acc) { __asm__("" : "+v"(acc)); }

// 16 rows of one tile times 32 activations.
template <int Bits> inline I dot_tile(const uint8_t* tile, const int8_t* x);

template <> inline I dot_tile<4>(const uint8_t* tile, const int8_t* x) {
  const B low = _mm512_set1_epi8(0x0f), high = _mm512_set1_epi8((char)0xf0);
  I a = acc_zero<4>(), b = acc_zero<4>();  // b has 16 times its value, which saves shifting the codes
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    B v = load_bytes(tile + j * 64);
    a = _mm512_dpbusd_epi32(a, _mm512_and_si512(v, low), broadcast4(x + j * 8));
    b = _mm512_dpbusd_epi32(b, _mm512_and_si512(v, high), broadcast4(x + j * 8 + 4));
  }
  return add(a, _mm512_srai_epi32(b, 4));
}

template <> inline I dot_tile<8>(const uint8_t* tile, const int8_t* x) {
  I a = acc_zero<8>(), b = acc_zero<8>();
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    a = _mm512_dpbusd_epi32(a, codes8(load_bytes(tile + j * 128)), broadcast4(x + j * 8));
    b = _mm512_dpbusd_epi32(b, codes8(load_bytes(tile + j * 128 + 64)), broadcast4(x + j * 8 + 4));
  }
  return add(a, b);
}

}  // namespace
