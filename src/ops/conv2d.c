/* torch.nn.Conv2d as matrix products: y = weight (O, K) x columns (K, positions), K = (channel, ky, kx), and their
 * transposes for the gradients. The columns of a large image exceed any sensible workspace, so a node loops over parts:
 * some whole images, or some output rows of one.
 *
 * Most need no columns in memory: a 1 x 1 convolution; on CPUs the commonest 3 x 3 one and the gradients of all 3 x 3
 * weights, which are computed directly; on GPUs whatever has a small square kernel, but for the gradient of the input
 * if the stride is not 1, where the product's kernel forms the columns as it loads them, unless columns are faster.
 *
 * x and weight are float32 or both bfloat16, and so is y; gradients are float32 alone, because bfloat16 is for frozen
 * autoencoders. */
#include "backend/chooser/gemm.h"
#include "cl/launch.h"
#include "ops/ops.h"
#include "ops/reduce.h"

enum { STRIDE, TOP, LEFT, BOTTOM, RIGHT, GEOMETRY_ATTRS };
enum { SIZE_H = GEOMETRY_ATTRS, SIZE_W, ALL_ATTRS }; /* backward: of x, or of the kernel */

extern const gh_op gh_op_conv2d_backward_x, gh_op_conv2d_backward_weight, gh_op_conv2d_backward_bias; /* below */

#define COLUMNS_BYTES (INT64_C(64) << 20)

typedef struct conv {
  const gh_device *device;
  int64_t batch, channels, height, width, out_channels, kernel_h, kernel_w, out_h, out_w;
  int64_t stride, top, left;
  int64_t k, positions; /* K, and out_h * out_w */
  bool plain;           /* 1 x 1: x itself is the columns */
  gh_dtype dtype;       /* of x, weight and columns */
  bool direct;          /* 3 x 3 with stride 1 and padding 1 on a CPU that has a provider for dtype: no columns */
  bool direct_weight;   /* 3 x 3, or plain, on a CPU: the weight's gradient by cl/conv2d_weight.cl */
  bool image;           /* on a GPU: perhaps no columns in memory */
  int64_t images, rows; /* per part */
} conv;

/* One part: images first_image.. and output rows first_row.., and the columns' offset in memory. */
typedef struct part {
  int64_t first_image, images, first_row, rows;
  bool whole; /* all output rows */
} part;

/* Chooses the size of the parts: rows as even as possible. */
static void choose_parts(conv *c, const gh_device *device) {
  int64_t limit = GH_MIN(COLUMNS_BYTES, device->info.max_buffer_bytes) / 4;
  c->images = c->plain ? c->batch : GH_MIN(c->batch, limit / (c->k * c->positions));
  c->rows = c->out_h;
  if (c->images >= 1) return;
  c->images = 1;
  int64_t fits = GH_MAX(1, limit / (c->k * c->out_w)), parts = GH_CEIL_DIV(c->out_h, fits);
  c->rows = GH_CEIL_DIV(c->out_h, parts);
}

/* Checks the sizes and completes c, whose tensor sizes are set. g is NULL in launches: infer has already checked. */
static gh_status complete(gh_graph *g, const gh_device *device, const gh_node *node, conv *c) {
  const double *a = node->attr;
  if (a[STRIDE] < 1) return gh_graph_fail(g, node, "the stride %g is not positive", a[STRIDE]);
  if (a[TOP] < 0 || a[LEFT] < 0 || a[BOTTOM] < 0 || a[RIGHT] < 0) return gh_graph_fail(g, node, "negative padding");
  c->stride = (int64_t)a[STRIDE];
  c->top = (int64_t)a[TOP];
  c->left = (int64_t)a[LEFT];
  int64_t room_h = c->height + c->top + (int64_t)a[BOTTOM] - c->kernel_h;
  int64_t room_w = c->width + c->left + (int64_t)a[RIGHT] - c->kernel_w;
  if (room_h < 0 || room_w < 0) return gh_graph_fail(g, node, "the kernel is larger than the padded image");
  c->out_h = room_h / c->stride + 1;
  c->out_w = room_w / c->stride + 1;
  c->k = c->channels * c->kernel_h * c->kernel_w;
  c->positions = c->out_h * c->out_w;
  c->plain = c->kernel_h == 1 && c->kernel_w == 1 && c->stride == 1 && c->out_h == c->height && c->out_w == c->width;
  bool cpu = device->info.shape == GH_SHAPE_CPU, three = c->kernel_h == 3 && c->kernel_w == 3;
  const bool narrow = c->dtype == GH_BF16 && device->info.amx && c->channels <= CONV_AMX_CHANNELS;
  const bool provided = cpu && (c->dtype == GH_F32 || narrow);
  c->device = device;
  c->direct = provided && three && c->stride == 1 && a[TOP] == 1 && a[LEFT] == 1 && a[BOTTOM] == 1 && a[RIGHT] == 1;
  c->direct_weight = cpu && (three || c->plain);
  c->image = !cpu && !c->plain && c->kernel_h == c->kernel_w && c->kernel_h * c->kernel_w <= GEMM_IMAGE_TAPS;
  choose_parts(c, device);
  return GH_OK;
}

