#include "dispatch.h"

#include <cstring>
#include <memory>
#include <string>
#include <vector>

#if defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#endif
#if defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#endif

namespace quant {

extern const Table kAvx512Table, kAvxvnniTable, kAvx2Table, kNeonTable, kPortableTable;

namespace {

// Those that this processor can run, best first. What the build left out has no QUANT_HAVE_ macro.
const std::vector<const Table*>& tables() {
  static const std::vector<const Table*> found = [] {
    std::vector<const Table*> list;
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    // Not every compiler's own function knows these two. That the system keeps the registers is part of AVX2's test.
    unsigned a = 0, b = 0, c = 0, d = 0;
    const bool f16c = __get_cpuid(1, &a, &b, &c, &d) && (c >> 29 & 1);
    [[maybe_unused]] const bool avxvnni = __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1);
    const bool avx2 = f16c && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#if defined(QUANT_HAVE_AVX512)
    if (avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vnni")) {
      list.push_back(&kAvx512Table);
    }
#endif
#if defined(QUANT_HAVE_AVXVNNI)
    if (avx2 && avxvnni) list.push_back(&kAvxvnniTable);
#endif
#if defined(QUANT_HAVE_AVX2)
    if (avx2) list.push_back(&kAvx2Table);
#endif
#endif
#if defined(QUANT_HAVE_NEON)
#if defined(__linux__)
    constexpr unsigned long kHalf = 1 << 10, kDot = 1 << 20;  // HWCAP_ASIMDHP and HWCAP_ASIMDDP
    if ((getauxval(AT_HWCAP) & (kHalf | kDot)) == (kHalf | kDot)) list.push_back(&kNeonTable);
#else
    list.push_back(&kNeonTable);  // every arm64 Mac
#endif
#endif
    list.push_back(&kPortableTable);
    return list;
  }();
  return found;
}

const Table* chosen = nullptr;
int threads = 1;
std::unique_ptr<Pool> the_pool;

}  // namespace

const Table& table() {
  if (!chosen) chosen = tables().front();
  return *chosen;
}

Pool& pool() {
  if (!the_pool) the_pool = std::make_unique<Pool>(threads);
  return *the_pool;
}

}  // namespace quant

using namespace quant;

QUANT_API const char* quant_instruction_sets(void) {
  static const std::string names = [] {
    std::string all;
    for (const Table* each : tables()) all += (all.empty() ? "" : " ") + std::string(each->name);
    return all;
  }();
  return names.c_str();
}

QUANT_API int32_t quant_use(const char* name) {
  for (const Table* each : tables()) {
    if (std::strcmp(each->name, name) == 0) {
      chosen = each;
      return QUANT_OK;
    }
  }
  return QUANT_UNKNOWN;
}

QUANT_API void quant_set_threads(int32_t count) {
  if (count == threads) return;
  threads = count;
  the_pool.reset();
}
