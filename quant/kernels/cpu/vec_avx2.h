// Sixteen lanes in two AVX2 registers; dot products of bytes by AVX-VNNI where the compiler may use it, and else by way
// of 16 bits. Half-precision numbers by F16C.

#pragma once

#include <immintrin.h>
#include <stdint.h>

namespace {

// 16 float32: lanes 0 to 7 and 8 to 15.
struct F {
  __m256 low, high;
};
// 16 int32.
struct I {
  __m256i low, high;
};
using B = I;  // 16 rows of 4 codes

#ifdef __AVXVNNI__
constexpr const char* kName = "avxvnni";
#else
constexpr const char* kName = "avx2";
#endif
constexpr int kFewRows = 8;    // rows of activations that one pass over a tile serves
constexpr int kBlockRows = 4;  // rows by tiles whose integer sums fit into 16 registers beside what is multiplied
constexpr int kBlockTiles = 1;
constexpr int kAttendRows = 6;  // queries whose sums fit, in attention

inline F zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
inline F set(float a) { return {_mm256_set1_ps(a), _mm256_set1_ps(a)}; }
inline F load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
inline void store(float* p, F a) {
  _mm256_storeu_ps(p, a.low);
  _mm256_storeu_ps(p + 8, a.high);
}
inline F load_half(const uint16_t* p) {
  return {_mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)p)),
          _mm256_cvtph_ps(_mm_loadu_si128((const __m128i*)(p + 8)))};
}
inline void store_half(uint16_t* p, F a) {
  _mm_storeu_si128((__m128i*)p, _mm256_cvtps_ph(a.low, _MM_FROUND_TO_NEAREST_INT));
  _mm_storeu_si128((__m128i*)(p + 8), _mm256_cvtps_ph(a.high, _MM_FROUND_TO_NEAREST_INT));
}
inline F add(F a, F b) { return {_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
inline F sub(F a, F b) { return {_mm256_sub_ps(a.low, b.low), _mm256_sub_ps(a.high, b.high)}; }
inline F mul(F a, F b) { return {_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
inline F div(F a, F b) { return {_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
inline F fma(F a, F b, F c) {  // a * b + c
  return {_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}
inline F max(F a, F b) { return {_mm256_max_ps(a.low, b.low), _mm256_max_ps(a.high, b.high)}; }
inline F min(F a, F b) { return {_mm256_min_ps(a.low, b.low), _mm256_min_ps(a.high, b.high)}; }
// Lanes are added in the same order by every instruction set.
inline float sum(F a) {
  const __m256 eight = _mm256_add_ps(a.low, a.high);
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
inline float largest(F a) {
  const __m256 eight = _mm256_max_ps(a.low, a.high);
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}
inline F round_even(F a) {
  constexpr int kMode = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(a.low, kMode), _mm256_round_ps(a.high, kMode)};
}

inline I load_ints(const void* p) {
  return {_mm256_loadu_si256((const __m256i*)p), _mm256_loadu_si256((const __m256i*)p + 1)};
}
inline I to_int(F a) { return {_mm256_cvtps_epi32(a.low), _mm256_cvtps_epi32(a.high)}; }
inline F to_float(I a) { return {_mm256_cvtepi32_ps(a.low), _mm256_cvtepi32_ps(a.high)}; }
inline I add(I a, I b) { return {_mm256_add_epi32(a.low, b.low), _mm256_add_epi32(a.high, b.high)}; }
inline I max(I a, I b) { return {_mm256_max_epi32(a.low, b.low), _mm256_max_epi32(a.high, b.high)}; }
inline I absolute_bits(F a) {
  const __m256i bits = _mm256_set1_epi32(0x7fffffff);
  return {_mm256_and_si256(_mm256_castps_si256(a.low), bits), _mm256_and_si256(_mm256_castps_si256(a.high), bits)};
}
inline int32_t sum(I a) {
  const __m256i eight = _mm256_add_epi32(a.low, a.high);
  const __m128i four = _mm_add_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_add_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 1)));
}
inline int32_t largest(I a) {
  const __m256i eight = _mm256_max_epi32(a.low, a.high);
  const __m128i four = _mm_max_epi32(_mm256_castsi256_si128(eight), _mm256_extracti128_si256(eight, 1));
  const __m128i two = _mm_max_epi32(four, _mm_unpackhi_epi64(four, four));
  return _mm_cvtsi128_si32(_mm_max_epi32(two, _mm_shuffle_epi32(two, 1)));
}
inline void store_codes(int8_t* p, I a) {
  const __m256i pairs = _mm256_packs_epi32(a.low, a.high);  // 0..3, 8..11; 4..7, 12..15
  const __m256i ordered = _mm256_permute4x64_epi64(pairs, 0xd8);
  _mm_storeu_si128((__m128i*)p,
                   _mm_packs_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
}
// a * 2^n for whole n of -126 to 127.
inline F times_power_of_two(F a, F n) {
  const I whole = to_int(n);
  const __m256i bias = _mm256_set1_epi32(127);
  return mul(a, {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(whole.low, bias), 23)),
                 _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(whole.high, bias), 23))});
}

inline B load_bytes(const uint8_t* p) { return load_ints(p); }
inline void store_bytes(uint8_t* p, B a) {
  _mm256_storeu_si256((__m256i*)p, a.low);
  _mm256_storeu_si256((__m256i*)p + 1, a.high);
}
inline B bit_and(B a, __m256i bits) { return {_mm256_and_si256(a.low, bits), _mm256_and_si256(a.high, bits)}; }
inline B low_nibbles(B a) { return bit_and(a, _mm256_set1_epi8(0x0f)); }
inline B high_nibbles(B a) { return low_nibbles({_mm256_srli_epi16(a.low, 4), _mm256_srli_epi16(a.high, 4)}); }
inline B broadcast4(const int8_t* p) {
  int32_t four;
  __builtin_memcpy(&four, p, 4);
  return {_mm256_set1_epi32(four), _mm256_set1_epi32(four)};
}

// Dot products of codes with activations, four columns at a time: `acc_step` for all 32 columns of a group, and then
// `acc_finish`.
template <int Bits> using Acc = I;
template <int Bits> inline Acc<Bits> acc_zero() { return {_mm256_setzero_si256(), _mm256_setzero_si256()}; }

#ifdef __AVXVNNI__

// The instruction wants unsigned codes, so int8 is moved up by 128; the caller takes kOffset8 times the sum of the
// activations off again.
constexpr int kOffset8 = 128;

inline B codes8(B a) {
  const __m256i top = _mm256_set1_epi8((char)0x80);
  return {_mm256_xor_si256(a.low, top), _mm256_xor_si256(a.high, top)};
}
template <int Bits> inline I acc_step(I acc, B codes, B x) {
  return {_mm256_dpbusd_avx_epi32(acc.low, codes.low, x.low), _mm256_dpbusd_avx_epi32(acc.high, codes.high, x.high)};
}
template <int Bits> inline I acc_finish(I acc) { return acc; }

#else

constexpr int kOffset8 = 0;

inline B codes8(B a) { return a; }

// Sums of two products, in 16 bits: of an unsigned byte with a signed one.
inline I pairs(B codes, B x) {
  return {_mm256_maddubs_epi16(codes.low, x.low), _mm256_maddubs_epi16(codes.high, x.high)};
}
inline I add_pairs(I a) {
  const __m256i ones = _mm256_set1_epi16(1);
  return {_mm256_madd_epi16(a.low, ones), _mm256_madd_epi16(a.high, ones)};
}

template <int Bits> inline I acc_step(I acc, B codes, B x);

// The sums of a whole group fit into 16 bits: 8 steps of two products of at most 15 * 127 are 30480.
template <> inline I acc_step<4>(I acc, B codes, B x) {
  const I two = pairs(codes, x);
  acc = {_mm256_add_epi16(acc.low, two.low), _mm256_add_epi16(acc.high, two.high)};
  // Or GCC puts all products of a group into memory before it adds the first two.
  __asm__("" : "+x"(acc.low), "+x"(acc.high));
  return acc;
}

// |code| * (x with the code's sign); as activations are at least -127, two products are at most 2 * 128 * 127 = 32512.
template <> inline I acc_step<8>(I acc, B codes, B x) {
  const B magnitudes = {_mm256_abs_epi8(codes.low), _mm256_abs_epi8(codes.high)};
  const B turned = {_mm256_sign_epi8(x.low, codes.low), _mm256_sign_epi8(x.high, codes.high)};
  return add(acc, add_pairs(pairs(magnitudes, turned)));
}

template <int Bits> inline I acc_finish(I acc) { return Bits == 4 ? add_pairs(acc) : acc; }

#endif

// Has a sum stay in its registers: GCC else moves every one of them to others and back.
inline void stay(I& acc) { __asm__("" : "+x"(acc.low), "+x"(acc.high)); }

// 16 rows of one tile times 32 activations.
template <int Bits> inline I dot_tile(const uint8_t* tile, const int8_t* x);

template <> inline I dot_tile<4>(const uint8_t* tile, const int8_t* x) {
  I a = acc_zero<4>();
#ifdef __AVXVNNI__
  I b = acc_zero<4>();  // has 16 times its value, which saves shifting the codes
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    const B v = load_bytes(tile + j * 64);
    a = acc_step<4>(a, low_nibbles(v), broadcast4(x + j * 8));
    b = acc_step<4>(b, bit_and(v, _mm256_set1_epi8((char)0xf0)), broadcast4(x + j * 8 + 4));
  }
  return add(a, {_mm256_srai_epi32(b.low, 4), _mm256_srai_epi32(b.high, 4)});
#else
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    const B v = load_bytes(tile + j * 64);
    a = acc_step<4>(a, low_nibbles(v), broadcast4(x + j * 8));
    a = acc_step<4>(a, high_nibbles(v), broadcast4(x + j * 8 + 4));
  }
  return acc_finish<4>(a);
#endif
}

template <> inline I dot_tile<8>(const uint8_t* tile, const int8_t* x) {
  I a = acc_zero<8>(), b = acc_zero<8>();
#pragma GCC unroll 4
  for (int j = 0; j < 4; j++) {
    a = acc_step<8>(a, codes8(load_bytes(tile + j * 128)), broadcast4(x + j * 8));
    b = acc_step<8>(b, codes8(load_bytes(tile + j * 128 + 64)), broadcast4(x + j * 8 + 4));
  }
  return add(a, b);
}

}  // namespace
