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

/* The same in pieces of 16 bytes: rows, offsets and strides are whole pieces. A work-item copies one piece of COPY_ROWS
 * rows at a time, whose loads are in flight together. */
KERNEL void copy_pieces(GLOBAL uint4 *to, GLOBAL const uint4 *from, int64 rows, int64 columns, int64 to_offset,
                        int64 to_stride, int64 from_offset, int64 from_stride, int64 block_rows, int64 block_columns) {
  const int64 row_first = GROUP(0) * block_rows + LOCAL_ID(1);
  const int64 first = GROUP(1) * block_columns, end = min(first + block_columns, columns);
  for (int64 i = first + LANE; i < end; i += LANES) {
    uint4 v[COPY_ROWS];
    UNROLL for (int k = 0; k < COPY_ROWS; k++) {
      const int64 row = row_first + k * LOCAL_SIZE(1);
      v[k].x = v[k].y = v[k].z = v[k].w = 0u;
      if (from && row < rows) v[k] = from[from_offset + row * from_stride + i];
    }
    UNROLL for (int k = 0; k < COPY_ROWS; k++) {
      const int64 row = row_first + k * LOCAL_SIZE(1);
      if (row < rows) to[to_offset + row * to_stride + i] = v[k];
    }
  }
}
