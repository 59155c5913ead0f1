/* Known answers of the ops without a file of cases: random numbers, the control block, the loss's scale, rounding to
 * narrow types, and updates that round at random. The host computes them itself. */
#include "base/half.h"
#include "base/random.h"
#include "cl/launch.h"
#include "cl/philox.h"
#include "cl/step.h"
#include "ops/check/check.h"
#include "ops/ops.h"

#include <math.h>
#include <string.h>

#define SAMPLES 3
#define WIDTH   5
#define MOST    16

typedef struct gh_drawn {
  gh_graph *g;
  gh_store *store;
  gh_tensor *step;
  gh_tensor *out;
  double want[MOST];
  int count;
  double tolerance;
} gh_drawn;

static const gh_stream stream = {{0x12345678u, 0xFEDCBA98u}};
static const uint64_t ordinal = UINT64_C(0xFFFFFFFE); /* so that the carry into the upper word is tested too */

static void record_normal(gh_drawn *d) {
  d->out = gh_random_normal(d->g, d->step, stream.key, 2, (int64_t[]){SAMPLES, WIDTH});
  d->count = SAMPLES * WIDTH;
  d->tolerance = 0; /* the same bits everywhere */
  for (int b = 0; b < SAMPLES; b++) {
    float row[WIDTH];
    gh_stream_normals(stream, ordinal + (uint64_t)b, 0, WIDTH, row);
    for (int i = 0; i < WIDTH; i++) d->want[b * WIDTH + i] = (double)row[i];
  }
}

static void record_gumbel(gh_drawn *d) {
  d->out = gh_random_gumbel(d->g, d->step, stream.key, 2, (int64_t[]){SAMPLES, WIDTH});
  d->count = SAMPLES * WIDTH;
  d->tolerance = 0;
  for (int b = 0; b < SAMPLES; b++) {
    float row[WIDTH];
    gh_stream_gumbels(stream, ordinal + (uint64_t)b, 0, WIDTH, row);
    for (int i = 0; i < WIDTH; i++) d->want[b * WIDTH + i] = (double)row[i];
  }
}

static void record_mask(gh_drawn *d) {
  static const gh_stream order = {{0x9abcdef0u, 0x13579bdfu}};
  d->out = gh_random_mask(d->g, d->step, stream.key, order.key, SAMPLES, WIDTH, 0.3, 0.9);
  d->count = SAMPLES * WIDTH;
  d->tolerance = 0;
  for (int b = 0; b < SAMPLES; b++) {
    int32_t row[WIDTH];
    gh_mask_at(stream, order, ordinal + (uint64_t)b, WIDTH, 0.3, 0.9, row);
    for (int i = 0; i < WIDTH; i++) d->want[b * WIDTH + i] = row[i];
  }
}

#define CODES 7

/* Codes drawn from logits between -3 and 3, or the logarithms of their probabilities. */
static void record_categorical(gh_drawn *d, bool probability) {
  float logits[SAMPLES][WIDTH][CODES];
  const double temperature = 0.75;
  gh_tensor *x, *code, *log_probability;
  for (int i = 0; i < SAMPLES * WIDTH * CODES; i++) ((float *)logits)[i] = (float)(i * 37 % 61 - 30) * 0.1f;
  if (gh_store_add(gh_graph_error(d->g), d->store, "x", GH_F32, 3, (int64_t[]){SAMPLES, WIDTH, CODES}, &x) ||
      gh_tensor_write(gh_graph_error(d->g), gh_graph_device(d->g), x, logits))
    return;
  gh_categorical(d->g, x, d->step, stream.key, temperature, &code, &log_probability);
  d->out = probability ? log_probability : code;
  d->count = SAMPLES * WIDTH;
  d->tolerance = probability ? 2.5e-7 : 0;
  for (int i = 0; i < d->count; i++) {
    const float *row = logits[i / WIDTH][i % WIDTH];
    int64_t drawn = gh_categorical_at(stream, ordinal + (uint64_t)(i / WIDTH), i % WIDTH, row, CODES, temperature);
    double sum = 0;
    for (int k = 0; k < CODES; k++) sum += exp(((double)row[k] - (double)row[drawn]) / temperature);
    d->want[i] = probability ? -log(sum) : (double)drawn;
  }
}
static void record_code(gh_drawn *d) { record_categorical(d, false); }
static void record_log_probability(gh_drawn *d) { record_categorical(d, true); }

