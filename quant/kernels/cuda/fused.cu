// What a token needs between its products, appended to products.cu: norms, rotation, attention, the residual stream.
// One token at a time. Whatever changes from token to token is read from memory, so that all of it can be recorded once.

// Root mean square norm of x [size], quantized; one block.
extern "C" __global__ void __launch_bounds__(1024)
    norm_quantize(const float* x, const float* weight, int size, float eps, signed char* codes, float* scales) {
    __shared__ float shared[32];
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
    float squares = 0.f;
    for (int i = threadIdx.x; i < size; i += blockDim.x) squares += x[i] * x[i];
    squares = warp_sum(squares);
    if (threadIdx.x % 32 == 0) shared[warp] = squares;
    __syncthreads();
    squares = warp_sum(threadIdx.x % 32 < warps ? shared[threadIdx.x % 32] : 0.f);
    const float factor = rsqrtf(squares / size + eps);
    for (int group = warp; group < size / 32; group += warps) {
        const int i = group * 32 + threadIdx.x % 32;
        store_group(x[i] * factor * weight[i], group, codes, scales);
    }
}

__device__ __forceinline__ float any_tile_product(const Matrix& matrix, int tile, const u32* codes, const float* scales) {
    return matrix.bits == 4 ? tile_product<4, 1>(matrix, tile, codes, scales)
                            : tile_product<8, 1>(matrix, tile, codes, scales);
}

// Up to three matrices with one input, a block a tile; their results, with biases, behind each other in y.
struct Stack {
    Matrix matrices[3];
    const float* biases[3];  // null for none
    int tiles[3];
};

extern "C" __global__ void __launch_bounds__(256)
    product_stack(const __grid_constant__ Stack stack, const u32* codes, const float* scales, float* y) {
    int tile = blockIdx.x, which = 0;
    while (tile >= stack.tiles[which]) {
        tile -= stack.tiles[which];
        y += stack.matrices[which].rows;
        which++;
    }
    const Matrix matrix = stack.matrices[which];
    const float value = any_tile_product(matrix, tile, codes, scales);
    const int row = tile * 16 + threadIdx.x;
    if (threadIdx.x < 16 && row < matrix.rows) y[row] = value + (stack.biases[which] ? stack.biases[which][row] : 0.f);
}

// residual [rows] += factor * (product + bias).
extern "C" __global__ void __launch_bounds__(256)
    product_add(Matrix matrix, const float* bias, const u32* codes, const float* scales, float factor, float* residual) {
    const float value = any_tile_product(matrix, blockIdx.x, codes, scales);
    const int row = blockIdx.x * 16 + threadIdx.x;
    if (threadIdx.x < 16 && row < matrix.rows) residual[row] += factor * (value + (bias ? bias[row] : 0.f));
}

// silu(gate) * up, both [size] behind each other, quantized; a warp a group.
extern "C" __global__ void gate_quantize(const float* gate_up, int size, signed char* codes, float* scales) {
    const int group = (blockIdx.x * blockDim.x + threadIdx.x) / 32, i = group * 32 + threadIdx.x % 32;
    if (group >= size / 32) return;
    const float gate = gate_up[i];
    store_group(gate / (1.f + __expf(-gate)) * gate_up[size + i], group, codes, scales);
}

__device__ __forceinline__ u16 to_half_at_most(float x) { return to_half(fminf(fmaxf(x, -65504.f), 65504.f)); }

// The heads of one token: norm of queries and keys where there is one, rotation, and keys and values into the cache.
// A warp a head; heads [queries, keys, values] behind each other in qkv, queries stay there. A cache that is a ring begins
// anew behind its capacity.
struct Heads {
    int queries, keys, head_dim, rotary_dim;  // key heads; as many value heads
    const float* query_norm;                  // null for none
    const float* key_norm;
    float eps;
    i64 capacity;                             // of the cache, tokens
};

extern "C" __global__ void place_heads(Heads shape, float* qkv, const float* cosines, const float* sines,
                                       const i64* position, u16* keys, u16* values) {
    const int head = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32;
    if (head >= shape.queries + 2 * shape.keys) return;
    const i64 at = *position, slot = at % shape.capacity;
    float* x = qkv + (i64)head * shape.head_dim;
    if (head >= shape.queries + shape.keys) {
        u16* to = values + ((i64)(head - shape.queries - shape.keys) * shape.capacity + slot) * shape.head_dim;
        for (int i = lane; i < shape.head_dim; i += 32) to[i] = to_half_at_most(x[i]);
        return;
    }
    const float* weight = head < shape.queries ? shape.query_norm : shape.key_norm;
    if (weight) {
        float squares = 0.f;
        for (int i = lane; i < shape.head_dim; i += 32) squares += x[i] * x[i];
        const float factor = rsqrtf(warp_sum(squares) / shape.head_dim + shape.eps);
        for (int i = lane; i < shape.head_dim; i += 32) x[i] *= factor * weight[i];
        __syncwarp();
    }
    const int half = shape.rotary_dim / 2;
    for (int i = lane; i < half; i += 32) {  // the sines of the first half are negated already
        const float first = x[i], second = x[i + half];
        const i64 angle = at * shape.rotary_dim + i;
        x[i] = first * cosines[angle] + second * sines[angle];
        x[i + half] = second * cosines[angle + half] + first * sines[angle + half];
    }
    if (head >= shape.queries) {
        __syncwarp();
        u16* to = keys + ((i64)(head - shape.queries) * shape.capacity + slot) * shape.head_dim;
        for (int i = lane; i < shape.head_dim; i += 32) to[i] = to_half_at_most(x[i]);
    }
}

