/* The layouts of GPU products in local memory (cl/gemm_layout.h): every number has one place, and no access of the
 * kernels' loops meets a bank twice. The model: 32 banks of 4 bytes; lanes that read the same word are served together.
 * Accesses of 4 bytes are served 32 lanes at a time, those of 16 bytes 8 at a time: adjacent ones, but for AMD's reads
 * on CDNA ("LDS and bank conflicts" of the documentation of Composable Kernel). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cl/gemm_layout.h"

enum { ITEMS = 256, BANKS = 32, MOST = 64 };

typedef enum order { ADJACENT, CDNA_READS } order;

/* The lane at place i of those that are served one after another. */
static int lane_at(int i, order how) {
  static const int eights[4][2] = {{0, 20}, {4, 16}, {8, 28}, {12, 24}}; /* of 32 lanes, four and four */
  return how == ADJACENT ? i : i / 32 * 32 + eights[i / 8 % 4][i / 4 % 2] + i % 4;
}

/* Words beyond the first of each bank, over all that are served together. `at`: each lane's first word. */
static int conflicts(const int *at, int lanes, int words, order how) {
  const int together = words == 4 ? 8 : 32;
  int found = 0;
  for (int first = 0; first < lanes; first += together) {
    int seen[BANKS][MOST], count[BANKS] = {0};
    for (int i = first; i < first + together; i++)
      for (int w = 0; w < words; w++) {
        const int word = at[lane_at(i, how)] + w, bank = word % BANKS;
        int other = 0;
        while (other < count[bank] && seen[bank][other] != word) other++;
        if (other < count[bank]) continue;
        seen[bank][count[bank]++] = word;
        found += count[bank] > 1;
      }
  }
  return found;
}

static void test_the_model(void **state) {
  (void)state;
  int at[64];
  for (int i = 0; i < 64; i++) at[i] = 32 * i;
  assert_int_equal(conflicts(at, 32, 1, ADJACENT), 31);
  assert_int_equal(conflicts(at, 64, 4, ADJACENT), 8 * 7 * 4);
  for (int i = 0; i < 64; i++) at[i] = i / 16 * 4;
  assert_int_equal(conflicts(at, 64, 4, ADJACENT), 0); /* the same words */
  for (int i = 0; i < 64; i++) at[i] = 4 * i;
  assert_int_equal(conflicts(at, 64, 4, ADJACENT), 0);
  for (int i = 0; i < 64; i++) at[i] = i % 16 * 20 + i / 16 * 4; /* rows of 64 bytes and 16 more */
  assert_int_equal(conflicts(at, 64, 4, ADJACENT), 0);
  assert_true(conflicts(at, 64, 4, CDNA_READS) > 0);
}

/* ---- tuned_gemm_gpu ---- */

static const int sums[][2] = {{4, 4}, {8, 8}, {8, 4}}; /* WORK, ACROSS */

/* One operand, stored along k or along its rows. */
static void check_floats(int tile, int depth, bool along) {
  static char filled[16][128];
  const int pitch = GEMM_GPU_PITCH(tile);
  memset(filled, 0, sizeof filled);
  for (int quad = 0; quad < tile * depth / 4; quad += 32)
    for (int e = 0; e < 4; e++) {
      int at[32];
      for (int lane = 0; lane < 32; lane++) {
        const int k = GEMM_QUAD_K(quad + lane, along, tile) + (along ? e : 0);
        const int row = GEMM_QUAD_ROW(quad + lane, along, tile) + (along ? 0 : e);
        assert_true(k < depth && row < tile && !filled[k][row]);
        filled[k][row] = 1;
        at[lane] = k * pitch + row;
      }
      if (along) assert_int_equal(conflicts(at, 32, 1, ADJACENT), 0);
      if (!along && e == 0) assert_int_equal(conflicts(at, 32, 4, ADJACENT), 0);
    }
}

