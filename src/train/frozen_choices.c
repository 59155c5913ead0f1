#include "train/frozen_choices.h"
#include "backend/chooser/kinds.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#include <stdlib.h>
#include <string.h>

static const char *shape_of(const gh_device *device) { return device->info.shape == GH_SHAPE_CPU ? "cpu" : "gpu"; }

static gh_status describe_kind(gh_error *err, gh_json *root, const gh_device *device, const gh_choice_kind *kind) {
  gh_json *choices = gh_json_put_object(err, root, kind->name);
  gh_status status = choices ? GH_OK : err->status;
  for (int i = 0; !status && i < gh_choice_count(device, kind); i++) {
    const char *key, *provider;
    gh_choice_at(device, kind, i, &key, &provider);
    status = gh_json_put_string(err, choices, key, provider);
  }
  return status;
}

gh_status gh_choices_describe(gh_error *err, const gh_device *device, int64_t micro_batch, gh_json **out) {
  gh_json *root = gh_json_object(err);
  gh_status status = root ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_string(err, root, "device", device->info.name);
  if (!status) status = gh_json_put_string(err, root, "driver", device->info.driver);
  if (!status) status = gh_json_put_string(err, root, "kernel_shape", shape_of(device));
  if (!status) status = gh_json_put_int(err, root, "micro_batch", micro_batch);
  for (int k = 0; !status && gh_choice_kinds[k]; k++) status = describe_kind(err, root, device, gh_choice_kinds[k]);
  if (status)
    gh_json_free(root);
  else
    *out = root;
  return status;
}

/* Freezes the choices that the plan has for a kind; an older plan lacks some kinds: what it used is what a run uses
 * without a search. */
static gh_status freeze_kind(gh_error *err, gh_device *device, const gh_json *plan, const gh_choice_kind *kind) {
  gh_status status = GH_OK;
  const gh_json *choices = gh_json_member(plan, kind->name);
  if (!choices && kind->only_searched) return gh_choice_forget_searches(err, device, kind);
  for (const gh_json *item = gh_json_first(choices); item && !status; item = gh_json_next(item)) {
    const char *provider = NULL;
    status = gh_json_to_string(err, item, gh_json_key(item), &provider);
    if (!status) status = gh_choice_freeze(err, device, kind, gh_json_key(item), provider);
  }
  return status;
}

/* The device, driver and shape of kernels that a plan was made for. */
typedef struct gh_plan_device {
  const char *name, *driver, *shape;
} gh_plan_device;

static gh_status read_device(gh_error *err, const gh_device *device, const gh_json *plan, gh_plan_device *out,
                             bool *same) {
  *out = (gh_plan_device){"", device->info.driver, shape_of(device)};
  gh_status status = gh_json_get_string(err, plan, "device", &out->name);
  if (!status) status = gh_json_opt_string(err, plan, "driver", &out->driver);
  if (!status) status = gh_json_opt_string(err, plan, "kernel_shape", &out->shape);
  *same = !status && !strcmp(out->name, device->info.name) && !strcmp(out->driver, device->info.driver) &&
          !strcmp(out->shape, shape_of(device));
  return status;
}

static gh_status freeze(gh_error *err, gh_device *device, const gh_json *plan) {
  gh_status status = GH_OK;
  for (int k = 0; !status && gh_choice_kinds[k]; k++) status = freeze_kind(err, device, plan, gh_choice_kinds[k]);
  return status;
}

/* On another device, driver or shape of kernels the frozen providers may not exist, or may give other bits. The state
 * is still used; the choices are made again. */
gh_status gh_choices_freeze(gh_error *err, gh_device *device, const gh_json *plan) {
  gh_plan_device of;
  bool same;
  gh_status status = read_device(err, device, plan, &of, &same);
  if (status) return status;
  if (same) return freeze(err, device, plan);
  gh_warn("the state was written on %s (driver %s, kernels of the %s's shape): kernels are chosen again for %s (driver "
          "%s, the %s's shape)",
          of.name, of.driver, of.shape, device->info.name, device->info.driver, shape_of(device));
  return GH_OK;
}

gh_status gh_choices_adopt(gh_error *err, gh_device *device, const gh_json *plan) {
  gh_plan_device of;
  bool same;
  gh_status status = read_device(err, device, plan, &of, &same);
  return status || !same ? status : freeze(err, device, plan);
}

/* ---- plan.json ---- */

gh_status gh_choices_write(gh_error *err, const char *run, const gh_json *plan) {
  gh_json *sealed = NULL;
  char *path = gh_path_join(err, run, "plan.json");
  gh_status status = path ? gh_json_copy(err, &sealed, plan) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_write_sealed(err, path, sealed);
  gh_json_free(sealed);
  free(path);
  return status;
}

gh_status gh_choices_restore(gh_error *err, gh_device *device, const char *run) {
  gh_error broken = {0};
  gh_plan_device of;
  gh_json *plan = NULL;
  bool same = false;
  char *path = gh_path_join(err, run, "plan.json");
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) {
    status = gh_json_read_sealed(&broken, &plan, path);
    if (!status) status = read_device(&broken, device, plan, &of, &same);
    if (status == GH_ERROR_FORMAT) {
      gh_warn("%s: kernels are chosen again", broken.text);
      status = GH_OK;
    } else if (status) {
      *err = broken;
    }
  }
  if (!status && same) status = freeze(err, device, plan);
  gh_json_free(plan);
  free(path);
  return status;
}

/* ---- comparing runs ---- */

