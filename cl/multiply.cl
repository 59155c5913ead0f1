/* y = a b, element by element; y may be a. */
KERNEL void multiply_forward(GLOBAL ELEM *y, GLOBAL const ELEM *a, GLOBAL const ELEM *b, int64 n) {
  FOR_PIECES(i, n) {
    vec v[PIECE], w[PIECE];
    piece_load(v, a, i, n);
    piece_load(w, b, i, n);
    EACH_OF_PIECE(k) v[k] *= w[k];
    piece_store(y, i, n, v);
  }
}