/* B that is formed from an image: four numbers of one k, a quarter of the tile apart. */
static void check_image(int tile, int depth, bool along) {
  static char filled[16][128];
  memset(filled, 0, sizeof filled);
  for (int first = 0; first < tile * depth / 4; first += 32)
    for (int e = 0; e < 4; e++) {
      int at[32];
      for (int lane = 0; lane < 32; lane++) {
        const int k = GEMM_IMAGE_K(first + lane, along, tile), row = GEMM_IMAGE_ROW(first + lane, e, along, tile);
        assert_true(k < depth && row < tile && !filled[k][row]);
        filled[k][row] = 1;
        at[lane] = k * GEMM_GPU_PITCH(tile) + row;
      }
      assert_int_equal(conflicts(at, 32, 1, ADJACENT), 0);
    }
}

static void test_floats(void **state) {
  (void)state;
  for (size_t s = 0; s < sizeof sums / sizeof *sums; s++) {
    const int depth = GEMM_GPU_DEPTH(sums[s][0], sums[s][1]);
    for (int b = 0; b < 2; b++) {
      const int tile = GEMM_GPU_SIDE * sums[s][b], pitch = GEMM_GPU_PITCH(tile);
      for (int along = 0; along < 2; along++) check_floats(tile, depth, along);
      for (int along = 0; along < 2 && b; along++) check_image(tile, depth, along);
      for (int k = 0; k < depth; k++)
        for (int turn = 0; turn < sums[s][b] / 4; turn++)
          for (int wave = 0; wave < ITEMS; wave += 64) {
            int at[64];
            for (int lane = 0; lane < 64; lane++) {
              const int item = wave + lane, mine = b ? item % GEMM_GPU_SIDE : item / GEMM_GPU_SIDE;
              at[lane] = k * pitch + GEMM_GPU_FOUR(mine, turn);
              assert_true(at[lane] % 4 == 0 && GEMM_GPU_FOUR(mine, turn) + 3 < tile);
            }
            assert_int_equal(conflicts(at, 64, 4, ADJACENT), 0);
            assert_int_equal(conflicts(at, 64, 4, CDNA_READS), 0);
          }
    }
  }
}

/* ---- tuned_gemm_matrix ---- */

static int place(int row, int piece, int pieces) { return 4 * GEMM_PIECE_AT(row, piece, pieces); }

static void test_pieces_have_places(void **state) {
  (void)state;
  for (int tile = 64; tile <= 128; tile *= 2) {
    static char filled[4 * 128 * 4], brought[128][32];
    const int pieces = GEMM_MATRIX_DEPTH(tile) / 8;
    memset(filled, 0, sizeof filled);
    for (int row = 0; row < tile; row++)
      for (int piece = 0; piece < pieces; piece++) {
        const int at = GEMM_PIECE_AT(row, piece, pieces);
        assert_true(at >= 0 && at < tile * pieces && !filled[at]);
        filled[at] = 1;
        if (row >= 16) assert_int_equal(at, GEMM_PIECE_AT(row - 16, piece, pieces) + 16 * pieces);
      }
    for (int along = 0; along < 2; along++) {
      memset(brought, 0, sizeof brought);
      for (int item = 0; item < ITEMS; item++)
        for (int e = 0; e < 8; e++) /* four words of either piece, or a word of eight rows */
          brought[along ? GEMM_PIECE_ROW(item, e / 4, pieces) : GEMM_BLOCK_ROW(item, pieces) + e]
                 [along ? 4 * GEMM_PIECE_INDEX(item, e / 4, pieces) + e % 4 : GEMM_BLOCK_WORD(item, pieces)]++;
      for (int row = 0; row < tile; row++)
        for (int word = 0; word < 4 * pieces; word++) assert_int_equal(brought[row][word], 1);
    }
  }
}