static const char *const harmless[] = {"device",
                                       "output",
                                       "data.workers",
                                       "distributed.split",
                                       "distributed.bucket",
                                       "distributed.shard",
                                       "memory.offload",
                                       "data.latent_cache.path", /* the content is checked when the cache is opened */
                                       "data.images",            /* the content of these is checked by hashes */
                                       "images",
                                       "clip",
                                       "autoencoder",
                                       "denoiser.weights",
                                       "stage2.lora.adapter",
                                       "state",
                                       "evaluate",
                                       "stage2.guard",
                                       "stage1.steps",
                                       "stage2.steps",
                                       "stage1.checkpoint_at",
                                       "stage1.checkpoint_every",
                                       "stage2.checkpoint_at",
                                       "stage2.checkpoint_every"};

static bool is_harmless(const char *path) {
  for (size_t i = 0; i < GH_COUNT(harmless); i++)
    if (!strcmp(path, harmless[i])) return true;
  return false;
}

/* Keys that runs of earlier versions lack although they decide what is trained, and what those runs did. */
static const struct {
  const char *path, *then;
} later[] = {{"autoencoder_precision", "float32"},
             {"memory.master_weights", "float32"},
             {"memory.gradients", "float32"},
             {"memory.moments", "float32"}};

static gh_status differ(gh_error *err, const char *path) {
  return gh_fail(err, GH_ERROR_CONFIG, "%s differs from the interrupted run; choose another output", path);
}

/* Checks a value against a run that lacks its key. */
static gh_status same_as_then(gh_error *err, const char *path, const gh_json *now) {
  for (size_t i = 0; i < GH_COUNT(later); i++) {
    const char *word = NULL;
    if (strcmp(path, later[i].path)) continue;
    gh_status status = gh_json_to_string(err, now, path, &word);
    return status || !strcmp(word, later[i].then) ? status : differ(err, path);
  }
  return GH_OK; /* the key was added since then, and has its default */
}

/* `before` NULL: the interrupted run lacks the key. */
static gh_status same(gh_error *err, const char *path, const gh_json *now, const gh_json *before) {
  if (is_harmless(path)) return GH_OK;
  if (!before && gh_json_type_of(now) != GH_JSON_OBJECT) return same_as_then(err, path, now);
  if (before && (gh_json_type_of(now) != GH_JSON_OBJECT || gh_json_type_of(before) != GH_JSON_OBJECT))
    return gh_json_equal(now, before) ? GH_OK : differ(err, path);
  for (const gh_json *item = gh_json_first(now); item; item = gh_json_next(item)) {
    char *name = gh_format(err, "%s%s%s", path, path[0] ? "." : "", gh_json_key(item));
    if (!name) return GH_ERROR_MEMORY;
    gh_status status = same(err, name, item, before ? gh_json_member(before, gh_json_key(item)) : NULL);
    free(name);
    if (status) return status;
  }
  return GH_OK;
}

/* Copies `from` into `to` without the harmless keys. */
static gh_status copy_decisive(gh_error *err, const char *path, const gh_json *from, gh_json *to) {
  gh_status status = GH_OK;
  for (const gh_json *item = gh_json_first(from); item && !status; item = gh_json_next(item)) {
    const char *key = gh_json_key(item);
    char *name = gh_format(err, "%s%s%s", path, path[0] ? "." : "", key);
    gh_json *copy = NULL;
    if (!name) return GH_ERROR_MEMORY;
    if (is_harmless(name)) {
      free(name);
      continue;
    }
    if (gh_json_type_of(item) == GH_JSON_OBJECT) {
      gh_json *child = gh_json_put_object(err, to, key);
      status = child ? copy_decisive(err, name, item, child) : err->status;
    } else if (!(status = gh_json_copy(err, &copy, item))) {
      status = gh_json_put(err, to, key, copy);
    }
    free(name);
  }
  return status;
}

gh_status gh_choices_config_hash(gh_error *err, const gh_json *config, char out[GH_CHECKSUM_TEXT]) {
  gh_json *decisive = gh_json_object(err);
  uint64_t hash = 0;
  gh_status status = decisive ? copy_decisive(err, "", config, decisive) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_hash(err, decisive, &hash);
  gh_json_free(decisive);
  gh_checksum_text(out, hash);
  return status;
}

gh_status gh_choices_same_run(gh_error *err, const gh_json *config, const gh_json *before) {
  return same(err, "", config, before);
}

gh_status gh_choices_steps_left(gh_error *err, const gh_json *config, const gh_json *before, int stage,
                                int64_t update) {
  const char *key = stage == 1 ? "stage1.steps" : "stage2.steps";
  int64_t now[2] = {0}, then = 0;
  if (!gh_json_at(config, key)) return GH_OK; /* pre-training has one stage and no such keys */
  if (gh_json_get_int(err, config, "stage1.steps", &now[0]) || gh_json_get_int(err, config, "stage2.steps", &now[1]) ||
      gh_json_get_int(err, before, "stage1.steps", &then))
    return err->status;
  if (stage == 2 && now[0] != then)
    return gh_fail(err, GH_ERROR_CONFIG,
                   "stage1.steps differs from the interrupted run (%lld), whose stage 2 has begun", (long long)then);
  if (now[stage - 1] < update)
    return gh_fail(err, GH_ERROR_CONFIG, "%s is %lld, but the interrupted run has done %lld", key,
                   (long long)now[stage - 1], (long long)update);
  return GH_OK;
}
