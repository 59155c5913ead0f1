/* Graphs: a step is recorded once, differentiated, planned and replayed.
 *
 * Legend used everywhere: B batch, N tokens, C channels or width, H heads, D head size; shapes are row-major, the last
 * dimension contiguous: (B, N, C).
 *
 * Recording never returns an error: the graph keeps the first failure (`graph->error`), every later call returns NULL
 * at once, and gh_graph_plan reports it. So a model builder reads like the equations it implements. */
#ifndef GH_GRAPH_GRAPH_H
#define GH_GRAPH_GRAPH_H

#include "backend/backend.h"
#include "base/text.h"

#define GH_MAX_RANK    5
#define GH_MAX_INPUTS  17
#define GH_MAX_OUTPUTS 8
#define GH_MAX_ATTRS   16

typedef struct gh_graph gh_graph;
typedef struct gh_node gh_node;
typedef struct gh_op gh_op;
typedef struct gh_recorder gh_recorder;

typedef enum gh_lifetime {
  GH_PERSISTENT, /* owns its memory: parameters, gradients, optimiser state, inputs (gh_store) */
  GH_VALUE       /* made by a node; the plan places it in an arena while it is alive */
} gh_lifetime;

/* What a persistent tensor is for. Its maker sets it; no code derives it from the name. */
typedef enum gh_role {
  GH_ROLE_STEP,      /* of a step: its inputs, the blocks of cl/step.h, totals */
  GH_ROLE_TABLE,     /* computed on the host, not learnt */
  GH_ROLE_MATRIX,    /* a parameter that only matrix products read */
  GH_ROLE_BIAS,      /* a parameter that a layer adds to its result */
  GH_ROLE_POSITIONS, /* a learnt embedding of positions */
  GH_ROLE_PARAMETER, /* any other parameter: a norm's scale, a token, a convolution's weight */
  GH_ROLE_LORA_A,    /* the adapter's parameters: (r, K) and (N, r) */
  GH_ROLE_LORA_B,
  GH_ROLE_WORKING,  /* a parameter's copy in a narrow type */
  GH_ROLE_GRADIENT, /* of a parameter */
  GH_ROLE_MOMENT    /* of a gradient, the optimiser's */
} gh_role;

/* The part of the model that a parameter belongs to, and whatever is kept beside it. */
typedef enum gh_part {
  GH_PART_NONE,
  GH_PART_ENCODER,  /* with its adapter */
  GH_PART_DENOISER, /* with its projectors */
  GH_PART_AUTOENCODER
} gh_part;

typedef struct gh_tensor {
  char *name;
  gh_lifetime lifetime;
  gh_role role; /* of a persistent tensor */
  gh_part part;
  gh_dtype dtype;
  int rank;
  int64_t shape[GH_MAX_RANK];
  bool trainable;            /* a parameter that gets a gradient */
  bool needs_grad;           /* trainable, or computed from a tensor that is */
  bool unbacked;             /* belongs to an unbacked store */
  struct gh_tensor *grad;    /* of a trainable parameter: persistent, same shape; gradients add up in it */
  struct gh_tensor *source;  /* a reshape of another tensor: shares its memory */
  struct gh_tensor *working; /* of a float32 matrix: its narrow copy, read by matrix products; NULL: none */
  gh_node *producer;         /* of a value */
  gh_buffer *buffer;         /* set by the store or the plan */
  struct {                   /* the plan's own */
    int first, last;         /* node indices between which the memory is needed; last = -1: never read */
    int arena;
    int64_t offset;
    bool keep;
  } plan;
} gh_tensor;

struct gh_node {
  const gh_op *op;
  int inputs, outputs;
  gh_tensor *in[GH_MAX_INPUTS]; /* NULL: an absent optional input */
  gh_tensor *out[GH_MAX_OUTPUTS];
  double attr[GH_MAX_ATTRS];
  gh_tensor *scratch;  /* the workspace that infer requested; alive during this node only */
  gh_dtype storage;    /* the narrow type of any input or output, else GH_F32: the ELEM of the node's kernels */
  bool accumulate;     /* out[0] += result; set by differentiation on ops with GH_OP_ACCUMULATES */
  bool dead;           /* the plan found that nothing reads its results */
  int segment;         /* recomputation segment (gh_graph_segment) */
  const char *phase;   /* gh_graph_phase; NULL: unnamed */
  gh_node *recomputed; /* differentiation's own: the copy that recomputes it */
};

