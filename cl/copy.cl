/* Strided copies of rows: splits, concatenations and repetitions. Row r of `columns` elements goes from
 * `from` + from_offset + r * from_stride to `to` + to_offset + r * to_stride; `from` NULL writes zeros. A group handles
 * block_rows rows and block_columns columns (a multiple of VW). */

KERNEL void copy_rows(GLOBAL ELEM *to, GLOBAL const ELEM *from, int64 rows, int64 columns, int64 to_offset,
                      int64 to_stride, int64 from_offset, int64 from_stride, int64 block_rows, int64 block_columns) {
  const int64 row_first = GROUP(0) * block_rows, row_end = min(row_first + block_rows, rows);
  const int64 first = GROUP(1) * block_columns, end = min(first + block_columns, columns);
  for (int64 row = row_first + LOCAL_ID(1); row < row_end; row += LOCAL_SIZE(1)) {
    GLOBAL ELEM *y = to + to_offset + row * to_stride;
    if (from) {
      GLOBAL const ELEM *x = from + from_offset + row * from_stride;
      for (int64 i = first + LANE * VW; i < end; i += LANES * VW) vec_store(y, i, end, vec_load(x, i, end));
    } else {
      for (int64 i = first + LANE * VW; i < end; i += LANES * VW) vec_store(y, i, end, VEC(0));
    }
  }
}
