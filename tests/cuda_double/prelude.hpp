/* CUDA's words that the kernels use, for a host compiler. The work-items of a block run in turn on one thread,
 * so that the indices and shared memory are plain variables; __syncthreads() goes to the scheduler (fibers.c). There
 * are no warps, and no inline PTX. */
#pragma GCC diagnostic ignored "-Wattributes"
#include <utility>

#include "module.h"

static gh_double_index threadIdx, blockIdx, blockDim, gridDim;
static void (*gh_double_barrier)(void);

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __noinline__    __attribute__((noinline))
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __align__(n)    __attribute__((aligned(n)))
#define __constant__    static const
#define __shared__      static __attribute__((section("gh_double_shared")))
#define __syncthreads() gh_double_barrier()
#define __threadfence()
#define __threadfence_block()
constexpr int warpSize = 32;
#ifndef NULL
#define NULL __null
#endif

/* ---- numbers ---- */

#define WORD static inline __attribute__((always_inline, unused))

WORD float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
WORD float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
WORD double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
WORD float __fmaf_rn(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
WORD float __fadd_rn(float a, float b) { return a + b; }
WORD float __fsub_rn(float a, float b) { return a - b; }
WORD float __fmul_rn(float a, float b) { return a * b; }
WORD float __fdiv_rn(float a, float b) { return a / b; }
WORD float __fsqrt_rn(float a) { return __builtin_sqrtf(a); }
WORD float sqrtf(float a) { return __builtin_sqrtf(a); }
WORD float sqrt(float a) { return __builtin_sqrtf(a); }
WORD float fabsf(float a) { return __builtin_fabsf(a); }
WORD float fabs(float a) { return __builtin_fabsf(a); }
WORD float copysignf(float a, float b) { return __builtin_copysignf(a, b); }
WORD float copysign(float a, float b) { return __builtin_copysignf(a, b); }
WORD float floorf(float a) { return __builtin_floorf(a); }
WORD float floor(float a) { return __builtin_floorf(a); }
WORD float rintf(float a) { return __builtin_rintf(a); }
WORD float rint(float a) { return __builtin_rintf(a); }
WORD float ldexpf(float a, int n) { return __builtin_ldexpf(a, n); }
WORD float ldexp(float a, int n) { return __builtin_ldexpf(a, n); }
/* Like PTX's max.f32 and min.f32: a number wins over NaN. */
WORD float fmaxf(float a, float b) { return a > b || b != b ? a : b; }
WORD float fminf(float a, float b) { return a < b || b != b ? a : b; }
WORD float fmax(float a, float b) { return fmaxf(a, b); }
WORD float fmin(float a, float b) { return fminf(a, b); }

WORD int __float_as_int(float a) { return __builtin_bit_cast(int, a); }
WORD unsigned __float_as_uint(float a) { return __builtin_bit_cast(unsigned, a); }
WORD float __int_as_float(int a) { return __builtin_bit_cast(float, a); }
WORD float __uint_as_float(unsigned a) { return __builtin_bit_cast(float, a); }
WORD unsigned __umulhi(unsigned a, unsigned b) { return (unsigned)((unsigned long long)a * b >> 32); }
WORD int __mulhi(int a, int b) { return (int)((long long)a * b >> 32); }
WORD int __float2int_rn(float a) { return (int)__builtin_rintf(a); }
WORD int __clz(int a) { return a ? __builtin_clz((unsigned)a) : 32; }
WORD int __popc(unsigned a) { return __builtin_popcount(a); }
template <class T> WORD T __ldg(const T *p) { return *p; }

/* The overloads of CUDA's own min and max; a pair that it finds ambiguous is ambiguous here. */
#define GH_DOUBLE_MIN_MAX(type)                                                                                        \
  WORD type min(type a, type b) { return b < a ? b : a; }                                                              \
  WORD type max(type a, type b) { return a < b ? b : a; }
GH_DOUBLE_MIN_MAX(int)
GH_DOUBLE_MIN_MAX(unsigned)
GH_DOUBLE_MIN_MAX(long)
GH_DOUBLE_MIN_MAX(unsigned long)
GH_DOUBLE_MIN_MAX(long long)
GH_DOUBLE_MIN_MAX(unsigned long long)
#undef GH_DOUBLE_MIN_MAX
WORD unsigned min(int a, unsigned b) { return min((unsigned)a, b); }
WORD unsigned min(unsigned a, int b) { return min(a, (unsigned)b); }
WORD unsigned max(int a, unsigned b) { return max((unsigned)a, b); }
WORD unsigned max(unsigned a, int b) { return max(a, (unsigned)b); }
WORD float min(float a, float b) { return fminf(a, b); }
WORD float max(float a, float b) { return fmaxf(a, b); }
#undef WORD

/* ---- vectors ---- */

#define GH_DOUBLE_VECTOR(type, name)                                                                                   \
  struct alignas(2 * sizeof(type)) name##2 {                                                                           \
    type x, y;                                                                                                         \
  };                                                                                                                   \
  struct alignas(4 * sizeof(type)) name##4 {                                                                           \
    type x, y, z, w;                                                                                                   \
  };                                                                                                                   \
  static inline name##2 make_##name##2(type x, type y) { return name##2 {x, y}; }                                      \
  static inline name##4 make_##name##4(type x, type y, type z, type w) { return name##4 {x, y, z, w}; }
GH_DOUBLE_VECTOR(float, float)
GH_DOUBLE_VECTOR(int, int)
GH_DOUBLE_VECTOR(unsigned, uint)
GH_DOUBLE_VECTOR(unsigned short, ushort)
#undef GH_DOUBLE_VECTOR

/* ---- a kernel's arguments, from its type ---- */

template <auto kernel> struct gh_double_unpacked;
template <class... A, void (*kernel)(A...)> struct gh_double_unpacked<kernel> {
  template <std::size_t... I> static void each(void *const *p, std::index_sequence<I...>) {
    kernel(*static_cast<std::remove_cv_t<A> *>(p[I])...);
  }
  static void run(void *const *p) { each(p, std::index_sequence_for<A...>{}); }
  static constexpr int count = sizeof...(A);
  static constexpr unsigned short sizes[] = {sizeof(A)..., 0};
  static constexpr bool pointers[] = {std::is_pointer_v<A>..., false};
};
#define GH_DOUBLE_KERNEL(name)                                                                                         \
  {#name, gh_double_unpacked<name>::run, gh_double_unpacked<name>::count, gh_double_unpacked<name>::sizes,             \
   gh_double_unpacked<name>::pointers}

#define GH_DOUBLE_PROGRAM(version, arch, count)                                                                        \
  extern "C" __attribute__((visibility("default"))) const gh_double_table_t gh_double_table = {                        \
      version,   arch,     count,              gh_double_kernels,        &threadIdx,             &blockIdx,            \
      &blockDim, &gridDim, &gh_double_barrier, __start_gh_double_shared, __stop_gh_double_shared};

__shared__ __attribute__((used)) char gh_double_some_shared[16]; /* so that the section exists */
extern "C" char __start_gh_double_shared[] __attribute__((visibility("hidden")));
extern "C" char __stop_gh_double_shared[] __attribute__((visibility("hidden")));
