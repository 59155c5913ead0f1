/* Random words for vectors of elements: philox.h's, many at a time. */
#ifndef GH_WORDS_H
#define GH_WORDS_H

#include "bf16.h"
#include "philox.h"

/* gh_block_words of VW blocks from `block` on, a multiple of VW: words[i] has element i of each. Dropout draws more
 * numbers than all other ops together. A word stands in the low half of a lane of 64 bits, with anything above it, so
 * that one multiplication gives both halves of a product. */
inline void words_of_blocks(uvec *words, uint32 key0, uint32 key1, uint64 ordinal, uint64 block) {
  const wvec low = WVEC(0xFFFFFFFFu);
  wvec c[4][VW / WVEC_LANES];
  for (int part = 0; part < VW / WVEC_LANES; part++) {
    wvec c0 = WVEC((uint32)block + (uint32)(part * WVEC_LANES)) + wvec_index(), c1 = WVEC((uint32)(block >> 32));
    wvec c2 = WVEC((uint32)ordinal), c3 = WVEC((uint32)(ordinal >> 32));
    uint32 k0 = key0, k1 = key1;
    for (int round = 0; round < 10; round++) {
      const wvec left = (c0 & low) * WVEC(0xD2511F53u), right = (c2 & low) * WVEC(0xCD9E8D57u);
      c0 = (right >> 32) ^ c1 ^ WVEC(k0);
      c1 = right;
      c2 = (left >> 32) ^ c3 ^ WVEC(k1);
      c3 = left;
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    c[0][part] = c0;
    c[1][part] = c1;
    c[2][part] = c2;
    c[3][part] = c3;
  }
  for (int i = 0; i < 4; i++) words[i] = uvec_of_wvecs(c[i]);
}

/* The same in the order of elements: words[k] has elements k VW .. k VW + VW - 1 of these blocks. */
inline void words_of_elements(uvec *words, uint32 key0, uint32 key1, uint64 ordinal, uint64 block) {
  vec turned[4];
  words_of_blocks(words, key0, key1, ordinal, block);
  for (int k = 0; k < 4; k++) turned[k] = UINT_AS_VEC(words[k]);
  vec_interleave4(turned);
  for (int k = 0; k < 4; k++) words[k] = VEC_AS_UINT(turned[k]);
}

/* v as the lower or the higher bf16 number beside it, the nearer one more often: on average v. The lower half of the
 * random word decides. vec_store need not round the result. */
inline vec bf16_at_random(vec v, uvec random) {
  const uvec bits = VEC_AS_UINT(v), rounded = (bits + (random & 0xFFFFu)) & 0xFFFF0000u;
  return UINT_AS_VEC(BF16_IS_NAN(bits) ? bits : rounded);
}

#endif
