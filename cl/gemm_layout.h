/* Where the tiles of a GPU's matrix products lie in local memory, and which work-item brings what. The kernels and a
 * test that counts the conflicts of banks share these words.
 *
 * An operand op(X) is a tile of rows (of A; columns of B) times DEPTH of k. It is stored along k, or along its rows. */
#ifndef GEMM_LAYOUT_H
#define GEMM_LAYOUT_H
#include "launch.h"

#define GEMM_GPU_DEPTH(work, across) ((work) * (across) == 64 ? 8 : 16)
#define GEMM_MATRIX_DEPTH(tile)      ((tile) == 64 ? 64 : 32)

/* ---- tuned_gemm_gpu: floats, all rows of one k after one another ---- */

/* Floats from one k to the next. With 4 more than rows, lanes that store the same row at k's four apart, and 15 rows
 * beside it, meet different banks; and 4 floats of a k still begin at a multiple of 16 bytes. */
#define GEMM_GPU_PITCH(tile) ((tile) + 4)

/* Bytes of local memory at most: two steps of both operands, where one tile has 128 rows and the other 64. */
#define GEMM_GPU_LOCAL (2 * 16 * (GEMM_GPU_PITCH(128) + GEMM_GPU_PITCH(64)) * 4)

/* The first row and k of four adjacent numbers, `at` in 0 .. tile * depth / 4. Along k two lanes bring 8 k's of a row,
 * 32 bytes of float32; along rows, lanes bring adjacent numbers. */
#define GEMM_QUAD_ROW(at, along, tile) ((along) ? (at) / 2 % (tile) : (at) % ((tile) / 4) * 4)
#define GEMM_QUAD_K(at, along, tile)   ((along) ? (at) / (2 * (tile)) * 8 + (at) % 2 * 4 : (at) / ((tile) / 4))

/* The first of four adjacent rows (columns) that a work-item reads together; `turn`: which four. */
#define GEMM_GPU_FOUR(lane, turn) ((lane)*4 + (turn)*4 * GEMM_GPU_SIDE)

/* B formed from an image (gemm_image.h): a work-item brings four numbers of one k, of rows that are a quarter of the
 * tile apart; so adjacent work-items read adjacent pixels. Stored along k, eight of them bring adjacent k's. */
#define GEMM_IMAGE_ROW(at, e, along, tile)                                                                             \
  ((along) ? (at) / 8 % ((tile) / 4) + (e) * ((tile) / 4) : (at) % ((tile) / 4) + (e) * ((tile) / 4))
#define GEMM_IMAGE_K(at, along, tile)                                                                                  \
  ((along)         ? (at) % 8 + (at) / (2 * (tile)) * 8                                                                \
   : (tile) == 128 ? (at) / 32                                                                                         \
                   : (at) / 16 % 2 * 4 + (at) / 32 % 4 + (at) / 128 * 8)

/* ---- tuned_gemm_matrix: numbers of 16 bits, in pieces of 16 bytes, eight k's of a row ---- */

/* The place of a piece, in pieces; 4 or 8 (`pieces`) make a row. Eight adjacent rows lie in different banks, whichever
 * piece of them is read; so do the words of any 32 k's of a row, and of another row 8 further. Rows 16 apart are 16
 * `pieces` apart. */
#define GEMM_PIECE_AT(row, piece, pieces)                                                                              \
  ((pieces) == 8 ? (row)*8 + ((piece) ^ ((row) % 8))                                                                   \
                 : (row) / 2 * 8 + (((row) % 2) ^ ((row) / 8 % 2)) * 4 + ((piece) ^ ((row) / 2 % 4)))

/* The row and piece of turn 0 or 1 of a work-item that brings pieces of an operand along k. */
#define GEMM_PIECE_ROW(item, turn, pieces)   (((turn)*GEMM_MATRIX_ITEMS + (item)) / (pieces))
#define GEMM_PIECE_INDEX(item, turn, pieces) (((turn)*GEMM_MATRIX_ITEMS + (item)) % (pieces))

/* Along rows it brings eight rows of two k's: the first row, and the pair of k's, which is a word of each row. */
#define GEMM_BLOCK_ROW(item, pieces)  ((item) / (4 * (pieces)) * 8)
#define GEMM_BLOCK_WORD(item, pieces) ((item) % (4 * (pieces)))

/* For units that transpose what they read, such an operand stays along its rows: a piece is eight rows of one k. Eight
 * adjacent k's of a piece lie in different banks, and so do eight adjacent pieces of a k. */
#define GEMM_TURNED_AT(k, piece, tile)  ((k) * ((tile) / 8) + ((piece) ^ ((k) % 8)))
#define GEMM_TURNED_PIECE(item, tile)   ((item) % ((tile) / 8))
#define GEMM_TURNED_K(item, turn, tile) ((item) / ((tile) / 8) + (turn) * (GEMM_MATRIX_ITEMS * 8 / (tile)))

/* For units that read A as a block: eight rows of 16 k's lie one after another, and GEMM_EIGHT pieces further begins
 * the next 16 k's, then the next eight rows. There are 2 or 4 pieces more than such a block holds, so that what 8
 * adjacent work-items bring along k, or 16 along rows, lies in different banks. */
#define GEMM_EIGHT(pieces) ((pieces) == 8 ? 18 : 20)
#define GEMM_EIGHT_AT(row, piece, pieces)                                                                              \
  (((row) / 8 * ((pieces) / 2) + (piece) / 2) * GEMM_EIGHT(pieces) + (row) % 8 * 2 + (piece) % 2)

/* They read B as a block, too: eight words, pairs of k's, of each of `un` columns, 8 or 16; the columns of a word lie
 * side by side. GEMM_WORDS_AT is the place of a word in words. There are 16 bytes more between columns, and 16 or 32
 * between steps of 8 words, so that what 8 or 16 adjacent work-items bring lies in different banks: along k, words of
 * one row in two turns; along rows, one word of eight. */
#define GEMM_WORDS_STEP(tile) ((tile) / 8 * 17 + (tile) / 64) /* pieces of 8 words of all columns */
#define GEMM_WORDS_AT(word, column, un, tile)                                                                          \
  (4 * ((word) / 8 * GEMM_WORDS_STEP(tile) +                                                                           \
        ((un) == 8 ? (column) / 8 * 17 : (column) / 16 * 32 + (column) / 16 % 2 + (column) / 32 * 4)) +                \
   (word) % 8 * (un) + (column) % (un))
#define GEMM_WORDS_ROW(item, pieces)         ((item) / ((pieces) / 2))
#define GEMM_WORDS_PIECE(item, turn, pieces) ((item) % ((pieces) / 2) * 2 + (turn))

#endif