static int64_t columns_elements(const conv *c) { return c->plain ? 0 : c->images * c->k * c->rows * c->out_w; }

static gh_status declare_columns(gh_graph *g, gh_node *node, const conv *c) {
  return c->plain ? GH_OK : gh_declare_scratch(g, node, c->dtype, columns_elements(c));
}

/* The next part after p, in order of images and rows; the first one when p->images is 0. False when there is none. */
static bool next_part(const conv *c, part *p) {
  if (p->images) {
    p->first_row += c->rows;
    if (p->first_row >= c->out_h) {
      p->first_row = 0;
      p->first_image += c->images;
    }
  }
  p->images = GH_MIN(c->images, c->batch - p->first_image);
  p->rows = GH_MIN(c->rows, c->out_h - p->first_row);
  p->whole = p->rows == c->out_h;
  return p->images > 0;
}

static int64_t part_positions(const conv *c, const part *p) { return p->rows * c->out_w; }

/* Fills node->scratch with the columns of x. */
static gh_status record_columns(gh_recorder *r, const gh_node *node, const conv *c, const part *p, const gh_tensor *x) {
  int64_t rows = p->images * c->k, offset = p->first_image * c->channels * c->height * c->width;
  return GH_RECORD(r, node, "conv2d_columns", gh_grid_rows(r, rows, c->out_w), gh_arg_tensor(node->scratch),
                   gh_arg_tensor(x), gh_arg_long(offset), gh_arg_long(rows), gh_arg_int(c->channels),
                   gh_arg_int(c->height), gh_arg_int(c->width), gh_arg_int(c->kernel_h), gh_arg_int(c->kernel_w),
                   gh_arg_int(c->stride), gh_arg_int(c->top), gh_arg_int(c->left), gh_arg_int(p->first_row),
                   gh_arg_int(p->rows), gh_arg_int(c->out_w));
}

/* ---- without columns ---- */

/* The product whose columns the provider forms on the fly. */
static gh_gemm_desc image_desc(const conv *c) {
  gh_gemm_desc d = {.m = c->out_channels,
                    .n = c->positions,
                    .k = c->k,
                    .lda = c->k,
                    .ldb = c->positions,
                    .ldc = c->positions,
                    .batch = c->batch,
                    .alpha = 1};
  d.image.channels = c->channels;
  d.image.height = c->height;
  d.image.width = c->width;
  d.dtype = d.dtype_c = c->dtype;
  d.image.side = c->kernel_h;
  d.image.stride = c->stride;
  d.image.top = c->top;
  d.image.left = c->left;
  d.image.out_width = c->out_w;
  d.stride_b = c->channels * c->height * c->width;
  d.stride_c = c->out_channels * c->positions;
  return d;
}

/* Room for narrow weights in the form that matrix units want, on a GPU. */
static int64_t prepared_elements(const conv *c) {
  const gh_gemm_desc d = image_desc(c);
  return c->image && gh_dtype_is_narrow(c->dtype) ? 2 * gh_gemm_prepared_elements(c->device, &d) : 0;
}

/* If the stride is 1, dx is a convolution of dy: by the weights flipped and with their channels swapped. */
static gh_gemm_desc backward_desc(const conv *c) {
  conv b = *c;
  b.channels = c->out_channels, b.out_channels = c->channels;
  b.height = c->out_h, b.width = c->out_w, b.out_w = c->width;
  b.top = c->kernel_h - 1 - c->top, b.left = c->kernel_w - 1 - c->left;
  b.k = c->out_channels * c->kernel_h * c->kernel_w;
  b.positions = c->height * c->width;
  return image_desc(&b);
}

