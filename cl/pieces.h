/* Pieces: what a work-item of a GPU loads or stores in one access, PIECE_BYTES of ELEM (twice that of float32 beside a
 * narrow ELEM). A kernel is written once against PIECE vectors:
 *
 *   FOR_PIECES(i, n) {                        elements (gh_grid_pieces)
 *     vec v[PIECE];
 *     piece_load(v, x, i, n);                 v[k]: elements i + k VW .. of x
 *     EACH_OF_PIECE(k) v[k] = f(v[k]);
 *     piece_store(y, i, n, v);
 *   }
 *
 * FOR_ROW_PIECES, row_load and row_store do the same for the columns of a row (gh_record_rows), whose length is then
 * whole pieces, as is its place: every tensor begins at a multiple of PIECE_BYTES. The host takes the program with
 * PLAIN_ROWS, whose pieces are single elements, where a row's length is not. In the CPU's shape a piece is one vector
 * of any row. */
#ifndef GH_PIECES_H
#define GH_PIECES_H

#if defined(CPU_SHAPE) || defined(PLAIN_ROWS)
#define PIECE 1
#elif defined(ELEM_F16) || defined(ELEM_BF16)
#define PIECE (PIECE_BYTES / 2)
#else
#define PIECE (PIECE_BYTES / 4)
#endif
#define EACH_OF_PIECE(k) UNROLL for (int k = 0; k < PIECE; k++)

#ifdef CPU_SHAPE
#define FOR_PIECES(i, n)           FOR_ELEMENTS(i, n)
#define FOR_ROW_PIECES(i, columns) FOR_COLUMNS(i, columns)
#define PIECE_ACCESS(type)                                                                                             \
  inline void OVERLOAD piece_load(vec *v, GLOBAL const type *p, int64 i, int64 n) { v[0] = vec_load(p, i, n); }        \
  inline void OVERLOAD piece_store(GLOBAL type *p, int64 i, int64 n, const vec *v) { vec_store(p, i, n, v[0]); }
#define row_load  piece_load
#define row_store piece_store
#else
#define FOR_PIECES(i, n)                                                                                               \
  for (int64 i = ((int64)GROUP(0) * LANES + LANE) * PIECE; i < (int64)(n); i += (int64)GROUPS(0) * LANES * PIECE)

#if PIECE == 1
#define FOR_ROW_PIECES(i, columns) FOR_COLUMNS(i, columns)
#define WHOLE_PIECES(type)                                                                                             \
  inline void OVERLOAD whole_load(vec *v, GLOBAL const type *p) { v[0] = elem_value(p); }                              \
  inline void OVERLOAD whole_store(GLOBAL type *p, const vec *v) { elem_put(p, v[0]); }
WHOLE_PIECES(float)
WHOLE_PIECES(bf16)
WHOLE_PIECES(f16)
#else
#define FOR_ROW_PIECES(i, columns)            for (int64 i = (int64)LANE * PIECE; i < (int64)(columns); i += (int64)LANES * PIECE)

/* Where several pieces at once do not fit in the registers. */
#define FOR_ROW_PIECES_ONE_BY_ONE(i, columns) UNROLL_BY(1) FOR_ROW_PIECES(i, columns)

inline void OVERLOAD whole_load(vec *v, GLOBAL const float *p) {
  UNROLL for (int k = 0; k < PIECE; k += 4) {
    const uint4 words = *(GLOBAL const uint4 *)(p + k);
    v[k] = as_float(words.x), v[k + 1] = as_float(words.y), v[k + 2] = as_float(words.z), v[k + 3] = as_float(words.w);
  }
}
inline void OVERLOAD whole_store(GLOBAL float *p, const vec *v) {
  UNROLL for (int k = 0; k < PIECE; k += 4) {
    uint4 words;
    words.x = as_uint(v[k]), words.y = as_uint(v[k + 1]), words.z = as_uint(v[k + 2]), words.w = as_uint(v[k + 3]);
    *(GLOBAL uint4 *)(p + k) = words;
  }
}

/* The words of a piece of a narrow type: 16 bytes, or 8 in a program whose ELEM is float32. */
#if PIECE == 8
typedef uint4 narrow_words;
#define EACH_PAIR(DO) DO(0, x) DO(2, y) DO(4, z) DO(6, w)
#else
typedef uint2 narrow_words;
#define EACH_PAIR(DO) DO(0, x) DO(2, y)
#endif
inline float bf16_value(uint32 bits) { return as_float(bits << 16); }
#define NARROW_PIECES(type, value, bits)                                                                               \
  inline void OVERLOAD whole_load(vec *v, GLOBAL const type *p) {                                                      \
    const narrow_words words = *(GLOBAL const narrow_words *)p;                                                        \
    EACH_PAIR(value)                                                                                                   \
  }                                                                                                                    \
  inline void OVERLOAD whole_store(GLOBAL type *p, const vec *v) {                                                     \
    narrow_words words;                                                                                                \
    EACH_PAIR(bits)                                                                                                    \
    *(GLOBAL narrow_words *)p = words;                                                                                 \
  }
#define BF16_VALUES(k, word) v[k] = bf16_value(words.word & 0xFFFFu), v[k + 1] = bf16_value(words.word >> 16);
#define BF16_WORD(k, word)   words.word = bf16_bits(v[k]) | bf16_bits(v[k + 1]) << 16;
#define F16_VALUES(k, word)  v[k] = f16_value(words.word & 0xFFFFu), v[k + 1] = f16_value(words.word >> 16);
#define F16_WORD(k, word)    words.word = f16_bits(v[k]) | f16_bits(v[k + 1]) << 16;
NARROW_PIECES(bf16, BF16_VALUES, BF16_WORD)
NARROW_PIECES(f16, F16_VALUES, F16_WORD)
#endif

/* The last piece of a range may be a part of one. */
#define PIECE_ACCESS(type)                                                                                             \
  inline void OVERLOAD piece_load(vec *v, GLOBAL const type *p, int64 i, int64 n) {                                    \
    if (i + PIECE <= n) {                                                                                              \
      whole_load(v, p + i);                                                                                            \
      return;                                                                                                          \
    }                                                                                                                  \
    EACH_OF_PIECE(k) v[k] = i + k < n ? LD(p, i + k) : 0.0f;                                                           \
  }                                                                                                                    \
  inline void OVERLOAD piece_store(GLOBAL type *p, int64 i, int64 n, const vec *v) {                                   \
    if (i + PIECE <= n) {                                                                                              \
      whole_store(p + i, v);                                                                                           \
      return;                                                                                                          \
    }                                                                                                                  \
    EACH_OF_PIECE(k) if (i + k < n) ST(p, i + k, v[k]);                                                                \
  }
#define row_load(v, p, i, columns)  whole_load(v, (p) + (i))
#define row_store(p, i, columns, v) whole_store((p) + (i), v)
#endif
PIECE_ACCESS(float)
PIECE_ACCESS(bf16)
PIECE_ACCESS(f16)

#if PIECE == 1
#define FOR_ROW_PIECES_ONE_BY_ONE FOR_ROW_PIECES
#endif

#endif
