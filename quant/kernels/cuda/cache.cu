// A token on a cache in int8 or int4, appended to fused.cu: spans of 128 tokens in codes, and the newest in full in a ring
// of 144. Their layout is that of quant/kernels/cpu/api.h; a query sees the spans before its own in codes.

const int SPAN = 128, TAIL = 144, WARPS = 4;  // a thread a token of a span

// Keys and values of one layer, by key head.
struct Coded {
    unsigned char* key_codes;
    u16* key_scales;
    unsigned char* value_codes;
    u16* value_scales;
    const u16* keys;    // of the ring [TAIL][DIM]
    const u16* values;
    i64 spans;          // that there is room for
};

template <int BITS>
__device__ __forceinline__ int code_of(float x, float scale, float minimum) {
    const float step = __fdiv_rn(x - minimum, fmaxf(scale, 1e-30f));
    return (int)rintf(fminf(fmaxf(step, BITS == 8 ? -127.f : 0.f), BITS == 8 ? 127.f : 15.f));
}

// The scale of some numbers, as float16 keeps it, and of int4 the minimum; written at `to` and `to + minimums`.
template <int BITS>
__device__ __forceinline__ void scale_of(float low, float high, u16* to, int minimums, float& scale, float& minimum) {
    const u16 bits = to_half(BITS == 8 ? __fdiv_rn(fmaxf(high, -low), 127.f) : __fdiv_rn(high - low, 15.f));
    scale = of_half(bits), minimum = 0.f;
    *to = bits;
    if (BITS == 4) {
        to[minimums] = to_half(low);
        minimum = of_half(to[minimums]);
    }
}

// Code of lane r in column c, where a tile has 16 lanes and `columns` columns.
template <int BITS>
__device__ __forceinline__ void put_code(unsigned char* codes, int lane, int column, int columns, int code) {
    unsigned char* tile = codes + (i64)(lane / 16) * 16 * columns * BITS / 8 + (lane % 16) * 4;
    if (BITS == 8)
        tile[column / 4 * 64 + column % 4] = (unsigned char)code;
    else if (column % 8 < 4)
        tile[column / 8 * 64 + column % 4] = (unsigned char)(code | tile[column / 8 * 64 + column % 4] & 0xF0);
    else
        tile[column / 8 * 64 + column % 4] = (unsigned char)(code << 4 | tile[column / 8 * 64 + column % 4] & 0x0F);
}

