/* Column sums in two passes of fixed order: chunks of COLUMN_CHUNK rows into partials, then the partials. x is viewed
 * as (segments, rows, columns); every segment is summed separately, into its own `chunks` partials. */

#define SEGMENT_ROWS(first, last)                                                                                      \
  const int64 segment = chunk / chunks;                                                                                \
  const int64 first = segment * rows + chunk % chunks * COLUMN_CHUNK;                                                  \
  const int64 last = min(first + COLUMN_CHUNK, (segment + 1) * rows)

/* The loads of `count` rows are in flight together, where each alone would wait for memory. They are added one after
 * another all the same. BESIDE_ROWS reads the last row instead of those beyond it, which are not added. */
#ifdef CPU_SHAPE
#define SUM_ROWS 1
#define DOT_ROWS 1
#else
#define SUM_ROWS 8
#define DOT_ROWS 4 /* of two operands: more spilled on Intel's PVC */
#endif
#define BESIDE_ROWS(count, k, row, from, end)                                                                          \
  UNROLL for (int64 k = 0, row = from; k < (count); k++, row = min((from) + k, (end)-1))
#define FOR_BESIDE(count, from, first, end) for (int64 from = (first); from < (end); from += (count))

/* partials (segments, chunks, columns): sums of x */
KERNEL void column_sum_partial(GLOBAL float *partials, GLOBAL const ELEM *x, int64 rows, int64 chunks, int64 columns) {
  COLUMN(columns);
  if (column >= columns) return;
  SEGMENT_ROWS(first, last);
  vec sum = VEC(0);
  FOR_BESIDE(SUM_ROWS, from, first, last) {
    vec v[SUM_ROWS];
    BESIDE_ROWS(SUM_ROWS, k, row, from, last) v[k] = vec_load(x + row * columns, column, columns);
    UNROLL for (int64 k = 0; k < SUM_ROWS; k++) if (from + k < last) sum += v[k];
  }
  vec_store(partials + chunk * columns, column, columns, sum);
}

/* The same of a * b, where b = (x - mean) * rstd of the row, if those are given. x is ELEM like a, or float32. */
#define COLUMN_DOT(name, type)                                                                                         \
  KERNEL void name(GLOBAL float *partials, GLOBAL const ELEM *a, GLOBAL const type *x, GLOBAL const float *mean,       \
                   GLOBAL const float *rstd, int64 rows, int64 chunks, int64 columns) {                                \
    COLUMN(columns);                                                                                                   \
    if (column >= columns) return;                                                                                     \
    SEGMENT_ROWS(first, last);                                                                                         \
    vec sum = VEC(0);                                                                                                  \
    FOR_BESIDE(DOT_ROWS, from, first, last) {                                                                          \
      vec u[DOT_ROWS], v[DOT_ROWS];                                                                                    \
      float m[DOT_ROWS], r[DOT_ROWS];                                                                                  \
      BESIDE_ROWS(DOT_ROWS, k, row, from, last) {                                                                      \
        u[k] = vec_load(a + row * columns, column, columns);                                                           \
        v[k] = vec_load(x + row * columns, column, columns);                                                           \
        m[k] = mean ? mean[row] : 0.0f, r[k] = rstd ? rstd[row] : 1.0f;                                                \
      }                                                                                                                \
      UNROLL for (int64 k = 0; k < DOT_ROWS; k++) if (from + k < last) sum = fma(u[k], (v[k] - m[k]) * r[k], sum);     \
    }                                                                                                                  \
    vec_store(partials + chunk * columns, column, columns, sum);                                                       \
  }
COLUMN_DOT(column_dot_partial, ELEM)
COLUMN_DOT(column_dot_wide_partial, float)

/* out (segments, columns) (+)= scale * sum of each segment's partials (segments, chunks, columns); GROUP(1) is the
 * segment */
KERNEL void column_sum_final(GLOBAL float *out, GLOBAL const float *partials, int64 chunks, int64 columns, float scale,
                             int32 accumulate) {
  COLUMN(columns);
  if (column >= columns) return;
  const int64 segment = chunk;
  vec sum = VEC(0);
  partials += segment * chunks * columns;
  FOR_BESIDE(SUM_ROWS, from, 0, chunks) {
    vec v[SUM_ROWS];
    BESIDE_ROWS(SUM_ROWS, k, c, from, chunks) v[k] = vec_load(partials + c * columns, column, columns);
    UNROLL for (int64 k = 0; k < SUM_ROWS; k++) if (from + k < chunks) sum += v[k];
  }
  sum = scale * sum;
  if (accumulate) sum += vec_load(out + segment * columns, column, columns);
  vec_store(out + segment * columns, column, columns, sum);
}