enum {
  GH_OP_ACCUMULATES = 1,    /* launch honours node->accumulate on out[0] */
  GH_OP_VIEW = 2,           /* out[0] is in[0]'s memory with another shape; launches nothing */
  GH_OP_INPLACE = 4,        /* out[0] may share the memory of in[0] when in[0] dies here (elementwise) */
  GH_OP_MIXED = 8,          /* infer itself checks which inputs are float32 and which narrow */
  GH_OP_WIDE_GRADIENT = 16, /* gradients of its narrow results are float32: they are parameters */
  GH_OP_WIDE_BACKWARD = 32  /* has a gradient in float32 alone */
};

/* gh_op.wide: the inputs that are float32 for every storage type (statistics, scales, the residual stream). The
 * others all have one type. */
#define GH_WIDE(input) (1u << (input))
#define GH_WIDE_ALL    (~0u) /* a float32-only op */
/* gh_op.constant: the inputs that the op takes as constants, whatever they depend on. */
#define GH_CONSTANT(input) (1u << (input))

/* One op: its row of the op table (ops/registry.c). Attributes are named numbers; absent ones are 0. */
struct gh_op {
  const char *name;
  const char *attrs[GH_MAX_ATTRS];
  unsigned flags;
  unsigned wide;     /* GH_WIDE of inputs */
  unsigned constant; /* GH_CONSTANT of inputs */

  /* Checks inputs and attributes, declares every output (gh_declare) and the workspace (gh_declare_scratch). */
  gh_status (*infer)(gh_graph *g, gh_node *node);
  /* At the beginning of planning: chooses what decides how much workspace `launch` needs, and shrinks it
   * (gh_shrink_scratch). NULL: what infer declared is needed. */
  gh_status (*settle)(gh_recorder *r, gh_node *node);
  /* Records the node's kernels; an output with plan.last < 0 has no buffer and must not be written. */
  gh_status (*launch)(gh_recorder *r, const gh_node *node);
  /* Records the nodes that turn dout (NULL if no gradient arrives) into din; leaves din[i] NULL if
   * !gh_wants_grad(node->in[i]). NULL: the op has no gradient; needing one is an error that names the op. */
  void (*gradient)(gh_graph *g, const gh_node *node, gh_tensor *const *dout, gh_tensor **din);
  double (*flops)(const gh_node *node); /* multiply-adds count two; NULL: one per output element */
};

/* ---- persistent tensors ---- */

typedef struct gh_store gh_store; /* named tensors with their memory; outlives the graphs that use them */

gh_status gh_store_create(gh_error *err, gh_device *device, gh_store **out);
/* The same without memory: tensors only have shapes, and writes to them do nothing. A step recorded on such a store can
 * be measured (gh_graph_measure) before anything is allocated; it cannot run. */
gh_status gh_store_create_unbacked(gh_error *err, gh_device *device, gh_store **out);
void gh_store_free(gh_store *store);
/* Tensors of these names (sorted, must outlive the store's growth) get no memory, as in an unbacked store; what is
 * added beside them (gh_store_make_trainable, gh_store_make_working) does. */
void gh_store_leave_out(gh_store *store, const gh_strings *names);
/* Gives a tensor that was left out its memory: inside another of the store, from byte `at` on, a multiple of the
 * device's alignment. In an unbacked store nothing. */
gh_status gh_store_lodge(gh_error *err, gh_store *store, gh_tensor *t, const gh_tensor *inside, int64_t at);
/* A new zeroed tensor of GH_ROLE_STEP and no part, which the caller may change; GH_ERROR_ARGUMENT if the name exists.
 * Memory is allocated in arenas of bounded size. */
gh_status gh_store_add(gh_error *err, gh_store *store, const char *name, gh_dtype dtype, int rank, const int64_t *shape,
                       gh_tensor **out);
/* The same in the host's memory, over the bus (backend.h: host_buffer_create), unless it is small. */
gh_status gh_store_add_on_host(gh_error *err, gh_store *store, const char *name, gh_dtype dtype, int rank,
                               const int64_t *shape, gh_tensor **out);
/* Marks the parameter trainable and adds its gradient, named "grad.<name>", float32 or of another type. */
gh_status gh_store_make_trainable(gh_error *err, gh_store *store, gh_tensor *parameter);
gh_status gh_store_make_trainable_as(gh_error *err, gh_store *store, gh_tensor *parameter, gh_dtype gradient);
/* Adds a zeroed working copy of a float32 parameter in a narrow type, named "bf16.<name>" or "f16.<name>": the next
 * write of the parameter fills both. */
