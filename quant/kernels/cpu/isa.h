// Makes the table of an instruction set from its vectors: the last include of each isa_*.cpp.
//
// Everything is in unnamed namespaces, and nothing of the C++ library but compile-time templates and C functions is
// used, so that no function compiled for one instruction set can stand in for the same one of another.

#pragma once

#include "attention_codes.h"
#include "product.h"
#include "rows.h"

namespace {

int64_t probe_operations(int64_t rounds) {
  constexpr int kChains = kBlockRows * kBlockTiles;
  alignas(64) uint8_t codes[64];
  int8_t x[kChains + 4];
  for (int i = 0; i < 64; i++) codes[i] = (uint8_t)(i & 15);
  for (int i = 0; i < kChains + 4; i++) x[i] = (int8_t)i;
  __asm__ volatile("" : : "r"(x) : "memory");  // a compiler that knows them finds that chains, or rounds, are alike
  const B w = load_bytes(codes);
  Acc<4> acc[kChains];
#pragma GCC unroll 16
  for (int i = 0; i < kChains; i++) acc[i] = acc_step<4>(acc_zero<4>(), w, broadcast4(x + i));
  for (int64_t k = 0; k < rounds; k++) {
    const B four = broadcast4(x);
    __asm__ volatile("" : : "r"(x) : "memory");
#pragma GCC unroll 16
    for (int i = 0; i < kChains; i++) acc[i] = acc_step<4>(acc[i], w, four);
  }
  int32_t used = 0;
#pragma GCC unroll 16
  for (int i = 0; i < kChains; i++) used += sum(acc_finish<4>(acc[i]));
  volatile int32_t keep = used;  // so that nothing is left out
  (void)keep;
  return rounds * kChains * 64 * 2;
}

uint64_t probe_bandwidth(const uint8_t* p, int64_t n) {
  I all[4] = {to_int(zero()), to_int(zero()), to_int(zero()), to_int(zero())};
  for (int64_t i = 0; i < n; i += 256) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) all[j] = max(all[j], load_ints(p + i + j * 64));
    prefetch(p + i + 4096);
    prefetch(p + i + 4096 + 64);
    prefetch(p + i + 4096 + 128);
    prefetch(p + i + 4096 + 192);
  }
  return (uint64_t)largest(max(max(all[0], all[1]), max(all[2], all[3])));
}

constexpr quant::Table kTable = {kName, quantize, norm, norm_floats, add_scaled, cap,    product,          gated,
                                 row,   rotate,   put,  encode,      attend,     merge,  probe_operations, probe_bandwidth};

}  // namespace