static void record_timestep(gh_drawn *d) {
  d->out = gh_random_timestep(d->g, d->step, stream.key, SAMPLES, false, 1.5);
  d->count = SAMPLES;
  d->tolerance = 2.5e-7;
  for (int b = 0; b < SAMPLES; b++) {
    float normal;
    gh_stream_normals(stream, ordinal + (uint64_t)b, 0, 1, &normal);
    d->want[b] = 1 / (1 + exp(-1.5 * (double)normal));
  }
}

static void record_index(gh_drawn *d) {
  d->out = gh_random_index(d->g, d->step, stream.key, SAMPLES, 37, WIDTH);
  d->count = SAMPLES * WIDTH;
  d->tolerance = 0;
  for (int i = 0; i < SAMPLES * WIDTH; i++)
    d->want[i] = (double)gh_permute_at(stream, ordinal + (uint64_t)(i / WIDTH), (uint64_t)(i % WIDTH), 37);
}

/* Squares 9 and 16, a loss of 0.75, a maximum norm of 2.5: loss, norm 5, factor 0.5, no flag. */
static void record_control(gh_drawn *d) {
  static const float squares[2] = {9, 16}, loss = 0.75f;
  gh_error *err = gh_graph_error(d->g);
  gh_device *device = gh_graph_device(d->g);
  gh_tensor *s, *l;
  if (gh_store_add(err, d->store, "squares", GH_F32, 1, (int64_t[]){2}, &s) ||
      gh_store_add(err, d->store, "loss", GH_F32, 0, NULL, &l) ||
      gh_store_add(err, d->store, "control", GH_U32, 1, (int64_t[]){CONTROL_WORDS}, &d->out) ||
      gh_tensor_write(err, device, s, squares) || gh_tensor_write(err, device, l, &loss))
    return;
  gh_clip_control(d->g, s, l, d->out, NULL, 2.5);
  d->want[CONTROL_LOSS] = 0.75;
  d->want[CONTROL_NORM] = 5;
  d->want[CONTROL_CLIP] = 2.5 / (5 + 1e-6);
  d->count = CONTROL_WORDS;
  d->tolerance = 2.5e-7;
}

/* Squares of gradients times 2^16, so the norm is 5 / 2^16. */
static void record_scaled_control(gh_drawn *d) {
  static const float squares[2] = {9, 16}, loss = 0.75f, scale = LOSS_SCALE_FIRST;
  gh_error *err = gh_graph_error(d->g);
  gh_device *device = gh_graph_device(d->g);
  gh_tensor *s, *l, *by, *scaling;
  if (gh_store_add(err, d->store, "squares", GH_F32, 1, (int64_t[]){2}, &s) ||
      gh_store_add(err, d->store, "loss", GH_F32, 0, NULL, &l) ||
      gh_store_add(err, d->store, "scale", GH_F32, 0, NULL, &by) ||
      gh_store_add(err, d->store, "scaling", GH_F32, 1, (int64_t[]){SCALING_WORDS}, &scaling) ||
      gh_store_add(err, d->store, "control", GH_U32, 1, (int64_t[]){CONTROL_WORDS}, &d->out) ||
      gh_tensor_write(err, device, s, squares) || gh_tensor_write(err, device, l, &loss) ||
      gh_tensor_write(err, device, by, &scale))
    return;
  gh_clip_control(d->g, s, l, d->out, by, 0);
  gh_loss_scale(d->g, d->out, by, scaling, 0.5, 0.75);
  d->want[CONTROL_LOSS] = 0.75;
  d->want[CONTROL_NORM] = 5 / (double)LOSS_SCALE_FIRST;
  d->want[CONTROL_CLIP] = 1 / (double)LOSS_SCALE_FIRST;
  d->want[CONTROL_SCALE] = (double)LOSS_SCALE_FIRST;
  d->want[CONTROL_BIAS1] = 2;
  d->want[CONTROL_BIAS2] = 4;
  d->count = CONTROL_WORDS;
  d->tolerance = 0;
}

