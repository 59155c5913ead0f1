/* What a step keeps in its store, and what every replay is sent: tensors by name, the step block, staging memory. */
#include "cl/step.h"
#include "method/step.h"

#include <math.h>
#include <string.h>

gh_status gh_step_tensor(gh_error *err, gh_store *store, const char *name, int rank, const int64_t *shape,
                         gh_tensor **out) {
  *out = gh_store_find(store, name);
  if (*out) return GH_OK;
  return gh_store_add(err, store, name, GH_F32, rank, shape, out);
}

gh_status gh_step_block(gh_error *err, gh_store *store, const char *name, gh_tensor **out) {
  *out = gh_store_find(store, name);
  if (*out) return GH_OK;
  return gh_store_add(err, store, name, GH_U32, 1, (int64_t[]){STEP_WORDS}, out);
}

static uint32_t float_bits(double value) {
  float f = (float)value;
  uint32_t bits;
  memcpy(&bits, &f, sizeof bits);
  return bits;
}

gh_status gh_step_write(gh_error *err, gh_device *device, gh_tensor *block, const gh_step_values *v) {
  double t = (double)v->update;
  uint32_t words[STEP_WORDS] = {0};
  words[STEP_LEARNING_RATE] = float_bits(v->learning_rate);
  words[STEP_BIAS1] = float_bits(1 / (1 - pow(v->beta1, t)));
  words[STEP_BIAS2] = float_bits(1 / (1 - pow(v->beta2, t)));
  words[STEP_ORDINAL_LO] = (uint32_t)v->ordinal;
  words[STEP_ORDINAL_HI] = (uint32_t)(v->ordinal >> 32);
  words[STEP_SAMPLES] = v->samples;
  words[STEP_WEIGHT] = float_bits(v->weight);
  words[STEP_UPDATE_LO] = (uint32_t)v->update;
  words[STEP_UPDATE_HI] = (uint32_t)(v->update >> 32);
  return gh_tensor_send(err, device, block, words);
}

gh_status gh_step_reserve_sends(gh_error *err, gh_device *device, const gh_step *step, int64_t replays) {
  const gh_tensor *sent[] = {step->block, step->images, step->targets};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(sent) && !status; i++) {
    if (!sent[i]) continue;
    int64_t bytes = gh_tensor_bytes(sent[i]), alike = 0;
    if (gh_staging_bytes(bytes) == gh_staging_bytes(sizeof(float))) alike += step->log_count; /* gh_step_clear_logs */
    for (size_t k = 0; k < GH_COUNT(sent); k++)
      alike += sent[k] && gh_staging_bytes(gh_tensor_bytes(sent[k])) == gh_staging_bytes(bytes);
    status = device->backend->reserve_sends(err, device, bytes, alike * replays);
  }
  return status;
}

gh_status gh_step_clear_logs(gh_error *err, gh_device *device, const gh_step *step) {
  static const float zero;
  gh_status status = GH_OK;
  for (int i = 0; i < step->log_count && !status; i++) status = gh_tensor_send(err, device, step->logs[i], &zero);
  return status;
}
