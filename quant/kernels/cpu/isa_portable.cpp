#include "vec_portable.h"

#include "isa.h"

namespace quant {
extern const Table kPortableTable;
const Table kPortableTable = kTable;
}  // namespace quant