static void test_pieces_are_kept_without_conflicts(void **state) {
  (void)state;
  for (int pieces = 4; pieces <= 8; pieces += 4)
    for (int wave = 0; wave < ITEMS; wave += 64) {
      int at[64];
      for (int turn = 0; turn < 2; turn++) {
        for (int lane = 0; lane < 64; lane++)
          at[lane] =
              place(GEMM_PIECE_ROW(wave + lane, turn, pieces), GEMM_PIECE_INDEX(wave + lane, turn, pieces), pieces);
        assert_int_equal(conflicts(at, 64, 4, ADJACENT), 0);
      }
      for (int e = 0; e < 8; e++) {
        for (int lane = 0; lane < 64; lane++) {
          const int word = GEMM_BLOCK_WORD(wave + lane, pieces);
          at[lane] = place(GEMM_BLOCK_ROW(wave + lane, pieces) + e, word / 4, pieces) + word % 4;
        }
        assert_int_equal(conflicts(at, 64, 1, ADJACENT), 0);
      }
    }
}

static void test_pieces_along_rows(void **state) {
  (void)state;
  for (int tile = 64; tile <= 128; tile *= 2) {
    static char filled[128 * 4];
    const int depth = GEMM_MATRIX_DEPTH(tile);
    memset(filled, 0, sizeof filled);
    for (int turn = 0; turn < 2; turn++)
      for (int wave = 0; wave < ITEMS; wave += 32) {
        int at[32];
        for (int lane = 0; lane < 32; lane++) {
          const int k = GEMM_TURNED_K(wave + lane, turn, tile), piece = GEMM_TURNED_PIECE(wave + lane, tile);
          const int place = GEMM_TURNED_AT(k, piece, tile);
          assert_true(k < depth && place < depth * tile / 8 && !filled[place]);
          filled[place] = 1;
          at[lane] = 4 * place;
        }
        assert_int_equal(conflicts(at, 32, 4, ADJACENT), 0);
      }
    for (int piece = 0; piece < tile / 8; piece++)
      for (int k = 0; k < depth; k += 8) { /* a matrix of ldmatrix */
        int at[8];
        for (int lane = 0; lane < 8; lane++) at[lane] = 4 * GEMM_TURNED_AT(k + lane, piece, tile);
        assert_int_equal(conflicts(at, 8, 4, ADJACENT), 0);
      }
  }
}

/* Whichever piece: lanes of 16 rows, all of one piece (WMMA, ldmatrix, DPAS' B) or each 16 of the next one (MFMA). */
static void test_fragments_are_read_without_conflicts(void **state) {
  (void)state;
  for (int pieces = 4; pieces <= 8; pieces += 4)
    for (int piece = 0; piece < pieces; piece++)
      for (int next = 0; next < 2; next++) {
        int at[64];
        if (next && piece % 4) continue;
        for (int lane = 0; lane < 64; lane++) at[lane] = place(lane % 16, piece + (next ? lane / 16 : 0), pieces);
        assert_int_equal(conflicts(at, 64, 4, ADJACENT), 0);
        assert_int_equal(conflicts(at, 64, 4, CDNA_READS), 0);
      }
}

/* Where A is read as a block. Waves have at most 16 lanes. Eight rows of one piece, B of a unit, take two turns. */
static void test_blocks_are_kept_without_conflicts(void **state) {
  (void)state;
  for (int pieces = 4; pieces <= 8; pieces += 4) {
    static char filled[128 * 4 * 20 / 16];
    const int tile = pieces == 8 ? 64 : 128;
    memset(filled, 0, sizeof filled);
    for (int row = 0; row < tile; row++)
      for (int piece = 0; piece < pieces; piece++) {
        const int at = GEMM_EIGHT_AT(row, piece, pieces), first = GEMM_EIGHT_AT(row / 8 * 8, piece / 2 * 2, pieces);
        assert_true(at >= 0 && at < tile * pieces / 16 * GEMM_EIGHT(pieces) && !filled[at]);
        filled[at] = 1;
        assert_int_equal(at, first + row % 8 * 2 + piece % 2);
        assert_int_equal(at, GEMM_EIGHT_AT(row % 8, piece, pieces) + GEMM_EIGHT_AT(row / 8 * 8, 0, pieces));
      }
    for (int wave = 0; wave < ITEMS; wave += 16) {
      int at[32];
      for (int turn = 0; turn < 2; turn++) {
        for (int lane = 0; lane < 16; lane++)
          at[lane] = 4 * GEMM_EIGHT_AT(GEMM_PIECE_ROW(wave + lane, turn, pieces),
                                       GEMM_PIECE_INDEX(wave + lane, turn, pieces), pieces);
        assert_int_equal(conflicts(at, 16, 4, ADJACENT), 0);
      }
      for (int e = 0; e < 8; e++) {
        for (int lane = 0; lane < 32; lane++) { /* the second half as the first: the same words */
          const int word = GEMM_BLOCK_WORD(wave + lane % 16, pieces),
                    row = GEMM_BLOCK_ROW(wave + lane % 16, pieces) + e;
          at[lane] = 4 * GEMM_EIGHT_AT(row, word / 4, pieces) + word % 4;
        }
        assert_int_equal(conflicts(at, 32, 1, ADJACENT), 0);
      }
    }
  }
}