static void record_rounding(gh_drawn *d, gh_dtype type, const float *values, int64_t count) {
  gh_tensor *x;
  if (gh_store_add(gh_graph_error(d->g), d->store, "x", GH_F32, 1, &count, &x) ||
      gh_tensor_write(gh_graph_error(d->g), gh_graph_device(d->g), x, values))
    return;
  d->out = gh_cast(d->g, gh_cast(d->g, x, type), GH_F32);
  d->count = (int)count;
  d->tolerance = 0;
  for (int64_t i = 0; i < count; i++) d->want[i] = (double)gh_widen(type, gh_narrow(type, values[i]));
}

/* Both neighbours of a tie, ties to either side, the largest numbers, subnormals; and the cast back. */
static void record_cast_bf16(gh_drawn *d) {
  static const float values[] = {1.00390625f, 1.00390637f, 1.00390613f, 1.01171875f, -3.3333333f,
                                 1e-40f,      3.0e38f,     -0.0f,       65537.0f};
  record_rounding(d, GH_BF16, values, GH_COUNT(values));
}

static void record_cast_f16(gh_drawn *d) {
  static const float values[] = {0x1.002p0f,      0x1.002002p0f, 0x1.001ffep0f, 0x1.006p0f,   -3.3333333f,  65519.996f,
                                 -65504.0f,       -0.0f,         0x1p-14f,      0x1.ffcp-15f, 0x1.ffep-15f, 0x1p-25f,
                                 0x1.000002p-25f, 0x1.8p-24f,    -0x1.4p-23f,   1e-40f};
  record_rounding(d, GH_F16, values, GH_COUNT(values));
}

/* The parts in either order, concatenated as float32. */
static void record_halves(gh_drawn *d, bool up, double factor, gh_dtype type) {
  static const float values[] = {1.00390625f, -3.3333333f, 1e-30f, 6553.7f};
  enum { N = GH_COUNT(values) };
  gh_tensor *x;
  if (gh_store_add(gh_graph_error(d->g), d->store, "x", GH_F32, 2, (int64_t[]){N / 2, 2}, &x) ||
      gh_tensor_write(gh_graph_error(d->g), gh_graph_device(d->g), x, values))
    return;
  d->out = gh_cast(d->g, gh_halves(d->g, x, up, factor, type), GH_F32);
  d->count = 3 * N;
  d->tolerance = 0;
  for (int i = 0; i < N; i++) {
    const float whole = values[i] * (float)factor, high = gh_widen(type, gh_narrow(type, whole));
    const float low = gh_widen(type, gh_narrow(type, whole - high));
    for (int part = 0; part < 3; part++)
      d->want[up ? i / 2 * 6 + part * 2 + i % 2 : part * N + i] = (double)(part == (up ? 2 : 1) ? low : high);
  }
}
static void record_halves_down(gh_drawn *d) { record_halves(d, false, 1, GH_BF16); }
static void record_halves_up(gh_drawn *d) { record_halves(d, true, 1, GH_BF16); }
static void record_halves_down_f16(gh_drawn *d) { record_halves(d, false, 1, GH_F16); }
static void record_halves_up_f16(gh_drawn *d) { record_halves(d, true, 8, GH_F16); }

/* ---- updates with less memory (cl/update.cl): seven elements, two updates of the same gradient ---- */

#define UPDATED 7
#define RATE    0.01f
#define BIAS1   2.5f
#define BIAS2   4.0f
#define UPDATE  3

static const gh_adamw_options adamw = {
    .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .weight_decay = 0.01, .key = {0x12345678u, 0xFEDCBA98u}};

static uint32_t word_at(uint64_t number, int element) {
  return gh_word_at(stream.key[0], stream.key[1], number, (uint64_t)element);
}

static double rounded_at_random(double value, uint32_t word) {
  const uint32_t bits = GH_AS_BITS((float)value) + (word & 0xFFFFu);
  return (double)GH_AS_FLOAT(bits & 0xFFFF0000u);
}

/* A moment after coding and decoding (cl/moments.h); chance: the 16 random bits. */
static double in_eight_bits(double value, double scale, uint32_t chance, bool is_v) {
  const double size = fabs(value) / scale, least = ldexp(is_v ? 1 : 1.125, is_v ? -31 : -15);
  double kept = is_v || size > least * (2 * chance + 1) / 131072.0 ? least : 0;
  if (size >= least) {
    int exponent;
    const double fraction = 2 * frexp(size, &exponent) - 1;
    kept = ldexp(1 + floor(8 * fraction + chance / 65536.0) / 8, exponent - 1);
  }
  return copysign(scale * kept, value);
}

