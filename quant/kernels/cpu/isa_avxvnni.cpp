#include "vec_avx2.h"

#include "isa.h"

namespace quant {
extern const Table kAvxvnniTable;
const Table kAvxvnniTable = kTable;
}  // namespace quant