/* B of the same units, as words of 8 or 16 columns: what 8 or 16 adjacent work-items bring, and what a block holds. */
static void test_words_are_kept_without_conflicts(void **state) {
  (void)state;
  for (int un = 8; un <= 16; un += 8)
    for (int tile = 64; tile <= 128; tile *= 2) {
      static char filled[128 * 4 * 5], brought[2][128][32];
      const int pieces = GEMM_MATRIX_DEPTH(tile) / 8;
      const int step = 4 * (tile * pieces / 16 * GEMM_EIGHT(pieces));
      memset(filled, 0, sizeof filled);
      memset(brought, 0, sizeof brought);
      for (int word = 0; word < 4 * pieces; word++)
        for (int column = 0; column < tile; column++) {
          const int at = GEMM_WORDS_AT(word, column, un, tile);
          const int block = GEMM_WORDS_AT(word / 8 * 8, column / un * un, un, tile);
          assert_true(at >= 0 && at < step && !filled[at]);
          filled[at] = 1;
          assert_int_equal(at, block + word % 8 * un + column % un);
          assert_int_equal(block % 4, 0);
        }
      for (int item = 0; item < ITEMS; item++)
        for (int e = 0; e < 8; e++) {
          const int row = GEMM_WORDS_ROW(item, pieces);
          brought[0][row][4 * GEMM_WORDS_PIECE(item, e / 4, pieces) + e % 4]++;
          brought[1][8 * GEMM_TURNED_PIECE(item, tile) + e][item / (tile / 8)]++;
        }
      for (int i = 0; i < 2 * tile * 4 * pieces; i++) assert_int_equal(brought[i % 2][i / 2 % tile][i / 2 / tile], 1);
      for (int wave = 0; wave < ITEMS; wave += un) {
        int at[32];
        for (int e = 0; e < 8; e++) {
          for (int lane = 0; lane < 32; lane++) /* the others as the first: the same words */
            at[lane] = GEMM_WORDS_AT(4 * GEMM_WORDS_PIECE(wave + lane % un, e / 4, pieces) + e % 4,
                                     GEMM_WORDS_ROW(wave + lane % un, pieces), un, tile);
          assert_int_equal(conflicts(at, 32, 1, ADJACENT), 0);
        }
        for (int turn = 0; turn < 2; turn++) {
          for (int lane = 0; lane < un; lane++)
            at[lane] = GEMM_WORDS_AT((wave + lane) / (tile / 8), 8 * GEMM_TURNED_PIECE(wave + lane, tile) + 4 * turn,
                                     un, tile);
          assert_int_equal(conflicts(at, un, 4, ADJACENT), 0);
        }
      }
    }
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_model),
                                     cmocka_unit_test(test_floats),
                                     cmocka_unit_test(test_pieces_have_places),
                                     cmocka_unit_test(test_pieces_are_kept_without_conflicts),
                                     cmocka_unit_test(test_pieces_along_rows),
                                     cmocka_unit_test(test_fragments_are_read_without_conflicts),
                                     cmocka_unit_test(test_blocks_are_kept_without_conflicts),
                                     cmocka_unit_test(test_words_are_kept_without_conflicts)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