static double scale_of(const double *values) {
  double largest = 0, scale = ldexp(1, -64);
  for (int i = 0; i < UPDATED; i++) largest = fmax(largest, fabs(values[i]));
  while (largest > 1.875 * scale) scale *= 2;
  return scale;
}

typedef struct gh_moments {
  double m[UPDATED], v[UPDATED];
} gh_moments;

/* One update on the host: d->want has the weights. */
static void update_on_host(gh_drawn *d, gh_moments *o, const float *gradient, bool narrow, bool eight) {
  for (int i = 0; i < UPDATED; i++) {
    const double g = (double)gradient[i];
    o->m[i] += (double)(float)(1 - adamw.beta1) * (g - o->m[i]);
    o->v[i] = o->v[i] * (double)(float)adamw.beta2 + (double)(float)(1 - adamw.beta2) * g * g;
    const double step = o->m[i] / (sqrt(o->v[i]) * sqrt((double)BIAS2) + adamw.eps);
    const double keep = 1 - (double)RATE * adamw.weight_decay;
    const double w = d->want[i] * keep - (double)RATE * (double)BIAS1 * step;
    d->want[i] = narrow ? rounded_at_random(w, word_at(UPDATE, i)) : w;
  }
  if (!eight) return;
  const double m_scale = scale_of(o->m), v_scale = scale_of(o->v);
  for (int i = 0; i < UPDATED; i++) {
    const uint32_t word = word_at(UPDATE | UINT64_C(1) << 63, i);
    o->m[i] = in_eight_bits(o->m[i], m_scale, word & 0xFFFFu, false);
    o->v[i] = in_eight_bits(o->v[i], v_scale, word >> 16, true);
  }
}

/* narrow: weights and gradient are bf16; eight: the moments have eight bits. */
static void record_update(gh_drawn *d, bool narrow, bool eight) {
  static const float gradient[UPDATED] = {1, -0.5f, 0.03125f, 0, -3, 0.001953125f, 0.75f}; /* exact in bf16 */
  const gh_dtype type = narrow ? GH_BF16 : GH_F32, kept = eight ? GH_U32 : GH_F32;
  const int64_t n = UPDATED, words = eight ? gh_moment_words(n) : n;
  const uint32_t ready[CONTROL_WORDS] = {[CONTROL_CLIP] = GH_AS_BITS(1.0f)};
  const float zeros[UPDATED] = {0};
  gh_error *err = gh_graph_error(d->g);
  gh_device *device = gh_graph_device(d->g);
  gh_tensor *g, *m, *v, *control;
  gh_moments host = {{0}, {0}};
  if (gh_store_add(err, d->store, "w", type, 1, &n, &d->out) || gh_store_add(err, d->store, "g", type, 1, &n, &g) ||
      gh_store_add(err, d->store, "m", kept, 1, &words, &m) || gh_store_add(err, d->store, "v", kept, 1, &words, &v) ||
      gh_store_add(err, d->store, "control", GH_U32, 1, (int64_t[]){CONTROL_WORDS}, &control) ||
      gh_tensor_write_f32(err, device, d->out, zeros) || gh_tensor_write_f32(err, device, g, gradient) ||
      gh_tensor_write(err, device, control, ready))
    return;
  for (int k = 0; k < 2; k++) {
    gh_adamw(d->g, d->out, g, m, v, d->step, control, adamw);
    update_on_host(d, &host, gradient, narrow, eight);
  }
  d->count = UPDATED;
  d->tolerance = narrow ? 0 : 1e-6;
}
static void record_narrow_weights(gh_drawn *d) { record_update(d, true, false); }
static void record_short_moments(gh_drawn *d) { record_update(d, false, true); }
static void record_both(gh_drawn *d) { record_update(d, true, true); }

