// The instruction sets that were compiled in, and the one in use.

#pragma once

#include "pool.h"
#include "table.h"

namespace quant {

const Table& table();
Pool& pool();

}  // namespace quant