// Encodes the span that the token at `position` completes, if it does; a block a key head, of SPAN threads. Of int4, the
// two codes of a byte are written by the same thread.
template <int DIM, int BITS>
__device__ __forceinline__ void encode_span(const Coded& cache, i64 at) {
    if ((at + 1) % SPAN) return;
    const i64 begin = at + 1 - SPAN, row = blockIdx.x * cache.spans + begin / SPAN;
    const u16* keys = cache.keys + (i64)blockIdx.x * TAIL * DIM;
    const u16* values = cache.values + (i64)blockIdx.x * TAIL * DIM;
    const int KEY_TOKENS = BITS == 8 ? SPAN : 32, CHANNELS = BITS == 8 ? DIM : 32;
    const int KEY_ROW = BITS == 8 ? DIM : SPAN / 32 * 2 * DIM, VALUE_ROW = BITS == 8 ? SPAN : (DIM + 31) / 32 * 2 * SPAN;
    unsigned char* key_codes = cache.key_codes + row * SPAN * DIM * BITS / 8;
    unsigned char* value_codes = cache.value_codes + row * SPAN * DIM * BITS / 8;
    u16 *key_scales = cache.key_scales + row * KEY_ROW, *value_scales = cache.value_scales + row * VALUE_ROW;
    float scale, minimum;
    // Keys: a pair of channels that share bytes of int4 are a thread's.
    for (int pair = threadIdx.x; pair < DIM / 2; pair += SPAN) {
        for (int half = 0; half < 2; half++) {
            const int channel = pair / 4 * 8 + pair % 4 + half * 4;
            for (int group = 0; group < SPAN / KEY_TOKENS; group++) {
                float low = 1e30f, high = -1e30f;
                for (int t = group * KEY_TOKENS; t < (group + 1) * KEY_TOKENS; t++) {
                    const float x = of_half(keys[(begin + t) % TAIL * DIM + channel]);
                    low = fminf(low, x), high = fmaxf(high, x);
                }
                scale_of<BITS>(low, high, key_scales + group * 2 * DIM + channel, DIM, scale, minimum);
                for (int t = group * KEY_TOKENS; t < (group + 1) * KEY_TOKENS; t++) {
                    const float x = of_half(keys[(begin + t) % TAIL * DIM + channel]);
                    put_code<BITS>(key_codes, t, channel, DIM, code_of<BITS>(x, scale, minimum));
                }
            }
        }
    }
    // Values: of a pair of tokens alike.
    if (threadIdx.x >= SPAN / 2) return;
    for (int half = 0; half < 2; half++) {
        const int token = threadIdx.x / 4 * 8 + threadIdx.x % 4 + half * 4;
        const u16* from = values + (begin + token) % TAIL * DIM;
        for (int first = 0; first < DIM; first += CHANNELS) {
            const int last = first + CHANNELS < DIM ? first + CHANNELS : DIM;
            float low = 1e30f, high = -1e30f;
            for (int c = first; c < last; c++) low = fminf(low, of_half(from[c])), high = fmaxf(high, of_half(from[c]));
            scale_of<BITS>(low, high, value_scales + first / CHANNELS * 2 * SPAN + token, SPAN, scale, minimum);
            for (int c = first; c < last; c++)
                put_code<BITS>(value_codes, c, token, SPAN, code_of<BITS>(of_half(from[c]), scale, minimum));
        }
    }
}

// What a block keeps of the spans that it attends to: of each of the SHARED query heads the largest score and the sum of
// the shares, and of a thread's channel what the shares add up to.
template <int DIM, int SHARED>
struct Attended {
    // Threads that have a channel each, side by side: each has a part of a span's tokens.
    static const int SIDES = SPAN / DIM;
    float most[SHARED], total[SHARED], out[SHARED];
};

// Takes one more span into account. `score` [SHARED] is that of the thread's token, -1e30 for none; leaves the shares in
// `shares` [SHARED][SPAN]. Every thread has the same `most` and `total`.
template <int DIM, int SHARED>
__device__ __forceinline__ void take_scores(Attended<DIM, SHARED>& state, const float* score, float* shares,
                                            float* across) {
    const int warp = threadIdx.x / 32;
    __syncthreads();  // nobody reads the shares of the span before any more
#pragma unroll
    for (int h = 0; h < SHARED; h++) {
        const float highest = warp_max(score[h]);
        if (threadIdx.x % 32 == 0) across[h * WARPS + warp] = highest;
    }
    __syncthreads();
    float share[SHARED];
#pragma unroll
    for (int h = 0; h < SHARED; h++) {
        float highest = state.most[h];
        for (int w = 0; w < WARPS; w++) highest = fmaxf(highest, across[h * WARPS + w]);
        const float shrink = __expf(state.most[h] - highest);
        state.most[h] = highest, state.total[h] *= shrink, state.out[h] *= shrink;
        share[h] = score[h] > -1e29f ? __expf(score[h] - highest) : 0.f;
        shares[h * SPAN + threadIdx.x] = share[h];
    }
    __syncthreads();
#pragma unroll
    for (int h = 0; h < SHARED; h++) {
        const float sum = warp_sum(share[h]);
        if (threadIdx.x % 32 == 0) across[h * WARPS + warp] = sum;
    }
    __syncthreads();
#pragma unroll
    for (int h = 0; h < SHARED; h++)
        for (int w = 0; w < WARPS; w++) state.total[h] += across[h * WARPS + w];
}

