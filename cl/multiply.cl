/* y = a b, element by element; y may be a. */
KERNEL void multiply_forward(GLOBAL ELEM *y, GLOBAL const ELEM *a, GLOBAL const ELEM *b, int64 n) {
  FOR_ELEMENTS_TOGETHER(first, n) {
    vec v[TOGETHER], w[TOGETHER];
    EACH(k, i, first, n) {
      v[k] = vec_load(a, i, n);
      w[k] = vec_load(b, i, n);
    }
    EACH(k, i, first, n) vec_store(y, i, n, v[k] * w[k]);
  }
}
