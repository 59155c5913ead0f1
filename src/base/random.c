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

void gh_stream_normals(gh_stream stream, uint64_t ordinal, int64_t first_element, int64_t n, float *out) {
  for (int64_t done = 0; done < n;) { /* blocks of four */
    uint64_t element = (uint64_t)first_element + (uint64_t)done;
    gh_floats v = gh_block_normals(stream.key[0], stream.key[1], ordinal, element >> 2);
    const float x[4] = {v.a, v.b, v.c, v.d};
    for (int lane = (int)(element & 3); lane < 4 && done < n; lane++) out[done++] = x[lane];
  }
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
