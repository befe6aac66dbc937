#include "vec_neon.h"

#include "isa.h"

namespace quant {
extern const Table kNeonTable;
const Table kNeonTable = kTable;
}  // namespace quant
