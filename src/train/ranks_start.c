#include "train/ranks_start.h"
#include "base/build.h"
#include "base/checksum.h"
#include "base/log.h"
#include "dist/compare.h"
#include "train/frozen_choices.h"

#include <stdlib.h>
#include <string.h>

/* ---- comparing ---- */

static const char *const none[] = {NULL};

gh_status gh_ranks_same_config(gh_error *err, gh_comm *comm, const gh_config *config) {
  /* Of the machine, or paths whose content is compared. */
  static const char *const except[] = {"config.device",
                                       "config.data.workers",
                                       "config.data.images",
                                       "config.data.latent_cache.path",
                                       "config.clip",
                                       "config.autoencoder",
                                       "config.denoiser.weights",
                                       "config.stage2.lora.adapter",
                                       NULL};
  if (!comm) return GH_OK;
  gh_json *own = gh_json_object(err), *settings = NULL;
  gh_status status = own ? gh_json_put_string(err, own, "version", GH_VERSION) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_put_string(err, own, "commit", gh_build_commit);
  if (!status) status = gh_config_to_json(err, &settings, config);
  if (!status) status = gh_json_put(err, own, "config", settings);
  if (status) {
    gh_json_free(own);
    own = NULL;
  }
  return gh_comm_compare(err, comm, own, except);
}

gh_status gh_ranks_same_images(gh_error *err, gh_comm *comm, const gh_image_set *images) {
  if (!comm) return GH_OK;
  char hash[GH_CHECKSUM_TEXT];
  gh_json *own = gh_json_object(err);
  gh_checksum_text(hash, gh_image_set_hash(images));
  if (own && (gh_json_put_int(err, own, "the number of images in data.images", (int64_t)gh_image_set_count(images)) ||
              gh_json_put_string(err, own, "the hash of the images' names and sizes", hash))) {
    gh_json_free(own);
    own = NULL;
  }
  return gh_comm_compare(err, comm, own, none);
}

gh_status gh_ranks_same_models(gh_error *err, gh_comm *comm, const gh_models *models) {
  if (!comm) return GH_OK;
  gh_json *own = NULL;
  if (gh_models_settings(err, models, &own) == GH_OK && gh_models_identify(err, models, own)) {
    gh_json_free(own);
    own = NULL;
  }
  return gh_comm_compare(err, comm, own, none);
}

/* ---- the state ---- */

static gh_status state_to_text(gh_error *err, const char *folder, const gh_state_info *from, char **text) {
  if (!folder) return GH_OK;
  gh_json *root = gh_json_object(err);
  gh_status status = root ? gh_json_put_string(err, root, "folder", folder) : GH_ERROR_MEMORY;
  if (!status) status = gh_state_info_put(err, root, from);
  if (!status) status = gh_json_print(err, text, NULL, root, false);
  gh_json_free(root);
  return status;
}

static gh_status state_from_text(gh_error *err, char **folder, gh_state_info *from, const char *text) {
  gh_json *root = NULL;
  const char *path = NULL;
  gh_status status = gh_json_parse(err, &root, "rank 0's state", text, strlen(text), GH_JSON_MAX_BYTES);
  if (!status) status = gh_json_get_string(err, root, "folder", &path);
  if (!status && !(*folder = gh_strdup(err, path))) status = GH_ERROR_MEMORY;
  if (!status) status = gh_state_info_read(err, path, root, from);
  gh_json_free(root);
  return status;
}

gh_status gh_ranks_share_state(gh_error *err, gh_comm *comm, char **folder, gh_state_info *from) {
  char *text = NULL;
  if (!comm) return GH_OK;
  gh_status status = gh_comm_rank(comm) ? GH_OK : state_to_text(err, *folder, from, &text);
  status = gh_comm_agree(err, comm, status, "the state", NULL);
  if (!status) status = gh_comm_share_text(err, comm, &text);
  if (!status && gh_comm_rank(comm) && text) status = state_from_text(err, folder, from, text);
  free(text);
  return status;
}

/* ---- the plan ---- */