/* dweight += dy x the columns of one image, transposed. */
static gh_gemm_desc weight_desc(const conv *c) {
  gh_gemm_desc d = image_desc(c);
  d.n = d.ldc = c->k;
  d.k = d.lda = c->positions;
  d.trans_b = true;
  d.batch = 1;
  d.stride_b = d.stride_c = 0;
  d.beta = 1;
  return d;
}

/* `used` elements of scratch and, behind them, room for the weights in the provider's form */
static gh_status declare_direct(gh_graph *g, gh_node *node, const gh_gemm_desc *d, int64_t used) {
  return gh_declare_scratch(g, node, GH_F32, used + gh_gemm_prepared_elements(gh_graph_device(g), d));
}

/* y (B, channels, H, W) += bias (channels) */
static gh_status record_add_bias(gh_recorder *r, const gh_node *node, gh_tensor *y, const gh_tensor *bias) {
  const int64_t channels = y->shape[1], rows = y->shape[0] * channels, plane = y->shape[2] * y->shape[3];
  return GH_RECORD_ROWS(r, node, node->storage, "conv2d_add_bias", gh_rows_of(rows, plane), gh_arg_tensor(y),
                        gh_arg_tensor(bias), gh_arg_long(rows), gh_arg_long(channels), gh_arg_long(plane));
}

static gh_status record_direct(gh_recorder *r, const gh_node *node, gh_gemm_desc d, int64_t used, gh_tensor *y,
                               const gh_tensor *x, const gh_tensor *weight, const gh_tensor *bias) {
  if (node->scratch) d.image.prepared = gh_tensor_buffer(node->scratch);
  d.image.prepared_offset = used;
  const gh_tensor *added = bias && bias->dtype != y->dtype ? bias->working : bias; /* products add what has C's type */
  if (added) {
    d.epilogue = GH_EPILOGUE_BIAS;
    d.bias = gh_tensor_buffer(added);
  }
  gh_status status = gh_record_gemm(r, &d, weight, x, y);
  return status || added || !bias ? status : record_add_bias(r, node, y, bias);
}

/* Whether this is how it is computed: always if `direct`, by choice if `possible`. */
static gh_status is_direct(gh_recorder *r, const gh_gemm_desc *d, bool direct, bool possible, bool *out) {
  *out = direct;
  return direct || !possible ? GH_OK : gh_record_convolves(r, d, out);
}

/* Without columns, a node needs no more than `used` elements of scratch. */
static gh_status settle(gh_recorder *r, gh_node *node, const gh_gemm_desc *d, bool possible, int64_t used) {
  bool itself;
  gh_status status = is_direct(r, d, false, possible, &itself);
  if (!status && itself) gh_shrink_scratch(node, used);
  return status;
}

/* ---- conv2d ---- */

static gh_status conv_of(gh_graph *g, const gh_device *device, const gh_node *node, conv *c) {
  const gh_tensor *x = node->in[0], *w = node->in[1];
  *c = (conv){.batch = x->shape[0],
              .channels = x->shape[1],
              .height = x->shape[2],
              .width = x->shape[3],
              .dtype = x->dtype,
              .out_channels = w->shape[0],
              .kernel_h = w->shape[2],
              .kernel_w = w->shape[3]};
  return complete(g, device, node, c);
}

static gh_status conv2d_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *x = node->in[0], *w = node->in[1];
  conv c;
  if (gh_want_rank(g, node, 0, 4) || gh_want_rank(g, node, 1, 4)) return GH_ERROR_ARGUMENT;
  if (w->shape[1] != x->shape[1])
    return gh_graph_fail(g, node, "the weight must have %lld input channels", (long long)x->shape[1]);
  if (conv_of(g, gh_graph_device(g), node, &c)) return GH_ERROR_ARGUMENT;
  if (node->in[2] && gh_want_shape(g, node, 2, 1, &c.out_channels)) return GH_ERROR_ARGUMENT;
  gh_declare(g, node, c.dtype, 4, (int64_t[]){c.batch, c.out_channels, c.out_h, c.out_w});
  const gh_gemm_desc d = image_desc(&c);
  if (c.direct) return declare_direct(g, node, &d, 0);
  const int64_t elements = GH_MAX(columns_elements(&c), prepared_elements(&c));
  return elements ? gh_declare_scratch(g, node, c.dtype, elements) : GH_OK;
}

