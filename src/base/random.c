#include "base/random.h"

#include "cl/philox.h"

#include <xxhash.h>

/* Little endian on every machine: checkpoints move between machines. */
static void put64(unsigned char *out, uint64_t value) {
  for (int i = 0; i < 8; i++) out[i] = (unsigned char)(value >> 8 * i);
}

gh_stream gh_stream_make(uint64_t seed, int stage, const char *purpose, const char *name) {
  unsigned char identity[32];
  put64(identity, seed);
  put64(identity + 8, (uint64_t)stage);
  put64(identity + 16, XXH64(purpose, strlen(purpose), 0));
  put64(identity + 24, XXH64(name, strlen(name), 0));
  uint64_t key = XXH64(identity, sizeof identity, 0);
  return (gh_stream){{(uint32_t)key, (uint32_t)(key >> 32)}};
}

void gh_stream_uniforms(gh_stream stream, uint64_t ordinal, int64_t first_element, int64_t n, float *out) {
  for (int64_t i = 0; i < n; i++)
    out[i] = gh_uniform_at(stream.key[0], stream.key[1], ordinal, (uint64_t)(first_element + i));
}

typedef gh_floats block_of(gh_u32 key0, gh_u32 key1, gh_u64 ordinal, gh_u64 block);

static void blocks(block_of *block, gh_stream stream, uint64_t ordinal, int64_t first_element, int64_t n, float *out) {
  for (int64_t done = 0; done < n;) { /* blocks of four */
    uint64_t element = (uint64_t)first_element + (uint64_t)done;
    gh_floats v = block(stream.key[0], stream.key[1], ordinal, element >> 2);
    const float x[4] = {v.a, v.b, v.c, v.d};
    for (int lane = (int)(element & 3); lane < 4 && done < n; lane++) out[done++] = x[lane];
  }
}

void gh_stream_normals(gh_stream stream, uint64_t ordinal, int64_t first_element, int64_t n, float *out) {
  blocks(gh_block_normals, stream, ordinal, first_element, n, out);
}

void gh_stream_gumbels(gh_stream stream, uint64_t ordinal, int64_t first_element, int64_t n, float *out) {
  blocks(gh_block_gumbels, stream, ordinal, first_element, n, out);
}

uint64_t gh_stream_below(gh_stream stream, uint64_t ordinal, int64_t element, uint64_t n) {
  gh_words w = gh_block_words(stream.key[0], stream.key[1], ordinal, (uint64_t)element);
  uint64_t bits = (uint64_t)w.a << 32 | w.b;
  return (uint64_t)((unsigned __int128)bits * n >> 64);
}

uint64_t gh_permute(gh_stream stream, uint64_t position, uint64_t n) {
  return gh_permuted(stream.key[0], stream.key[1], n, position, n);
}

uint64_t gh_permute_at(gh_stream stream, uint64_t ordinal, uint64_t position, uint64_t n) {
  return gh_permuted(stream.key[0], stream.key[1], ordinal, position, n);
}

int64_t gh_categorical_at(gh_stream stream, uint64_t ordinal, int64_t row, const float *logits, int64_t k,
                          double temperature) {
  const float inverse = (float)(1 / temperature);
  float best = -INFINITY;
  int64_t at = 0;
  for (int64_t i = 0; i < k; i++) {
    float score =
        fmaf(logits[i], inverse, gh_gumbel_at(stream.key[0], stream.key[1], ordinal, (uint64_t)(row * k + i)));
    if (score > best) best = score, at = i;
  }
  return at;
}

void gh_mask_at(gh_stream ratio, gh_stream order, uint64_t ordinal, int64_t n, double low, double high, int32_t *mask) {
  float u = gh_uniform_at(ratio.key[0], ratio.key[1], ordinal, 0);
  int masked = gh_mask_count(u, (float)low, (float)high, (int)n);
  for (int64_t i = 0; i < n; i++) {
    float mine = gh_uniform_at(order.key[0], order.key[1], ordinal, (uint64_t)i);
    int before = 0;
    for (int64_t k = 0; k < n && before < masked; k++) {
      float other = gh_uniform_at(order.key[0], order.key[1], ordinal, (uint64_t)k);
      before += other < mine || (other == mine && k < i);
    }
    mask[i] = before < masked;
  }
}

int64_t gh_mask_most(int64_t n, double high) { return gh_mask_count(1, (float)high, (float)high, (int)n); }