static gh_status plan_text(gh_error *err, const gh_device *device, int64_t micro_batch, char **text) {
  gh_json *plan = NULL;
  gh_status status = gh_choices_describe(err, device, micro_batch, &plan);
  if (!status) status = gh_json_print(err, text, NULL, plan, false);
  gh_json_free(plan);
  return status;
}

gh_status gh_ranks_share_choices(gh_error *err, gh_comm *comm, gh_device *device, int64_t micro_batch) {
  char *text = NULL;
  gh_json *plan = NULL;
  if (!comm) return GH_OK;
  gh_status status = gh_comm_rank(comm) ? GH_OK : plan_text(err, device, micro_batch, &text);
  status = gh_comm_agree(err, comm, status, "the plan", NULL);
  if (!status) status = gh_comm_share_text(err, comm, &text);
  if (!status && gh_comm_rank(comm)) {
    status = gh_json_parse(err, &plan, "rank 0's plan", text, strlen(text), GH_JSON_MAX_BYTES);
    if (!status) status = gh_choices_adopt(err, device, plan);
  }
  gh_json_free(plan);
  free(text);
  return status;
}

static gh_status add_plan(gh_error *err, gh_json **list, gh_json *plan, int rank, const char *text) {
  gh_json *other = NULL;
  gh_status status = gh_json_parse(err, &other, "a rank's plan", text, strlen(text), GH_JSON_MAX_BYTES);
  if (status || gh_json_equal(plan, other)) {
    gh_json_free(other);
    return status;
  }
  if (!*list && !(*list = gh_json_array(err))) status = GH_ERROR_MEMORY;
  gh_json *row = status ? NULL : gh_json_put_object(err, *list, NULL);
  if (!row || gh_json_put_int(err, row, "rank", rank)) {
    gh_json_free(other);
    return err->status;
  }
  return gh_json_put(err, row, "plan", other);
}

gh_status gh_ranks_gather_plans(gh_error *err, gh_comm *comm, gh_json *plan) {
  char *own = NULL;
  gh_json *list = NULL;
  if (!comm) return GH_OK;
  const int ranks = gh_comm_ranks(comm);
  char **texts = gh_alloc(err, (size_t)ranks, sizeof *texts);
  gh_status status = texts ? gh_json_print(err, &own, NULL, plan, false) : GH_ERROR_MEMORY;
  status = gh_comm_agree(err, comm, status, "the plans", NULL);
  if (!status) status = gh_comm_gather_text(err, comm, own, texts);
  for (int i = 1; i < ranks && !gh_comm_rank(comm) && !status; i++) status = add_plan(err, &list, plan, i, texts[i]);
  if (!status && list)
    status = gh_json_put(err, plan, "ranks", list);
  else
    gh_json_free(list);
  for (int i = 0; texts && i < ranks; i++) free(texts[i]);
  free(texts);
  free(own);
  return status;
}

const gh_json *gh_ranks_plan(const gh_comm *comm, const gh_json *plan) {
  const gh_json *list = gh_json_member(plan, "ranks");
  for (const gh_json *row = gh_json_first(list); row; row = gh_json_next(row)) {
    gh_error ignored;
    int64_t rank = -1;
    const gh_json *own = gh_json_member(row, "plan");
    if (own && !gh_json_get_int(&ignored, row, "rank", &rank) && rank == gh_comm_rank(comm)) return own;
  }
  return plan;
}

/* ---- the log ---- */

gh_status gh_ranks_report(gh_error *err, gh_comm *comm, const char *text) {
  if (!comm) return GH_OK;
  const int ranks = gh_comm_ranks(comm);
  char **texts = gh_alloc(err, (size_t)ranks, sizeof *texts);
  gh_status status = gh_comm_agree(err, comm, texts ? GH_OK : GH_ERROR_MEMORY, "a report", NULL);
  if (!status) status = gh_comm_gather_text(err, comm, text, texts);
  for (int i = 0; i < ranks && !gh_comm_rank(comm) && !status; i++)
    gh_info("rank %d on %s: %s", i, gh_comm_host(comm, i), texts[i]);
  for (int i = 0; texts && i < ranks; i++) free(texts[i]);
  free(texts);
  return status;
}