static gh_status conv2d_settle(gh_recorder *r, gh_node *node) {
  conv c;
  gh_status status = conv_of(NULL, gh_recorder_device(r), node, &c);
  const gh_gemm_desc d = image_desc(&c);
  return status ? status : settle(r, node, &d, c.image, prepared_elements(&c));
}

static gh_status conv2d_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2];
  gh_tensor *y = node->out[0];
  conv c;
  bool direct;
  gh_status status = conv_of(NULL, gh_recorder_device(r), node, &c);
  const gh_gemm_desc whole = image_desc(&c);
  if (!status) status = is_direct(r, &whole, c.direct, c.image, &direct);
  if (!status && direct) return record_direct(r, node, whole, 0, y, x, w, bias);
  for (part p = {0}; !status && next_part(&c, &p);) {
    int64_t n = part_positions(&c, &p);
    gh_gemm_desc d = {.m = c.out_channels, .n = n, .k = c.k, .lda = c.k, .ldb = n, .ldc = c.positions, .alpha = 1};
    d.dtype = d.dtype_c = c.dtype;
    d.batch = p.images;
    d.stride_b = c.k * n;
    d.stride_c = c.out_channels * c.positions;
    d.offset_c = p.first_image * d.stride_c + p.first_row * c.out_w;
    if (!c.plain) status = record_columns(r, node, &c, &p, x);
    if (!status) status = gh_record_gemm(r, &d, w, c.plain ? x : node->scratch, y);
  }
  return status || !bias ? status : record_add_bias(r, node, y, bias);
}

static void conv2d_gradient(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din) {
  gh_tensor *x = node->in[0], *w = node->in[1], *bias = node->in[2], *dy = dout[0];
  double attrs[ALL_ATTRS];
  for (int i = 0; i < GEOMETRY_ATTRS; i++) attrs[i] = node->attr[i];
  attrs[SIZE_H] = (double)x->shape[2];
  attrs[SIZE_W] = (double)x->shape[3];
  if (gh_wants_grad(x)) din[0] = gh_apply(g, &gh_op_conv2d_backward_x, (gh_tensor *[]){dy, w}, 2, attrs, ALL_ATTRS);
  attrs[SIZE_H] = (double)w->shape[2];
  attrs[SIZE_W] = (double)w->shape[3];
  if (gh_wants_grad(w))
    din[1] = gh_apply(g, &gh_op_conv2d_backward_weight, (gh_tensor *[]){dy, x}, 2, attrs, ALL_ATTRS);
  if (gh_wants_grad(bias)) din[2] = gh_apply(g, &gh_op_conv2d_backward_bias, &dy, 1, NULL, 0);
}

static double conv2d_flops(const gh_node *node) {
  const gh_tensor *y = node->out[0], *w = node->in[1];
  return 2.0 * (double)gh_tensor_elements(y) * (double)(gh_tensor_elements(w) / w->shape[0]);
}

const gh_op gh_op_conv2d = {.name = "conv2d",
                            .flags = GH_OP_WIDE_BACKWARD,
                            .wide = GH_WIDE(2),
                            .attrs = {"stride", "pad_top", "pad_left", "pad_bottom", "pad_right"},
                            .infer = conv2d_infer,
                            .settle = conv2d_settle,
                            .launch = conv2d_launch,
                            .gradient = conv2d_gradient,
                            .flops = conv2d_flops};

gh_tensor *gh_conv2d(gh_graph *g, gh_tensor *x, gh_tensor *weight, gh_tensor *bias, gh_conv_geometry geometry) {
  const double attrs[] = {geometry.stride, geometry.pad_top, geometry.pad_left, geometry.pad_bottom,
                          geometry.pad_right};
  return gh_apply(g, &gh_op_conv2d, (gh_tensor *[]){x, weight, bias}, 3, attrs, GEOMETRY_ATTRS);
}

/* ---- conv2d_backward_x: inputs (dy, weight) -> dx. A convolution of dy, or gathers the gradients of the columns ----
 */

static gh_status conv_of_backward_x(gh_graph *g, const gh_device *device, const gh_node *node, conv *c) {
  const gh_tensor *dy = node->in[0], *w = node->in[1];
  *c = (conv){.batch = dy->shape[0],
              .channels = w->shape[1],
              .height = (int64_t)node->attr[SIZE_H],
              .width = (int64_t)node->attr[SIZE_W],
              .out_channels = w->shape[0],
              .kernel_h = w->shape[2],
              .kernel_w = w->shape[3]};
  return complete(g, device, node, c);
}

