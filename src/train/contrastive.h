/* One update of contrastive training as graphs: CLIP's symmetric loss over a batch of N pairs, in micro-batches of M.
 *
 * The loss needs the embeddings of the whole batch. With M = N, one graph computes it and its gradients. With M < N, as
 * in GradCache (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021):
 *
 *   1. for each micro-batch, the towers' embeddings are computed and cached, (N, D) of each tower;
 *   2. the loss and its gradients with respect to the cached embeddings and the temperature are computed;
 *   3. for each micro-batch, the towers are computed again, and the cached gradients continue into their parameters.
 *
 * The gradients are those of one large batch: a sum over pairs is only ordered differently. */
#ifndef GH_TRAIN_CONTRASTIVE_H
#define GH_TRAIN_CONTRASTIVE_H

#include "data/loader.h"
#include "method/step.h"
#include "models/archs.h"

#define GH_LOGIT_SCALE_MOST 4.605170185988092 /* ln 100, as in CLIP: logits are scaled by 1 to 100 */

typedef struct gh_contrastive {
  gh_device *device;
  int64_t batch, micro_batch; /* N, M */
  int64_t length;             /* L, tokens of a line */
  gh_arch arch;
  gh_tensor *ids, *pooled; /* the inputs: (1, M L) and (M, 1) int32 */
  gh_tensor *logit_scale;  /* () */
  gh_tensor *block;        /* the loss's step block: constant */
  /* with M < N */
  gh_tensor *place; /* (1, N) int32: the row of the micro-batch that is pair n, else -1 */
  gh_tensor *rows;  /* (1, M) int32: the pair that is row m of the micro-batch, or -1 */
  gh_store *cached;
  gh_tensor *image, *text; /* (N, D) in `cached`, with gradients */
  gh_graph *embed, *loss;  /* of 1 and 2; 3 is the step's graph */
  int32_t *host_place, *host_rows;
  float *held_images;             /* (ceil(N / M) M, 3, S, S) the images of an update */
  gh_loader_sample *held_samples; /* (N) */
  /* what is sent */
  int32_t *host_ids, *host_pooled; /* (M, L), (M) */
} gh_contrastive;

/* Records the step of both towers into m->graph, in the parameters' usual names; `step` has its images, block and
 * loss_total. M is the first dimension of step->images; batch, length and arch are the caller's. Fills step->logs with
 * the share of pairs that are each other's nearest, over both directions. Returns the loss if M = N; else NULL, with
 * the gradients recorded and the other graphs planned. After a failure, which the graph has, it returns NULL, too. */
gh_tensor *gh_contrastive_record(gh_module *m, gh_contrastive *c, gh_step *step);
void gh_contrastive_free(gh_contrastive *c); /* an empty one is fine */

/* The parts of an update with M < N. The micro-batch that begins with pair `first` has been sent: cache its embeddings;
 * run its gradients. Between them, once, the loss. None waits. */
gh_status gh_contrastive_embed(gh_error *err, gh_contrastive *c, int64_t first);
gh_status gh_contrastive_loss(gh_error *err, gh_contrastive *c);
gh_status gh_contrastive_gradients(gh_error *err, gh_contrastive *c, gh_graph *step, int64_t first);

/* After an update: clamps the temperature's logarithm to [0, ln 100], as open_clip does, and gives the factor. */
gh_status gh_contrastive_clamp(gh_error *err, gh_contrastive *c, double *scale);

/* Device memory of the values of the graphs beside the step's. */
int64_t gh_contrastive_bytes(const gh_contrastive *c);

#endif
