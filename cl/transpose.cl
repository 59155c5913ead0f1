/* y (batch, C, R) = the transposes of x (batch, R, C), in tiles of 16 x 16: GROUP(0) is the batch and row tile,
 * GROUP(1) the column tile. GPU: 16 x 16 work-items through a local tile whose padding avoids bank conflicts. */

KERNEL void transpose_forward(GLOBAL ELEM *y, GLOBAL const ELEM *x, int64 rows, int64 columns) {
  const int64 row_tiles = (rows + TRANSPOSE_TILE - 1) / TRANSPOSE_TILE;
  const int64 batch = GROUP(0) / row_tiles;
  const int64 row = GROUP(0) % row_tiles * TRANSPOSE_TILE, column = (int64)GROUP(1) * TRANSPOSE_TILE;
  x += batch * rows * columns;
  y += batch * rows * columns;
#ifdef CPU_SHAPE
  float tile[TRANSPOSE_TILE * TRANSPOSE_TILE];
  const int height = (int)min((int64)TRANSPOSE_TILE, rows - row),
            width = (int)min((int64)TRANSPOSE_TILE, columns - column);
  for (int r = 0; r < height; r++)
    for (int c = 0; c < width; c++) tile[c * TRANSPOSE_TILE + r] = LD(x, (row + r) * columns + column + c);
  for (int c = 0; c < width; c++)
    for (int r = 0; r < height; r++) ST(y, (column + c) * rows + row + r, tile[c * TRANSPOSE_TILE + r]);
#else
  LOCAL float tile[TRANSPOSE_TILE][TRANSPOSE_TILE + 1];
  const int tx = LOCAL_ID(0), ty = LOCAL_ID(1);
  if (row + ty < rows && column + tx < columns) tile[ty][tx] = LD(x, (row + ty) * columns + column + tx);
  BARRIER();
  if (column + ty < columns && row + tx < rows) ST(y, (column + ty) * rows + row + tx, tile[tx][ty]);
#endif
}