static int64_t flipped_elements(const conv *c) { return c->out_channels * c->k; }

static gh_status backward_x_infer(gh_graph *g, gh_node *node) {
  conv c;
  if (conv_of_backward_x(g, gh_graph_device(g), node, &c)) return GH_ERROR_ARGUMENT;
  gh_declare(g, node, GH_F32, 4, (int64_t[]){c.batch, c.channels, c.height, c.width});
  const gh_gemm_desc d = backward_desc(&c);
  if (c.direct) return declare_direct(g, node, &d, flipped_elements(&c));
  const int64_t columns = columns_elements(&c);
  return columns ? gh_declare_scratch(g, node, GH_F32, GH_MAX(columns, flipped_elements(&c))) : GH_OK;
}

static gh_status backward_x_settle(gh_recorder *r, gh_node *node) {
  conv c;
  gh_status status = conv_of_backward_x(NULL, gh_recorder_device(r), node, &c);
  const gh_gemm_desc d = backward_desc(&c);
  return status ? status : settle(r, node, &d, c.image && c.stride == 1, flipped_elements(&c));
}

/* Records the rows of dx that the part's output rows read; all rows if the part has all. */
static gh_status record_gather(gh_recorder *r, const gh_node *node, const conv *c, const part *p) {
  int64_t first = 0, end = c->height, offset = p->first_image * c->channels * c->height * c->width;
  if (!p->whole) {
    first = GH_MAX(0, p->first_row * c->stride - c->top);
    end = GH_MIN(c->height, (p->first_row + p->rows - 1) * c->stride - c->top + c->kernel_h);
  }
  if (end <= first) return GH_OK; /* the part reads only padding */
  int64_t rows = p->images * c->channels * (end - first);
  return GH_RECORD(r, node, "conv2d_gather", gh_grid_rows(r, rows, c->width), gh_arg_tensor(node->out[0]),
                   gh_arg_tensor(node->scratch), gh_arg_long(offset), gh_arg_long(rows), gh_arg_int(c->channels),
                   gh_arg_int(c->height), gh_arg_int(c->width), gh_arg_int(c->kernel_h), gh_arg_int(c->kernel_w),
                   gh_arg_int(c->stride), gh_arg_int(c->top), gh_arg_int(c->left), gh_arg_int(p->first_row),
                   gh_arg_int(p->rows), gh_arg_int(c->out_w), gh_arg_int(first), gh_arg_int(end - first),
                   gh_arg_int(!p->whole));
}

static gh_status record_direct_backward_x(gh_recorder *r, const gh_node *node, const conv *c, gh_gemm_desc d) {
  const int64_t rows = c->out_channels * c->channels, taps = c->kernel_h * c->kernel_w;
  gh_status status =
      GH_RECORD(r, node, "conv2d_flip_weight", gh_grid_rows(r, rows, taps), gh_arg_tensor(node->scratch),
                gh_arg_tensor(node->in[1]), gh_arg_long(rows), gh_arg_long(c->channels), gh_arg_int(taps));
  if (status) return status;
  return record_direct(r, node, d, flipped_elements(c), node->out[0], node->in[0], node->scratch, NULL);
}

static gh_status backward_x_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dy = node->in[0], *w = node->in[1];
  gh_tensor *dx = node->out[0];
  conv c;
  bool direct;
  gh_status status = conv_of_backward_x(NULL, gh_recorder_device(r), node, &c);
  const gh_gemm_desc whole = backward_desc(&c);
  if (!status) status = is_direct(r, &whole, c.direct, c.image && c.stride == 1, &direct);
  if (!status && direct) return record_direct_backward_x(r, node, &c, whole);
  if (!status && c.rows < c.out_h) status = gh_record_zero(r, dx);
  for (part p = {0}; !status && next_part(&c, &p);) {
    int64_t n = part_positions(&c, &p);
    gh_gemm_desc d = {.m = c.k, .n = n, .k = c.out_channels, .trans_a = true, .lda = c.k, .ldb = c.positions, .ldc = n};
    d.alpha = 1;
    d.batch = p.images;
    d.stride_b = c.out_channels * c.positions;
    d.stride_c = c.k * n;
    d.offset_b = p.first_image * d.stride_b + p.first_row * c.out_w;
    status = gh_record_gemm(r, &d, w, dy, c.plain ? dx : node->scratch);
    if (!status && !c.plain) status = record_gather(r, node, &c, &p);
  }
  return status;
}

