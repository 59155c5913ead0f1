/* The step block: everything that varies between steps, 16 words of device memory written by one copy, so that a
 * recorded step stays valid. Shared by the host and the kernels; floats are stored as their bits. */
#ifndef GH_STEP_H
#define GH_STEP_H

#define STEP_LEARNING_RATE 0 /* float */
#define STEP_BIAS1         1 /* float: 1 / (1 - beta1^t) */
#define STEP_BIAS2         2 /* float: 1 / (1 - beta2^t) */
#define STEP_ORDINAL_LO    3 /* uint: ordinal of the micro-batch's sample 0 in the run's stream */
#define STEP_ORDINAL_HI    4
#define STEP_SAMPLES       5 /* uint: samples of this micro-batch that count; the others have weight 0 */
#define STEP_WEIGHT        6 /* float: weight of a sample that counts, 1 / samples per update */
#define STEP_UPDATE_LO     7 /* uint: the update's number, 1 for the first */
#define STEP_UPDATE_HI     8
#define STEP_WORDS         16

/* The control block: stays on the device; the host reads it once per update. */
#define CONTROL_LOSS 0 /* float: sum over the update's micro-batches */
#define CONTROL_NORM 1 /* float: global gradient norm before clipping */
#define CONTROL_CLIP 2 /* float: factor on every gradient */
#define CONTROL_BAD  3 /* uint: 1 if the loss or the norm is not finite: the update then does nothing */
/* Where the loss is scaled; 0 elsewhere: */
#define CONTROL_SCALE   4 /* float: the scale of this update's gradients; CONTROL_CLIP divides by it */
#define CONTROL_SKIPPED 5 /* uint: 1 if a smaller scale may make this bad update's gradients finite */
#define CONTROL_SKIPS   6 /* uint: such updates of the stage so far */
#define CONTROL_BIAS1                                                                                                  \
  7 /* float: STEP_BIAS1 and STEP_BIAS2 in place of the step block's, which counts those updates                       \
     */
#define CONTROL_BIAS2 8
#define CONTROL_WORDS 16

/* Loss scaling, as torch.amp.GradScaler does it: gradients of the loss times a power of two, so that small ones do not
 * vanish in half precision. The scale is a tensor of its own, read where differentiation begins. */
#define LOSS_SCALE_FIRST   65536.0f
#define LOSS_SCALE_GROWTH  2.0f /* after so many good updates in a row: */
#define LOSS_SCALE_PERIOD  2000.0f
#define LOSS_SCALE_BACKOFF 0.5f /* after an update whose gradients are not finite, which is skipped ... */
#define LOSS_SCALE_LEAST   1.0f /* ... unless the scale is this: then the gradients are too large themselves */

/* What else one update leaves to the next, floats: */
#define SCALING_GOOD    0 /* good updates in a row at this scale */
#define SCALING_SKIPPED 1 /* updates of the stage that were skipped */
#define SCALING_WEIGHT1 2 /* 1 - beta1^t and 1 - beta2^t, t: updates that were not */
#define SCALING_WEIGHT2 3
#define SCALING_WORDS   4

#endif
