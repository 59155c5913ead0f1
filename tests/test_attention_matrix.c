/* Attention on a GPU's matrix units; NVIDIA's is emulated (cl/attention_matrix_units.h) on a device that has none. */
#include "support/attention_matrix.h"

static bool emulated_fits(const gh_attention_desc *desc, const gh_device *d) {
  return gh_attention_fits(desc, d, "-DUNIT_MMA");
}

int main(void) {
  const attention_matrix_unit unit = {
      .shape = GH_SHAPE_GPU, .emulated = {{"matrix", "emulated"}, "-DUNIT_MMA -DUNIT_EMULATED", emulated_fits}};
  return attention_matrix_tests(&unit);
}