static double backward_x_flops(const gh_node *node) {
  const gh_tensor *dy = node->in[0], *w = node->in[1];
  return 2.0 * (double)gh_tensor_elements(dy) * (double)(gh_tensor_elements(w) / w->shape[0]);
}

const gh_op gh_op_conv2d_backward_x = {
    .name = "conv2d_backward_x",
    .wide = GH_WIDE_ALL,
    .attrs = {"stride", "pad_top", "pad_left", "pad_bottom", "pad_right", "height", "width"},
    .infer = backward_x_infer,
    .settle = backward_x_settle,
    .launch = backward_x_launch,
    .flops = backward_x_flops};

/* ---- conv2d_backward_weight: inputs (dy, x) -> dweight, a sum over images and parts ---- */

static gh_status conv_of_backward_weight(gh_graph *g, const gh_device *device, const gh_node *node, conv *c) {
  const gh_tensor *dy = node->in[0], *x = node->in[1];
  *c = (conv){.batch = x->shape[0],
              .channels = x->shape[1],
              .height = x->shape[2],
              .width = x->shape[3],
              .out_channels = dy->shape[1],
              .kernel_h = (int64_t)node->attr[SIZE_H],
              .kernel_w = (int64_t)node->attr[SIZE_W]};
  return complete(g, device, node, c);
}

#define WANTED 32 /* work-items, a constant: the order of the sums is the same on every CPU */

typedef struct weight_cut {
  int64_t chunks, chunk_vecs, shares, bands, blocks; /* of positions, of columns, of output channels */
} weight_cut;

static weight_cut cut_weight(const conv *c) {
  int64_t vecs = c->batch * GH_CEIL_DIV(c->positions, CPU_VECTOR);
  weight_cut cut = {.bands = GH_CEIL_DIV(c->k, WEIGHT_K), .blocks = GH_CEIL_DIV(c->out_channels, WEIGHT_OUT)};
  cut.chunk_vecs = GH_CEIL_DIV(vecs, GH_CEIL_DIV(vecs, WEIGHT_VECS));
  cut.chunks = GH_CEIL_DIV(vecs, cut.chunk_vecs);
  cut.shares = GH_MIN(cut.chunks, GH_CEIL_DIV(WANTED, cut.bands * cut.blocks));
  return cut;
}

static gh_status backward_weight_infer(gh_graph *g, gh_node *node) {
  conv c;
  if (conv_of_backward_weight(g, gh_graph_device(g), node, &c)) return GH_ERROR_ARGUMENT;
  gh_declare(g, node, GH_F32, 4, (int64_t[]){c.out_channels, c.channels, c.kernel_h, c.kernel_w});
  if (!c.direct_weight) return declare_columns(g, node, &c);
  return gh_declare_scratch(g, node, GH_F32, cut_weight(&c).shares * c.out_channels * c.k);
}

static gh_status backward_weight_settle(gh_recorder *r, gh_node *node) {
  conv c;
  gh_status status = conv_of_backward_weight(NULL, gh_recorder_device(r), node, &c);
  const gh_gemm_desc d = weight_desc(&c);
  return status ? status : settle(r, node, &d, c.image, 0);
}

/* A product for each image. */
static gh_status record_image_weight(gh_recorder *r, const gh_node *node, const conv *c) {
  gh_gemm_desc d = weight_desc(c);
  gh_status status = node->accumulate ? GH_OK : gh_record_zero(r, node->out[0]);
  for (int64_t i = 0; i < c->batch && !status; i++) {
    d.offset_a = i * c->out_channels * c->positions;
    d.offset_b = i * c->channels * c->height * c->width;
    status = gh_record_gemm(r, &d, node->in[0], node->in[1], node->out[0]);
  }
  return status;
}

