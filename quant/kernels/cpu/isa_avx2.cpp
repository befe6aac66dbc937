#include "vec_avx2.h"

#include "isa.h"

namespace quant {
extern const Table kAvx2Table;
const Table kAvx2Table = kTable;
}  // namespace quant