// Attention of one token over the cache: the spans in codes are shared out to all parts but the last of `gridDim.y`,
// which has the newest tokens. A block has one key head, and all query heads that share it.
template <int DIM, int SHARED, int BITS>
__device__ __forceinline__ void attend_coded(const Coded& cache, const float* queries, i64 at, float scale,
                                             float softcap, float* parts) {
    typedef Attended<DIM, SHARED> State;
    const int KEY_GROUPS = BITS == 8 ? 1 : SPAN / 32, VALUE_GROUPS = BITS == 8 ? 1 : (DIM + 31) / 32;
    const int CODES = 32 / BITS;  // in four bytes
    __shared__ float query[SHARED * DIM], scaled[KEY_GROUPS * SHARED * DIM], shares[SHARED * SPAN];
    __shared__ float across[SHARED * WARPS], base[KEY_GROUPS * SHARED];
    const int thread = threadIdx.x, channel = thread % DIM, side = thread / DIM, warp = thread / 32;
    for (int i = thread; i < SHARED * DIM; i += SPAN) query[i] = scale * queries[(i64)blockIdx.x * SHARED * DIM + i];
    State state;
#pragma unroll
    for (int h = 0; h < SHARED; h++) state.most[h] = -1e30f, state.total[h] = state.out[h] = 0.f;
    const i64 complete = at / SPAN, workers = gridDim.y - 1, each = (complete + workers - 1) / workers;
    const i64 begin = blockIdx.y * each, end = begin + each < complete ? begin + each : complete;
    __syncthreads();
    if (blockIdx.y < workers) {
        for (i64 span = begin; span < end; span++) {
            const i64 row = blockIdx.x * cache.spans + span;
            const u16* key_scales = cache.key_scales + row * (BITS == 8 ? DIM : KEY_GROUPS * 2 * DIM);
            const u16* value_scales = cache.value_scales + row * (BITS == 8 ? SPAN : VALUE_GROUPS * 2 * SPAN);
            const u32* keys = (const u32*)(cache.key_codes + row * SPAN * DIM * BITS / 8);
            const u32* values = (const u32*)(cache.value_codes + row * SPAN * DIM * BITS / 8);
            __syncthreads();
            for (int i = thread; i < KEY_GROUPS * SHARED * DIM; i += SPAN) {
                const int group = i / (SHARED * DIM), within = i % (SHARED * DIM);
                scaled[i] = query[within] * of_half(key_scales[group * 2 * DIM + within % DIM]);
            }
            if (BITS == 4)  // what the minimums add to every score of a group
                for (int i = warp; i < KEY_GROUPS * SHARED; i += WARPS) {
                    const u16* minimums = key_scales + (i / SHARED * 2 + 1) * DIM;
                    float sum = 0.f;
                    for (int c = thread % 32; c < DIM; c += 32) sum += query[i % SHARED * DIM + c] * of_half(minimums[c]);
                    sum = warp_sum(sum);
                    if (thread % 32 == 0) base[i] = sum;
                }
            __syncthreads();
            // A thread a token.
            const int group = BITS == 8 ? 0 : thread / 32;
            const float* q = scaled + group * SHARED * DIM;
            float score[SHARED];
#pragma unroll
            for (int h = 0; h < SHARED; h++) score[h] = BITS == 8 ? 0.f : base[group * SHARED + h];
#pragma unroll 4
            for (int j = 0; j < DIM / CODES; j++) {
                const u32 word = keys[(thread / 16 * (DIM / CODES) + j) * 16 + thread % 16];
                float number[CODES];
#pragma unroll
                for (int i = 0; i < CODES; i++)
                    number[i] = BITS == 8 ? (float)(signed char)(word >> 8 * i)
                                          : (float)(word >> (8 * (i % 4) + 4 * (i / 4)) & 15);
#pragma unroll
                for (int h = 0; h < SHARED; h++)
#pragma unroll
                    for (int i = 0; i < CODES; i++) score[h] += q[h * DIM + j * CODES + i] * number[i];
            }
            if (softcap > 0.f)
                for (int h = 0; h < SHARED; h++) score[h] = softcap * tanhf(score[h] / softcap);
            take_scores<DIM, SHARED>(state, score, shares, across);
            if (BITS == 8) {
                const float value_scale = of_half(value_scales[thread]);
                for (int h = 0; h < SHARED; h++) shares[h * SPAN + thread] *= value_scale;
                __syncthreads();
            }
            // A thread a channel, of a part of the tokens.
            const u16* group_scales = value_scales + channel / 32 * 2 * SPAN;
            const int loads = SPAN / CODES / State::SIDES;
#pragma unroll 4
            for (int j = side * loads; j < (side + 1) * loads; j++) {
                const u32 word = values[(channel / 16 * (SPAN / CODES) + j) * 16 + channel % 16];
#pragma unroll
                for (int i = 0; i < CODES; i++) {
                    const int token = j * CODES + i;
                    float number;
                    if (BITS == 8)
                        number = (float)(signed char)(word >> 8 * i);
                    else
                        number = (float)(word >> (8 * (i % 4) + 4 * (i / 4)) & 15) * of_half(group_scales[token]) +
                                 of_half(group_scales[SPAN + token]);
#pragma unroll
                    for (int h = 0; h < SHARED; h++) state.out[h] += shares[h * SPAN + token] * number;
                }
            }
        }
    } else {
        const u16* keys = cache.keys + (i64)blockIdx.x * TAIL * DIM;
        const u16* values = cache.values + (i64)blockIdx.x * TAIL * DIM;
        const i64 token = complete * SPAN + thread;
        float score[SHARED];
#pragma unroll
        for (int h = 0; h < SHARED; h++) score[h] = 0.f;
        for (int c = 0; c < DIM; c++) {
            const float key = token <= at ? of_half(keys[token % TAIL * DIM + c]) : 0.f;
#pragma unroll
            for (int h = 0; h < SHARED; h++) score[h] += query[h * DIM + c] * key;
        }
#pragma unroll
        for (int h = 0; h < SHARED; h++) {
            if (softcap > 0.f) score[h] = softcap * tanhf(score[h] / softcap);
            if (token > at) score[h] = -1e30f;
        }
        take_scores<DIM, SHARED>(state, score, shares, across);
        const i64 first = complete * SPAN;
        for (i64 t = first + side; t <= at; t += State::SIDES) {
            const float value = of_half(values[t % TAIL * DIM + channel]);
#pragma unroll
            for (int h = 0; h < SHARED; h++) state.out[h] += shares[h * SPAN + (t - first)] * value;
        }
    }
    // [head, part, DIM + 2]; first what the sides have.
    __syncthreads();
    for (int h = 0; h < SHARED; h++) {
        float* to = parts + (((i64)blockIdx.x * SHARED + h) * gridDim.y + blockIdx.y) * (DIM + 2);
        shares[thread] = state.out[h];
        __syncthreads();
        if (thread < DIM) {
            float sum = 0.f;
            for (int s = 0; s < State::SIDES; s++) sum += shares[s * DIM + thread];
            to[thread] = sum;
        }
        if (thread == 0) to[DIM] = state.most[h], to[DIM + 1] = state.total[h];
        __syncthreads();
    }
}

#define CODED(DIM, SHARED, BITS)                                                                                       \
    extern "C" __global__ void __launch_bounds__(SPAN)                                                                 \
        encode_##DIM##_##BITS(const __grid_constant__ Coded cache, const i64* position) {                              \
        encode_span<DIM, BITS>(cache, *position);                                                                      \
    }                                                                                                                  \
    extern "C" __global__ void __launch_bounds__(SPAN)                                                                 \
        attend_##DIM##_##SHARED##_##BITS(const __grid_constant__ Coded cache, const float* queries,                    \
                                         const i64* position, float scale, float softcap, float* parts) {              \
        attend_coded<DIM, SHARED, BITS>(cache, queries, *position, scale, softcap, parts);                             \
    }
