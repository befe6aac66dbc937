// Sixteen lanes in four of GCC's and Clang's generic vectors, for any processor: these become SSE2 or NEON registers,
// or plain numbers where there are none. (Compilers do not find the vectors in loops over arrays of 16: a fifth of the
// speed.)

#pragma once

#include <math.h>
#include <stdint.h>

namespace {

template <class T> struct Vector {
  typedef T Type __attribute__((vector_size(16)));
};
using Floats = Vector<float>::Type;
using Ints = Vector<int32_t>::Type;
using Shorts = Vector<int16_t>::Type;
typedef uint16_t Halves __attribute__((vector_size(8)));

// 16 float32, lanes 0 to 3 first.
struct F {
  Floats q[4];
};
// 16 int32.
struct I {
  Ints q[4];
};
// 16 rows of 4 codes, two to a word.
struct B {
  Shorts q[4];
};

constexpr const char* kName = "portable";
constexpr int kFewRows = 4;    // rows of activations that one pass over a tile serves
constexpr int kBlockRows = 4;  // rows by tiles that are multiplied together
constexpr int kBlockTiles = 1;
constexpr int kAttendRows = 4;  // queries that attend together

// A vector of what `quarter` gives for 0 to 3.
template <class V, class Quarter> inline V quarters(const Quarter& quarter) {
  return {quarter(0), quarter(1), quarter(2), quarter(3)};
}
// The same bits as another type.
template <class To, class From> inline To bits(const From& from) {
  static_assert(sizeof(To) == sizeof(From), "only what has the same size");
  To to;
  __builtin_memcpy(&to, &from, sizeof(to));
  return to;
}
template <class V> inline V load_bits(const void* p) {
  V v;
  __builtin_memcpy(&v, p, sizeof(v));
  return v;
}

inline F set(float a) {
  return quarters<F>([&](int) { return Floats{a, a, a, a}; });
}
inline F zero() { return set(0); }
inline F load(const float* p) {
  return quarters<F>([&](int i) { return load_bits<Floats>(p + 4 * i); });
}
inline void store(float* p, F a) {
  for (int i = 0; i < 4; i++) __builtin_memcpy(p + 4 * i, &a.q[i], 16);
}
inline F add(F a, F b) {
  return quarters<F>([&](int i) { return a.q[i] + b.q[i]; });
}
inline F sub(F a, F b) {
  return quarters<F>([&](int i) { return a.q[i] - b.q[i]; });
}
inline F mul(F a, F b) {
  return quarters<F>([&](int i) { return a.q[i] * b.q[i]; });
}
inline F div(F a, F b) {
  return quarters<F>([&](int i) { return a.q[i] / b.q[i]; });
}
inline F fma(F a, F b, F c) {  // a * b + c, rounded once or twice
  return quarters<F>([&](int i) { return a.q[i] * b.q[i] + c.q[i]; });
}
inline F max(F a, F b) {
  return quarters<F>([&](int i) { return a.q[i] > b.q[i] ? a.q[i] : b.q[i]; });
}
inline F min(F a, F b) {
  return quarters<F>([&](int i) { return a.q[i] < b.q[i] ? a.q[i] : b.q[i]; });
}
// Lanes are added in the same order by every instruction set.
inline float sum(F a) {
  const Floats four = (a.q[0] + a.q[2]) + (a.q[1] + a.q[3]);
  return (four[0] + four[2]) + (four[1] + four[3]);
}
template <class V> inline auto largest(V a) {
  const V two = max(a, V{a.q[1], a.q[2], a.q[3], a.q[0]});
  const auto four = max(two, V{two.q[2], two.q[3], two.q[0], two.q[1]}).q[0];
  auto most = four[0];
  for (int i = 1; i < 4; i++) most = four[i] > most ? four[i] : most;
  return most;
}

inline I load_ints(const void* p) {
  return quarters<I>([&](int i) { return load_bits<Ints>((const char*)p + 16 * i); });
}
// By a function and not by adding a large number, which a compiler may fuse with the multiplication before it.
inline I to_int(F a) {
  return quarters<I>([&](int i) {
    const Floats f = a.q[i];
    return Ints{(int32_t)lrintf(f[0]), (int32_t)lrintf(f[1]), (int32_t)lrintf(f[2]), (int32_t)lrintf(f[3])};
  });
}
inline F to_float(I a) {
  return quarters<F>([&](int i) { return __builtin_convertvector(a.q[i], Floats); });
}
// Of at most 2^22: all that is below one is lost beside the number added.
inline F round_even(F a) {
  constexpr float kLarge = 1.5f * (1 << 23);
  return sub(add(a, set(kLarge)), set(kLarge));
}
inline I add(I a, I b) {
  return quarters<I>([&](int i) { return a.q[i] + b.q[i]; });
}
inline I max(I a, I b) {
  return quarters<I>([&](int i) { return a.q[i] > b.q[i] ? a.q[i] : b.q[i]; });
}
inline I absolute_bits(F a) {
  return quarters<I>([&](int i) { return bits<Ints>(a.q[i]) & 0x7fffffff; });
}
inline int32_t sum(I a) {
  const Ints four = (a.q[0] + a.q[2]) + (a.q[1] + a.q[3]);
  return (four[0] + four[2]) + (four[1] + four[3]);
}
inline void store_codes(int8_t* p, I a) {
  for (int i = 0; i < 16; i++) p[i] = (int8_t)a.q[i / 4][i % 4];
}
// a * 2^n for whole n of -126 to 127.
inline F times_power_of_two(F a, F n) {
  return quarters<F>([&](int i) {
    return a.q[i] * bits<Floats>((__builtin_convertvector(n.q[i], Ints) + 127) << 23);
  });
}

// Half precision: the bias of the exponent is 15 instead of 127, and the fraction is 13 bits shorter. A subnormal
// number has the exponent of 2^-14, but no leading one: it gets one, which is then taken off.
inline F load_half(const uint16_t* p) {
  return quarters<F>([&](int i) {
    const Ints half = __builtin_convertvector(load_bits<Halves>(p + 4 * i), Ints);
    const Ints magnitude = (half & 0x7fff) << 13, sign = (half & 0x8000) << 16;
    const Ints biased = magnitude + (112 << 23), infinite = biased + (112 << 23);
    const Floats one = bits<Floats>(Ints{} + (113 << 23));
    const Ints subnormal = bits<Ints>(bits<Floats>(biased + (1 << 23)) - one);
    const Ints normal = magnitude >= 31 << 23 ? infinite : biased;
    return bits<Floats>((magnitude < 1 << 23 ? subnormal : normal) | sign);
  });
}
// Rounded to even. Numbers below 2^-14 are rounded by adding one whose last bit is that of a subnormal.
inline uint16_t to_half(float a) {
  const uint32_t all = bits<uint32_t>(a), magnitude = all & 0x7fffffff, sign = all >> 16 & 0x8000;
  if (magnitude >= 143u << 23) return (uint16_t)(sign | (magnitude > 255u << 23 ? 0x7e00 : 0x7c00));
  if (magnitude < 113u << 23) return (uint16_t)(sign | (bits<uint32_t>(bits<float>(magnitude) + 0.5f) - (126u << 23)));
  return (uint16_t)(sign | (magnitude - (112u << 23) + 0xfff + (magnitude >> 13 & 1)) >> 13);
}
inline void store_half(uint16_t* p, F a) {
  for (int i = 0; i < 16; i++) p[i] = to_half(a.q[i / 4][i % 4]);
}

// Dot products of codes with activations, four columns at a time: the even and odd bytes of words of two codes are
// multiplied on their own in 16 bits. Two products fit there, as activations are at least -127: 2 * 128 * 127 = 32512.
constexpr int kOffset8 = 0;

inline B load_bytes(const uint8_t* p) {
  return quarters<B>([&](int i) { return load_bits<Shorts>(p + 16 * i); });
}
inline void store_bytes(uint8_t* p, B a) {
  for (int i = 0; i < 4; i++) __builtin_memcpy(p + 16 * i, &a.q[i], 16);
}
inline B low_nibbles(B a) {
  return quarters<B>([&](int i) { return a.q[i] & 0x0f0f; });
}
inline B high_nibbles(B a) {
  return quarters<B>([&](int i) { return a.q[i] >> 4 & 0x0f0f; });
}
inline B codes8(B a) { return a; }
inline B broadcast4(const int8_t* p) {
  const int32_t four = load_bits<int32_t>(p);
  return quarters<B>([&](int) { return bits<Shorts>(Ints{four, four, four, four}); });
}

inline Shorts even(Shorts words) { return words << 8 >> 8; }
inline Shorts odd(Shorts words) { return words >> 8; }
inline B pairs(B codes, B x) {
  return quarters<B>([&](int i) { return even(codes.q[i]) * even(x.q[i]) + odd(codes.q[i]) * odd(x.q[i]); });
}
inline I add_pairs(B a) {
  return quarters<I>([&](int i) {
    const Ints two = bits<Ints>(a.q[i]);
    return (two << 16 >> 16) + (two >> 16);
  });
}

// Sums of int4 are of 16 bits, into which those of a whole group fit, as 8 steps of 2 products of at most 15 * 127 are
// 30480; sums of int8 are of 32 bits.
template <int Bits> struct Sums;
template <> struct Sums<4> {
  using Type = B;
};
template <> struct Sums<8> {
  using Type = I;
};
template <int Bits> using Acc = typename Sums<Bits>::Type;

template <int Bits> inline Acc<Bits> acc_zero() { return {}; }
template <int Bits> inline Acc<Bits> acc_step(Acc<Bits> acc, B codes, B x) {
  const B two = pairs(codes, x);
  if constexpr (Bits == 4) {
    return quarters<B>([&](int i) { return acc.q[i] + two.q[i]; });
  } else {
    return add(acc, add_pairs(two));
  }
}
template <int Bits> inline I acc_finish(Acc<Bits> acc) {
  if constexpr (Bits == 4) {
    return add_pairs(acc);
  } else {
    return acc;
  }
}

inline void stay(I&) {}  // sums do

// 16 rows of one tile times 32 activations.
template <int Bits> inline I dot_tile(const uint8_t* tile, const int8_t* x) {
  Acc<Bits> acc = acc_zero<Bits>();
#pragma GCC unroll 8
  for (int j = 0; j < Bits; j++) {
    const B v = load_bytes(tile + j * 64);
    if constexpr (Bits == 4) {
      acc = acc_step<4>(acc, low_nibbles(v), broadcast4(x + j * 8));
      acc = acc_step<4>(acc, high_nibbles(v), broadcast4(x + j * 8 + 4));
    } else {
      acc = acc_step<8>(acc, v, broadcast4(x + j * 4));
    }
  }
  return acc_finish<Bits>(acc);
}

}  // namespace
