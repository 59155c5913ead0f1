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
#define CONTROL_LOSS  0 /* float: sum over the update's micro-batches */
#define CONTROL_NORM  1 /* float: global gradient norm before clipping */
#define CONTROL_CLIP  2 /* float: factor on every gradient */
#define CONTROL_BAD   3 /* uint: 1 if the loss or the norm is not finite: the update then does nothing */
#define CONTROL_WORDS 16

#endif