/* A bf16 gradient to which a float32 one is added, rounded at random by the micro-batch's ordinal. */
static void record_narrow_sum(gh_drawn *d) {
  static const float sum[UPDATED] = {1, -2, 0.5f, 0, 3, -0.25f, 100},
                     value[UPDATED] = {0.1f, 0.0123f, -0.0017f, 1e-3f, 1.0007f, 0.3f, 0.2f};
  const int64_t n = UPDATED;
  gh_error *err = gh_graph_error(d->g);
  gh_device *device = gh_graph_device(d->g);
  gh_tensor *x;
  if (gh_store_add(err, d->store, "sum", GH_BF16, 1, &n, &d->out) ||
      gh_store_add(err, d->store, "x", GH_F32, 1, &n, &x) || gh_tensor_write_f32(err, device, d->out, sum) ||
      gh_tensor_write(err, device, x, value))
    return;
  gh_accumulate_rounded(d->g, d->out, x, d->step, stream.key);
  d->count = UPDATED;
  d->tolerance = 0;
  for (int i = 0; i < UPDATED; i++) d->want[i] = rounded_at_random((double)(sum[i] + value[i]), word_at(ordinal, i));
}

static const struct {
  const char *op;
  void (*record)(gh_drawn *d);
} cases[] = {{"random_normal", record_normal},
             {"random_gumbel", record_gumbel},
             {"random_mask", record_mask},
             {"categorical", record_code},
             {"categorical", record_log_probability},
             {"random_timestep", record_timestep},
             {"random_index", record_index},
             {"clip_control", record_control},
             {"loss_scale", record_scaled_control},
             {"cast", record_cast_bf16},
             {"cast", record_cast_f16},
             {"halves", record_halves_down},
             {"halves", record_halves_up},
             {"halves", record_halves_down_f16},
             {"halves", record_halves_up_f16},
             {"accumulate", record_narrow_sum},
             {"adamw", record_narrow_weights},
             {"adamw", record_short_moments},
             {"adamw", record_both}};

static gh_status compute(gh_error *err, gh_device *device, gh_drawn *d, void (*record)(gh_drawn *), float *got) {
  const uint32_t block[STEP_WORDS] = {[STEP_LEARNING_RATE] = GH_AS_BITS(RATE),
                                      [STEP_BIAS1] = GH_AS_BITS(BIAS1),
                                      [STEP_BIAS2] = GH_AS_BITS(BIAS2),
                                      [STEP_ORDINAL_LO] = (uint32_t)ordinal,
                                      [STEP_UPDATE_LO] = UPDATE,
                                      [STEP_ORDINAL_HI] = (uint32_t)(ordinal >> 32)};
  if (gh_store_create(err, device, &d->store) ||
      gh_store_add(err, d->store, "step", GH_U32, 1, (int64_t[]){STEP_WORDS}, &d->step) ||
      gh_tensor_write(err, device, d->step, block) || gh_graph_create(err, device, &d->g))
    return err->status;
  record(d);
  if (!gh_graph_failed(d->g) && d->out->lifetime == GH_VALUE) gh_graph_keep(d->g, d->out);
  if (gh_graph_plan(err, d->g) || gh_graph_run(err, d->g)) return err->status;
  if (d->out->dtype == GH_BF16) return gh_tensor_read_f32(err, device, d->out, got);
  if (d->out->dtype != GH_I32) return gh_tensor_read(err, device, d->out, got);
  int32_t integers[MOST] = {0};
  gh_status status = gh_tensor_read(err, device, d->out, integers);
  for (int i = 0; i < MOST; i++) got[i] = (float)integers[i];
  return status;
}

static double error_of(const gh_drawn *d, const float *got) {
  double difference = 0, size = 0;
  for (int i = 0; i < d->count; i++) {
    difference += ((double)got[i] - d->want[i]) * ((double)got[i] - d->want[i]);
    size += d->want[i] * d->want[i];
  }
  return sqrt(difference / size);
}

void gh_check_drawn(gh_device *device, gh_check_options options, const gh_check_listener *listener) {
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_error err = {0};
    gh_drawn d = {0};
    float got[MOST] = {0};
    gh_status status = compute(&err, device, &d, cases[i].record, got);
    if (options.sabotage) got[0] = got[0] != 0 ? got[0] * 1.01f : 1;
    gh_check_result result = {.op = cases[i].op,
                              .test = cases[i].op,
                              .tensor = status ? "" : "out0",
                              .error = status ? NAN : error_of(&d, got),
                              .tolerance = d.tolerance,
                              .note = status ? err.text : ""};
    result.passed = !status && result.error <= result.tolerance;
    listener->result(listener->context, &result);
    gh_graph_free(d.g);
    gh_store_free(d.store);
  }
}