__device__ __forceinline__ void eight_halves(const uint4& four, float* to) {
    const u32 pair[4] = {four.x, four.y, four.z, four.w};
    for (int i = 0; i < 4; i++) to[2 * i] = of_half(pair[i] & 0xFFFF), to[2 * i + 1] = of_half(pair[i] >> 16);
}

// Attention of one token over the cache, in `gridDim.y` parts of the positions (Dao et al., Flash-Decoding, 2023). A
// block has one key head, and a warp for each of the query heads that share it. Eight lanes have one position.
template <int DIM, int SHARED>
__device__ __forceinline__ void attend_part(const float* queries, const u16* keys, const u16* values, i64 capacity,
                                            i64 last, i64 window, float scale, float softcap, float* parts) {
    const int PIECE = DIM / 8;  // channels of a lane
    const int lane = threadIdx.x % 32, head = threadIdx.x / 32, piece = lane % 8, place = lane / 8;
    const i64 first = window > 0 && last + 1 > window ? last + 1 - window : 0;
    const i64 stretch = ((last + 1 - first + gridDim.y - 1) / gridDim.y + 31) / 32 * 32;
    const i64 begin = first + blockIdx.y * stretch;
    const i64 end = begin + stretch < last + 1 ? begin + stretch : last + 1;
    keys += blockIdx.x * capacity * DIM + piece * PIECE;
    values += blockIdx.x * capacity * DIM + piece * PIECE;
    float query[PIECE], out[PIECE] = {}, most = -1e30f, total = 0.f;
    for (int i = 0; i < PIECE; i++)
        query[i] = scale * queries[((i64)blockIdx.x * SHARED + head) * DIM + piece * PIECE + i];
    for (i64 start = begin; start < end; start += 32) {
        // All that a stretch needs is asked for before anything waits for it.
        uint4 key[8][PIECE / 8], value[8][PIECE / 8];
#pragma unroll
        for (int t = 0; t < 8; t++) {
            const i64 at = start + t * 4 + place, held = at < end ? at : end - 1;
            for (int i = 0; i < PIECE / 8; i++) {
                key[t][i] = *(const uint4*)(keys + held * DIM + i * 8);
                value[t][i] = *(const uint4*)(values + held * DIM + i * 8);
            }
        }
        float score[8], highest = most;
#pragma unroll
        for (int t = 0; t < 8; t++) {
            float dot = 0.f;
            for (int i = 0; i < PIECE / 8; i++) {
                float channels[8];
                eight_halves(key[t][i], channels);
                for (int j = 0; j < 8; j++) dot += query[i * 8 + j] * channels[j];
            }
            for (int step = 1; step < 8; step *= 2) dot += __shfl_xor_sync(~0u, dot, step);
            if (softcap > 0.f) dot = softcap * tanhf(dot / softcap);
            score[t] = start + t * 4 + place < end ? dot : -1e30f;
            highest = fmaxf(highest, score[t]);
        }
        for (int step = 8; step < 32; step *= 2) highest = fmaxf(highest, __shfl_xor_sync(~0u, highest, step));
        const float shrink = __expf(most - highest);
        most = highest;
        total *= shrink;
        for (int i = 0; i < PIECE; i++) out[i] *= shrink;
#pragma unroll
        for (int t = 0; t < 8; t++) {
            const float share = __expf(score[t] - highest);  // 0 where there is no position
            total += share;
            for (int i = 0; i < PIECE / 8; i++) {
                float channels[8];
                eight_halves(value[t][i], channels);
                for (int j = 0; j < 8; j++) out[i * 8 + j] += share * channels[j];
            }
        }
    }
    for (int step = 8; step < 32; step *= 2) {
        total += __shfl_xor_sync(~0u, total, step);
        for (int i = 0; i < PIECE; i++) out[i] += __shfl_xor_sync(~0u, out[i], step);
    }
    // [head, part, DIM + 2]
    float* to = parts + (((i64)blockIdx.x * SHARED + head) * gridDim.y + blockIdx.y) * (DIM + 2);
    if (place == 0)
        for (int i = 0; i < PIECE; i++) to[piece * PIECE + i] = out[i];
    if (lane == 0) to[DIM] = most, to[DIM + 1] = total;
}

// Joins the parts of a head, `count` of them, a multiple of 32, and quantizes it; a block of as many threads as channels.
extern "C" __global__ void join_parts(const float* parts, int count, signed char* codes, float* scales) {
    const int dim = blockDim.x, lane = threadIdx.x % 32, stride = dim + 2;
    const float* from = parts + (i64)blockIdx.x * count * stride;
    float highest = -1e30f, total = 0.f, value = 0.f;
    for (int part = lane; part < count; part += 32) highest = fmaxf(highest, from[part * stride + dim]);
    highest = warp_max(highest);
    for (int first = 0; first < count; first += 32) {
        const float* mine = from + (first + lane) * stride;
        const float share = __expf(mine[dim] - highest);
        total += share * mine[dim + 1];
#pragma unroll
        for (int part = 0; part < 32; part++)
            value += __shfl_sync(~0u, share, part) * from[(first + part) * stride + threadIdx.x];
    }
    store_group(value / warp_sum(total), (blockIdx.x * (i64)dim + threadIdx.x) / 32, codes, scales);
}

#define ATTEND(DIM, SHARED)                                                                                            \
    extern "C" __global__ void __launch_bounds__(32 * SHARED) attend_##DIM##_##SHARED(                                         \
        const float* queries, const u16* keys, const u16* values, i64 capacity, const i64* position, i64 window,       \
        float scale, float softcap, float* parts) {                                                                    \
        attend_part<DIM, SHARED>(queries, keys, values, capacity, *position, window, scale, softcap, parts);           \
    }
