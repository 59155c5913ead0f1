/* Random words for vectors of elements: philox.h's, many at a time. */
#ifndef GH_WORDS_H
#define GH_WORDS_H

#include "bf16.h"
#include "philox.h"

#ifdef CPU_SHAPE /* once for a loop's numbers: the keys of the rounds stay in registers */
#define WORDS_FN inline __attribute__((always_inline))
#else
#define WORDS_FN inline
#endif

/* gh_block_words of VW blocks from `block` on, a multiple of VW, in the order of elements: words[k] has elements k VW
 * .. k VW + VW - 1 of these blocks. Dropout draws more numbers than all other ops together. A word stands in the low
 * half of a lane of 64 bits, with anything above it, so that one multiplication gives both halves of a product. */
WORDS_FN void words_of_elements(uvec *words, uint32 key0, uint32 key1, uint64 ordinal, uint64 block) {
  const wvec low = WVEC(0xFFFFFFFFu);
#pragma unroll
  for (int part = 0; part < VW / WVEC_LANES; part++) {
    wvec c0 = WVEC((uint32)block + (uint32)(part * WVEC_LANES)) + wvec_blocks(), c1 = WVEC((uint32)(block >> 32));
    wvec c2 = WVEC((uint32)ordinal), c3 = WVEC((uint32)(ordinal >> 32));
    uint32 k0 = key0, k1 = key1;
#pragma unroll
    for (int round = 0; round < 10; round++) {
      const wvec left = (c0 & low) * WVEC(0xD2511F53u), right = (c2 & low) * WVEC(0xCD9E8D57u);
      c0 = (right >> 32) ^ c1 ^ WVEC(k0);
      c1 = right;
      c2 = (left >> 32) ^ c3 ^ WVEC(k1);
      c3 = left;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    uvecs_of_wvecs(words + part * (4 * WVEC_LANES / VW), c0, c1, c2, c3);
  }
}

/* v as the lower or the higher bf16 number beside it, the nearer one more often: on average v. The lower half of the
 * random word decides. vec_store need not round the result. */
inline vec bf16_at_random(vec v, uvec random) {
  const uvec bits = VEC_AS_UINT(v), rounded = (bits + (random & 0xFFFFu)) & 0xFFFF0000u;
  return UINT_AS_VEC(BF16_IS_NAN(bits) ? bits : rounded);
}

#endif