gh_status gh_store_make_working(gh_error *err, gh_store *store, gh_tensor *parameter, gh_dtype dtype);
gh_tensor *gh_store_find(const gh_store *store, const char *name); /* NULL if there is none */
int gh_store_count(const gh_store *store);
gh_tensor *gh_store_at(const gh_store *store, int index); /* in order of addition */
int64_t gh_store_bytes(const gh_store *store);            /* allocated, or that would be: whole arenas */
int64_t gh_store_host_bytes(const gh_store *store);       /* beside them, in memory that only the host has */

bool gh_is_parameter(const gh_tensor *t); /* by its role: learnt, and not derived from another tensor */

int64_t gh_tensor_elements(const gh_tensor *t);
int64_t gh_tensor_bytes(const gh_tensor *t);
/* Product of all dimensions but the last (1 for rank 0), and the last. */
int64_t gh_tensor_rows(const gh_tensor *t);
int64_t gh_tensor_columns(const gh_tensor *t);
bool gh_same_shape(const gh_tensor *a, const gh_tensor *b);
gh_buffer *gh_tensor_buffer(const gh_tensor *t); /* follows reshapes */

/* What a matrix product reads for t: its working copy if any, otherwise t itself. Both follow reshapes. */
gh_dtype gh_operand_dtype(const gh_tensor *t);
gh_buffer *gh_operand_buffer(const gh_tensor *t);
/* The type of t's gradient: float32 for a parameter and for a result of a GH_OP_WIDE_GRADIENT op, else t's type. */
gh_dtype gh_gradient_dtype(const gh_tensor *t);

/* Whole-tensor transfers of gh_tensor_bytes(t), as stored. Synchronous. Writing to a tensor without memory does
 * nothing; writing a float32 tensor also updates its working copy, if that has memory. */
gh_status gh_tensor_write(gh_error *err, gh_device *device, gh_tensor *t, const void *data);
/* A write that does not wait for the device; the caller may reuse data at once. For the inputs of every step. */
gh_status gh_tensor_send(gh_error *err, gh_device *device, gh_tensor *t, const void *data);
gh_status gh_tensor_read(gh_error *err, gh_device *device, const gh_tensor *t, void *data);
/* The same from and to float32 for a tensor of any floating type; rounds to nearest even if it is narrow. */
gh_status gh_tensor_write_f32(gh_error *err, gh_device *device, gh_tensor *t, const float *values);
gh_status gh_tensor_read_f32(gh_error *err, gh_device *device, const gh_tensor *t, float *values);

/* ---- recording ---- */

gh_status gh_graph_create(gh_error *err, gh_device *device, gh_graph **out);
void gh_graph_free(gh_graph *g);
gh_device *gh_graph_device(const gh_graph *g);

/* Applies an op; returns its first output. `attrs` may be NULL (all 0). */
gh_tensor *gh_apply(gh_graph *g, const gh_op *op, gh_tensor *const *in, int inputs, const double *attrs,
                    int attr_count);
/* The same for the ops with several outputs: fills out[0..node->outputs). */
gh_node *gh_apply_node(gh_graph *g, const gh_op *op, gh_tensor *const *in, int inputs, const double *attrs,
                       int attr_count);

/* For infer: declares the node's next output, of this shape; one like another tensor; a workspace of so many elements,
 * which lives while the node runs. NULL or the graph's status after a failure. */
