#include "vec_avx512.h"

#include "isa.h"

namespace quant {
extern const Table kAvx512Table;
const Table kAvx512Table = kTable;
}  // namespace quant