static gh_status record_direct_weight(gh_recorder *r, const gh_node *node, const conv *c) {
  weight_cut cut = cut_weight(c);
  gh_grid grid = {.groups = {(size_t)cut.shares, (size_t)cut.bands, (size_t)cut.blocks}, .local = {1, 1, 1}};
  gh_status status =
      GH_RECORD(r, node, "conv2d_weight", grid, gh_arg_tensor(node->scratch), gh_arg_tensor(node->in[0]),
                gh_arg_tensor(node->in[1]), gh_arg_long(c->batch), gh_arg_int(c->channels), gh_arg_int(c->out_channels),
                gh_arg_int(c->height), gh_arg_int(c->width), gh_arg_int(c->out_h), gh_arg_int(c->out_w),
                gh_arg_int(c->kernel_h), gh_arg_int(c->stride), gh_arg_int(c->top), gh_arg_int(c->left),
                gh_arg_long(cut.chunks), gh_arg_int(cut.chunk_vecs));
  if (status) return status;
  return gh_record_partials(r, node, node->out[0], node->scratch, 1, cut.shares, c->out_channels * c->k, 1,
                            node->accumulate);
}

static gh_status backward_weight_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dy = node->in[0], *x = node->in[1];
  conv c;
  gh_status status = conv_of_backward_weight(NULL, gh_recorder_device(r), node, &c);
  if (!status && c.direct_weight) return record_direct_weight(r, node, &c);
  bool image;
  const gh_gemm_desc whole = weight_desc(&c);
  if (!status) status = is_direct(r, &whole, false, c.image, &image);
  if (!status && image) return record_image_weight(r, node, &c);
  bool first = !node->accumulate;
  for (part p = {0}; !status && next_part(&c, &p);) {
    int64_t n = part_positions(&c, &p);
    gh_gemm_desc d = {.m = c.out_channels, .n = c.k, .k = n, .trans_b = true, .lda = c.positions, .ldb = n, .ldc = c.k};
    d.alpha = 1;
    d.batch = 1;
    if (!c.plain) status = record_columns(r, node, &c, &p, x);
    for (int64_t i = 0; !status && i < p.images; i++) {
      d.offset_a = (p.first_image + i) * c.out_channels * c.positions + p.first_row * c.out_w;
      d.offset_b = i * c.k * n;
      d.beta = first ? 0 : 1;
      status = gh_record_gemm(r, &d, dy, c.plain ? x : node->scratch, node->out[0]);
      first = false;
    }
  }
  return status;
}

static double backward_weight_flops(const gh_node *node) {
  const gh_tensor *dy = node->in[0], *dw = node->out[0];
  return 2.0 * (double)gh_tensor_elements(dy) * (double)(gh_tensor_elements(dw) / dw->shape[0]);
}

const gh_op gh_op_conv2d_backward_weight = {
    .name = "conv2d_backward_weight",
    .wide = GH_WIDE_ALL,
    .attrs = {"stride", "pad_top", "pad_left", "pad_bottom", "pad_right", "kernel_h", "kernel_w"},
    .flags = GH_OP_ACCUMULATES,
    .infer = backward_weight_infer,
    .settle = backward_weight_settle,
    .launch = backward_weight_launch,
    .flops = backward_weight_flops};

/* ---- conv2d_backward_bias: inputs (dy) -> dbias: planes, then images ---- */

static gh_status backward_bias_infer(gh_graph *g, gh_node *node) {
  const gh_tensor *dy = node->in[0];
  gh_declare(g, node, GH_F32, 1, &dy->shape[1]);
  return gh_declare_scratch(g, node, GH_F32, dy->shape[0] * dy->shape[1]);
}

static gh_status backward_bias_launch(gh_recorder *r, const gh_node *node) {
  const gh_tensor *dy = node->in[0];
  int64_t rows = dy->shape[0] * dy->shape[1], plane = dy->shape[2] * dy->shape[3];
  gh_status status =
      GH_RECORD_ROWS(r, node, node->storage, "conv2d_plane_sums", gh_rows_of(rows, plane), gh_arg_tensor(node->scratch),
                     gh_arg_tensor(dy), gh_arg_long(rows), gh_arg_long(plane));
  if (status) return status;
  return gh_record_partials(r, node, node->out[0], node->scratch, 1, dy->shape[0], dy->shape[1], 1, node->accumulate);
}

static double backward_bias_flops(const gh_node *node) { return (double)gh_tensor_elements(node->in[0]); }

const gh_op gh_op_conv2d_backward_bias = {.name = "conv2d_backward_bias",
                                          .wide = GH_WIDE_ALL,
                                          .flags = GH_OP_ACCUMULATES,
                                          .infer = backward_bias_infer,
                                          .launch = backward_bias_launch,
                                          .flops = backward_bias_flops};