gh_tensor *gh_declare(gh_graph *g, gh_node *node, gh_dtype dtype, int rank, const int64_t *shape);
gh_status gh_declare_like(gh_graph *g, gh_node *node, const gh_tensor *like);
gh_status gh_declare_scratch(gh_graph *g, gh_node *node, gh_dtype dtype, int64_t elements);
/* From gh_op.settle: the workspace needs no more than so many elements; 0: there is none. */
void gh_shrink_scratch(gh_node *node, int64_t elements);
/* Keeps the graph's first error; returns its status. `node` may be NULL; otherwise its op's name begins the text. */
gh_status gh_graph_fail(gh_graph *g, const gh_node *node, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool gh_graph_failed(const gh_graph *g);
/* The first error's record, for model builders that call fallible functions while recording. */
gh_error *gh_graph_error(gh_graph *g);

static inline bool gh_wants_grad(const gh_tensor *t) { return t && t->needs_grad; }

/* ---- differentiation (reverse mode) ---- */

/* Recomputation trades time for memory: a segment's values are not kept for its gradients but computed again, just
 * before they are needed, from the results of earlier segments. The numbers are identical, random ones included. A
 * segment begins where a model says (a block), and matters only if recomputation is requested before
 * differentiation. */
void gh_graph_segment(gh_graph *g);
void gh_graph_recompute(gh_graph *g, bool on);

/* For gradients that are bf16: sums in them are rounded at random by streams of this seed, at the ordinal of the step
 * block `step` (cl/step.h). */
void gh_graph_round(gh_graph *g, gh_tensor *step, uint64_t seed, int stage);

/* Records the backward pass of the scalar `loss` (seed 1). Gradients of trainable parameters add up in parameter->grad,
 * which the caller clears at the start of an update; those of values overwrite. gh_graph_gradient returns both. */
gh_status gh_graph_differentiate(gh_graph *g, gh_tensor *loss);
/* The same from given gradients of any tensors: dout[i] has out[i]'s shape. Tests use it. */
gh_status gh_graph_differentiate_from(gh_graph *g, gh_tensor *out[], gh_tensor *dout[], int count);
/* d loss / d t as recorded by differentiation; NULL if no gradient arrives. */
gh_tensor *gh_graph_gradient(const gh_graph *g, const gh_tensor *t);

/* The ops that differentiation itself needs; defined in ops/ with the others. */
extern const gh_op gh_op_add; /* inputs (a, b), attribute scale: a + scale * b */
/* A persistent tensor += a value: inputs (value); out[0] is set by the caller. To a bf16 tensor: inputs (value, step),
 * attributes key0 and key1: rounded at random, by the stream of that key at the step block's ordinal. */
extern const gh_op gh_op_accumulate;
extern const gh_op gh_op_constant; /* attribute value: a scalar of shape () */
extern const gh_op gh_op_cast;     /* attribute type: from float32 to this narrow one, or back to GH_F32 */

/* ---- plan and replay ---- */

void gh_graph_keep(gh_graph *g, gh_tensor *t); /* its memory survives the run and can be read */
/* Liveness -> arena offsets; binds launches, compiles kernels. Reports recording errors. */
gh_status gh_graph_plan(gh_error *err, gh_graph *g);
/* Only the first half of planning: lifetimes and offsets, for gh_graph_peak_bytes. */
gh_status gh_graph_measure(gh_error *err, gh_graph *g);
/* For a measured graph: chooses the provider of each matrix product and attention (tuning and checking if needed), so
 * that planning finds the choices made. Allocates nothing for the graph. */
gh_status gh_graph_choose(gh_error *err, gh_graph *g);
int64_t gh_graph_peak_bytes(const gh_graph *g); /* of values; stores not counted */
/* The values alive at peak memory use, largest first: fills at most `capacity`, returns how many. */
int gh_graph_largest(const gh_graph *g, const gh_tensor **out, int capacity);
double gh_graph_flops(const gh_graph *g);
int gh_graph_node_count(const gh_graph *g);
const gh_node *gh_graph_node(const gh_graph *g, int index);
/* Enqueues every launch; does not wait. */
gh_status gh_graph_run(gh_error *err, gh_graph *g);

/* ---- measuring ---- */

/* Names the phase of the nodes recorded from here on ("encoder"): static text. Differentiation sets "backward". */
void gh_graph_phase(gh_graph *g, const char *phase);

/* A planned graph's launches, in order. */
typedef struct gh_launch_note {
  const gh_node *node; /* the node that recorded it */
  const char *name;    /* the kernel's; "gemm m=.. n=.. .."; "fill" */
  double flops;        /* a node's launches add up to its op's count, if any */
} gh_launch_note;
int gh_graph_launch_count(const gh_graph *g);
gh_launch_note gh_graph_launch_note(const gh_graph *g, int index);
/* gh_graph_run cut into parts: the launches [first, first + count). */
gh_status gh_graph_run_part(gh_error *err, gh_graph *g, int first, int count);

/* Test aids (poison.c), for planned graphs: fill the values' memory with a marked NaN; after a run, GH_ERROR_DEVICE
 * names the preceding tensor if a gap between the values no longer holds it. Dead values share memory: keep all values
 * to see every gap. */
#define GH_POISON UINT32_C(0x7fdead5a)
gh_status gh_graph_poison(gh_error *err, gh_graph *g);
gh_status gh_graph_check_poison(gh_error *err, const gh_graph *g);

/* ---- for an op's launch function ---- */

gh_device *gh_recorder_device(const gh_recorder *r);
/* Binds a kernel of the ops' program, in the node's storage type, as its next launch; arguments in the kernel's order.
 */
gh_status gh_record_kernel(gh_recorder *r, const gh_node *node, const char *kernel, gh_grid grid, const gh_arg *args,
                           int count);
/* c = alpha op(a) op(b) + beta c per desc, sizes in elements; uses the working copies of a and b if they have one. */
gh_status gh_record_gemm(gh_recorder *r, const gh_gemm_desc *desc, const gh_tensor *a, const gh_tensor *b,
                         gh_tensor *c);
/* Whether the chosen provider adds desc->second, whose buffers do not matter here, in one launch; if not, the op
 * records two products. */
gh_status gh_record_joins(gh_recorder *r, const gh_gemm_desc *desc, bool *itself);
/* Whether the chosen provider computes a convolution from the image; if not, the op forms the columns. */
gh_status gh_record_convolves(gh_recorder *r, const gh_gemm_desc *desc, bool *itself);
/* Binds the kernel that is chosen for this part of attention; `own`: its own arguments, at most 9, which those that all
 * parts share follow. hidden: NULL or the mask. */
gh_status gh_record_attention(gh_recorder *r, const gh_node *node, const gh_attention_desc *desc, const gh_arg *own,
                              int owns, const gh_tensor *hidden, double scale);
/* 2-D transforms of the last dimensions (rows, columns, 2) of `from`, which may be `to`, by the library, where that was
 * chosen: *done is then true. Otherwise nothing is recorded. */
gh_status gh_record_fft(gh_recorder *r, const gh_fft_desc *desc, const gh_tensor *from, gh_tensor *to, bool *done);
gh_status gh_record_zero(gh_recorder *r, const gh_tensor *t);

/* The same from the program of a storage type other than the node's. */
gh_status gh_record_kernel_as(gh_recorder *r, const gh_node *node, gh_dtype storage, const char *kernel, gh_grid grid,
                              const gh_arg *args, int count);

#define GH_RECORD(r, node, kernel, grid, ...)                                                                          \
  gh_record_kernel(r, node, kernel, grid, (const gh_arg[]){__VA_ARGS__},                                               \
                   (int)(sizeof((const gh_arg[]){__VA_ARGS__}) / sizeof(gh_arg)))

#define GH_RECORD_AS(r, node, storage, kernel, grid, ...)                                                              \
  gh_record_kernel_as(r, node, storage, kernel, grid, (const gh_arg[]){__VA_ARGS__},                                   \
                      (int)(sizeof((const gh_arg[]){__VA_ARGS__}) / sizeof(gh_arg)))

/* Rows of a kernel that goes through them in pieces (cl/pieces.h). On a GPU, rows whose length is not whole pieces are
 * read element by element: by the same kernel of a program of its own. */
typedef struct gh_rows {
  int64_t rows, columns;
  int64_t run; /* what must be whole pieces: the columns of a row, or the runs that it consists of or begins at */
} gh_rows;
static inline gh_rows gh_rows_of(int64_t rows, int64_t columns) { return (gh_rows){rows, columns, columns}; }
#define GH_PLAIN_ROWS "-DPLAIN_ROWS"
gh_status gh_record_rows(gh_recorder *r, const gh_node *node, gh_dtype storage, const char *kernel, gh_rows of,
                         const gh_arg *args, int count);

#define GH_RECORD_ROWS(r, node, storage, kernel, of, ...)                                                              \
  gh_record_rows(r, node, storage, kernel, of, (const gh_arg[]){__VA_ARGS__},                                          \
                 (int)(sizeof((const gh_arg[]){__VA_ARGS__}) / sizeof(gh_arg)))

static inline gh_arg gh_arg_tensor(const gh_tensor *t) { return gh_arg_buffer(t ? gh_tensor_buffer(t) : NULL); }
#define gh_arg_int(v)   gh_arg_i32(v)
#define gh_arg_long(v)  gh_arg_i64(v)
#define gh_arg_float(v) gh_arg_f32(v)

/* Grids of the three mechanisms of cl/platform.h. */
gh_grid gh_grid_rows(const gh_recorder *r, int64_t rows, int64_t columns);
gh_grid gh_grid_elements(const gh_recorder *r, int64_t elements);
/* Elements in pieces of the program of that storage type (cl/pieces.h). */
gh_grid gh_grid_pieces(const gh_recorder *r, int64_t elements, gh_dtype storage);
/* Column reductions: `segments` independent (rows, columns) matrices reduced over rows into (segments, columns), in two
 * passes. Rows are cut into chunks of COLUMN_CHUNK (cl/launch.h) in both shapes, so results do not depend on the
 * device. */
gh_grid gh_grid_columns(const gh_recorder *r, int64_t chunks, int64_t columns);

#endif
