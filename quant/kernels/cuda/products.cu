// Products of int4 and int8 weights, in the tiles of quant/pack.py, with activations of 16 bits.
//
// An activation group of 32 is x = scale * (254 * high + low) with two int8 terms, so that a dot product is four
// __dp4a for 8 weights of int4, exact, and the weights are all that has to come from memory. A block multiplies one
// tile of 16 rows; a thread takes four of them by 32 columns at a time.
//
// No header is included: NVRTC compiles this where there is no CUDA toolkit.

typedef unsigned int u32;
typedef unsigned short u16;
typedef long long i64;

__device__ __forceinline__ float of_half(u16 bits) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    return value;
}

__device__ __forceinline__ u16 to_half(float value) {
    u16 bits;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    return bits;
}

__device__ __forceinline__ u32 to_bfloat16_pair(float first, float second) {
    u32 bits;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(bits) : "f"(second), "f"(first));
    return bits;
}

__device__ __forceinline__ float warp_sum(float value) {
    for (int step = 16; step; step /= 2) value += __shfl_xor_sync(~0u, value, step);
    return value;
}

__device__ __forceinline__ float warp_max(float value) {
    for (int step = 16; step; step /= 2) value = fmaxf(value, __shfl_xor_sync(~0u, value, step));
    return value;
}

// One warp makes codes of one group of 32 from a value a lane. Of 4 columns, `codes` has their high terms and then their
// low ones: 8 bytes.
__device__ __forceinline__ void store_group(float value, i64 group, signed char* codes, float* scales) {
    const int lane = threadIdx.x & 31;
    const float largest = warp_max(fabsf(value)), scale = largest / 127.f;
    const float in_steps = largest > 0.f ? value / scale : 0.f;
    const float high = rintf(in_steps), low = rintf((in_steps - high) * 254.f);
    signed char* place = codes + group * 64 + (lane / 4) * 8 + lane % 4;
    place[0] = (signed char)high;
    place[4] = (signed char)low;
    if (lane == 0) scales[group] = scale / 254.f;
}

// float32 [groups * 32] to codes; a warp a group.
extern "C" __global__ void quantize(const float* x, i64 groups, signed char* codes, float* scales) {
    const i64 group = (blockIdx.x * (i64)blockDim.x + threadIdx.x) / 32;
    if (group < groups) store_group(x[group * 32 + threadIdx.x % 32], group, codes, scales);
}

struct Matrix {
    const uint4* packed;
    const void* scales;     // float16 a group; float32 a row where `group_blocks` is 0
    const u16* minimums;    // null when symmetric
    int rows, blocks;       // blocks of 32 columns
    int group_blocks;       // of them in a group
    int bits;
};

__device__ __forceinline__ void four_halves(const u16* from, float* to) {
    const uint2 pair = *(const uint2*)from;
    to[0] = of_half(pair.x & 0xFFFF), to[1] = of_half(pair.x >> 16);
    to[2] = of_half(pair.y & 0xFFFF), to[3] = of_half(pair.y >> 16);
}

// What the threads of a block find for the 16 rows of a tile and TOKENS tokens, summed: in thread r * TOKENS + m below
// 16 * TOKENS, the product of row r and token m.
template <int BITS, int TOKENS>
__device__ __forceinline__ float tile_product(const Matrix& matrix, int tile, const u32* codes, const float* scales) {
    const int LOADS = BITS;  // of 4 rows, by 8 columns of int4 or 4 of int8
    const int thread = threadIdx.x, quad = thread & 3;
    const uint4* packed = matrix.packed + (i64)tile * matrix.blocks * LOADS * 4 + quad;
    const int groups = matrix.group_blocks ? matrix.blocks / matrix.group_blocks : 1;
    const i64 first_scale = (i64)tile * groups * 16 + quad * 4;
    float sums[4][TOKENS] = {};
    for (int block = thread / 4; block < matrix.blocks; block += blockDim.x / 4) {
        uint4 weights[LOADS];
#pragma unroll
        for (int load = 0; load < LOADS; load++) weights[load] = __ldcs(packed + (block * LOADS + load) * 4);
        float scale[4] = {1.f, 1.f, 1.f, 1.f}, minimum[4] = {};
        if (matrix.group_blocks) {
            const i64 place = first_scale + (i64)(block / matrix.group_blocks) * 16;
            four_halves((const u16*)matrix.scales + place, scale);
            if (BITS == 4) {
                if (matrix.minimums)
                    four_halves(matrix.minimums + place, minimum);
                else
                    for (int row = 0; row < 4; row++) minimum[row] = -8.f * scale[row];
            }
        }
#pragma unroll
        for (int token = 0; token < TOKENS; token++) {
            const i64 group = (i64)token * matrix.blocks + block;
            const uint4* place = (const uint4*)(codes + group * 16);
            int high[4] = {}, low[4] = {}, sum = 0;
#pragma unroll
            for (int load = 0; load < 4; load++) {  // of codes, 8 columns each
                const uint4 x = place[load];
                if (BITS == 4) {
                    const u32 word[4] = {weights[load].x, weights[load].y, weights[load].z, weights[load].w};
#pragma unroll
                    for (int row = 0; row < 4; row++) {
                        const int first = word[row] & 0x0F0F0F0F, second = (word[row] >> 4) & 0x0F0F0F0F;
                        high[row] = __dp4a(first, (int)x.x, __dp4a(second, (int)x.z, high[row]));
                        low[row] = __dp4a(first, (int)x.y, __dp4a(second, (int)x.w, low[row]));
                    }
                    sum = __dp4a(0x01010101, (int)x.y, __dp4a(0x01010101, (int)x.w, sum));
                    sum += 254 * __dp4a(0x01010101, (int)x.x, __dp4a(0x01010101, (int)x.z, 0));
                } else {
                    const uint4 w = weights[2 * load % LOADS], v = weights[(2 * load + 1) % LOADS];
                    const int first[4] = {(int)w.x, (int)w.y, (int)w.z, (int)w.w};
                    const int second[4] = {(int)v.x, (int)v.y, (int)v.z, (int)v.w};
#pragma unroll
                    for (int row = 0; row < 4; row++) {
                        high[row] = __dp4a(first[row], (int)x.x, __dp4a(second[row], (int)x.z, high[row]));
                        low[row] = __dp4a(first[row], (int)x.y, __dp4a(second[row], (int)x.w, low[row]));
                    }
                }
            }
            const float step = scales[group];
#pragma unroll
            for (int row = 0; row < 4; row++) {
                sums[row][token] += scale[row] * (step * (float)(high[row] * 254 + low[row]));
                if (BITS == 4) sums[row][token] += minimum[row] * (step * (float)sum);
            }
        }
    }
    __shared__ float shared[8][16 * TOKENS];
#pragma unroll
    for (int row = 0; row < 4; row++)
#pragma unroll
        for (int token = 0; token < TOKENS; token++) {
            float value = sums[row][token];
            for (int step = 4; step < 32; step *= 2) value += __shfl_xor_sync(~0u, value, step);
            if ((thread & 31) < 4) shared[thread / 32][(quad * 4 + row) * TOKENS + token] = value;
        }
    __syncthreads();
    float result = 0.f;
    if (thread < 16 * TOKENS) {
        for (int warp = 0; warp < blockDim.x / 32; warp++) result += shared[warp][thread];
        const int row = tile * 16 + thread / TOKENS;
        if (!matrix.group_blocks) result *= ((const float*)matrix.scales)[row];
    }
    return result;
}

// y [TOKENS, rows] = x times the matrix transposed.
template <int BITS, int TOKENS>
__device__ __forceinline__ void product(Matrix matrix, const u32* codes, const float* scales, float* y) {
    const float value = tile_product<BITS, TOKENS>(matrix, blockIdx.x, codes, scales);
    const int row = blockIdx.x * 16 + threadIdx.x / TOKENS, token = threadIdx.x % TOKENS;
    if (threadIdx.x < 16 * TOKENS && row < matrix.rows) y[(i64)token * matrix.rows + row] = value;
}

#define PRODUCT(BITS, TOKENS)                                                                                          \
    extern "C" __global__ void __launch_bounds__(256)                                                                  \
        product_int##BITS##_##TOKENS(Matrix matrix, const u32* codes, const float* scales, float* y) {                  \
        product<BITS, TOKENS>(matrix, codes, scales, y);                                                               \
    }
PRODUCT(4, 1)
PRODUCT(4, 2)
PRODUCT(4, 4)
PRODUCT(4, 8)
PRODUCT(8, 1)
PRODUCT(8, 2)
PRODUCT(8, 4)
PRODUCT(8, 8)

// Weights of some tiles as bfloat16 [16 * tiles, columns]; a thread expands 16 bytes.
template <int BITS>
__device__ __forceinline__ void expand(Matrix matrix, int first_tile, u32* out) {
    const int lanes = BITS == 4 ? 16 : 32, total = matrix.blocks * lanes;
    const int index = blockIdx.y * blockDim.x + threadIdx.x;
    if (index >= total) return;
    const int tile = first_tile + blockIdx.x, quad = index & 3, load = (index / 4) % (lanes / 4), block = index / lanes;
    const uint4 weights = __ldcs(matrix.packed + (i64)tile * total + index);
    const u32 word[4] = {weights.x, weights.y, weights.z, weights.w};
    const int groups = matrix.group_blocks ? matrix.blocks / matrix.group_blocks : 1;
    const i64 place = ((i64)tile * groups + (matrix.group_blocks ? block / matrix.group_blocks : 0)) * 16 + quad * 4;
    for (int row = 0; row < 4; row++) {
        const float scale = matrix.group_blocks ? of_half(((const u16*)matrix.scales)[place + row])
                                                : ((const float*)matrix.scales)[place + row];
        u32* to = out + ((i64)blockIdx.x * 16 + quad * 4 + row) * matrix.blocks * 16 + block * 16;
        if (BITS == 4) {
            const float minimum = matrix.minimums ? of_half(matrix.minimums[place + row]) : -8.f * scale;
            float value[8];
            for (int i = 0; i < 4; i++) {
                value[i] = (float)(word[row] >> (8 * i) & 15) * scale + minimum;
                value[4 + i] = (float)(word[row] >> (8 * i + 4) & 15) * scale + minimum;
            }
            *(uint4*)(to + load * 4) = make_uint4(to_bfloat16_pair(value[0], value[1]), to_bfloat16_pair(value[2], value[3]),
                                                  to_bfloat16_pair(value[4], value[5]), to_bfloat16_pair(value[6], value[7]));
        } else {
            float value[4];
            for (int i = 0; i < 4; i++) value[i] = (float)(signed char)(word[row] >> (8 * i)) * scale;
            *(uint2*)(to + load * 2) = make_uint2(to_bfloat16_pair(value[0], value[1]), to_bfloat16_pair(value[2], value[3]));
        }
    }
}
extern "C" __global__ void expand_int4(Matrix matrix, int first_tile, u32* out) { expand<4>(matrix, first_tile, out); }
extern "C" __global__ void expand_int8(Matrix matrix, int first_tile, u32* out) { expand<8>(matrix, first_tile, out); }
