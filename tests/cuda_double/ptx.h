/* An interpreter of PTX: runs the output of NVIDIA's own NVRTC on the host, by the rules of the PTX ISA. The 32 lanes
 * of a warp run together while they are at the same instruction; when they diverge, those furthest behind run first, so
 * that they reconverge. */
#ifndef GH_TESTS_CUDA_DOUBLE_PTX_H
#define GH_TESTS_CUDA_DOUBLE_PTX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "fibers.h"

/* ---- for the driver ---- */

typedef struct ptx_module ptx_module;
typedef struct ptx_kernel ptx_kernel;

bool ptx_is(const void *image);
/* NULL: `why` names the line and the unknown construct. */
ptx_module *ptx_load(const char *text, char *why, size_t size);
void ptx_free(ptx_module *module);
int ptx_arch(const ptx_module *module); /* 90 for sm_90 */
const ptx_kernel *ptx_find(const ptx_module *module, const char *name);
/* NULL, or why it failed: valid until the next call. */
const char *ptx_run(const ptx_kernel *kernel, double_grid grid, const uint64_t *arguments);

/* ---- among the files of the interpreter ---- */

enum {
  PTX_LANES = 32,
  PTX_OPERANDS = 16,
  PTX_PARAMS = 64,
  PTX_SHARED = 49152,     /* bytes per block */
  PTX_SHARED_BASE = 1024, /* nothing is at address 0 */
  PTX_SHARED_GAP = 64     /* between variables: an access here is a fault */
};
#define PTX_ALL UINT32_MAX /* lanes */

typedef struct ptx_instr ptx_instr;
typedef struct ptx_warp ptx_warp;

/* A register is a row of a warp's register file: 32 numbers of 4 or 8 bytes (16-bit numbers too: the upper half is 0)
 * or, for predicates, one bit per lane. An operand is the offset of its row. */
typedef void ptx_row(void *d, const void *a, const void *b, const void *c, const void *e);
/* False: ptx_fail has recorded the reason. */
typedef bool ptx_action(ptx_warp *warp, const ptx_instr *in, uint32_t lanes);

typedef enum ptx_kind {
  PTX_ROW,      /* each lane by itself */
  PTX_ACTION,   /* memory */
  PTX_TOGETHER, /* by all lanes of the warp, or of the mask that is the last operand */
  PTX_BRANCH,
  PTX_BARRIER,
  PTX_END
} ptx_kind;

typedef struct ptx_op {
  const char *name;
  ptx_kind kind;
  const char *operands; /* w: 32 bits, l: 64, h: 16, c: 32 or, in the table's next row, 64; p: predicate, ?: any but
                         * these; [ an address; {4 that many of 32 bits; i: a literal; L: a label */
  ptx_row *row;
  ptx_action *action;
} ptx_op;

extern const ptx_op ptx_ops[];
extern const ptx_op ptx_warp_ops[];
extern const ptx_op ptx_memory_ops[];
/* Not found by name: ptx_parse.c reads their names in parts. For all types; the last ones split a 64- or 32-bit number
 * into halves, and make it of them. */
extern const ptx_op ptx_load_op, ptx_load_shared_op, ptx_store_op, ptx_halves_ops[4];

enum { PTX_GLOBAL, PTX_IN_SHARED, PTX_PARAM };

struct ptx_instr {
  const ptx_op *op;
  uint32_t operand[PTX_OPERANDS];
  uint8_t width[PTX_OPERANDS]; /* bytes of each: 4 or 8; 0: a predicate */
  int count;
  uint32_t guard;    /* UINT32_MAX: none */
  bool unless;       /* the guard is negated */
  int target;        /* of a branch */
  int64_t offset[2]; /* added to the addresses */
  int address_count;
  uint8_t space, bytes, vector;
  bool is_signed;
  const char *text; /* ends with ; */
  int line;
};

typedef struct ptx_constant {
  uint64_t bits;
  uint32_t at, width;
} ptx_constant;

typedef struct ptx_variable {
  const char *name;
  size_t size; /* of the name, then of the variable */
  uint32_t at, bytes;
} ptx_variable;

struct ptx_kernel {
  char *name;
  ptx_kernel *next;
  int count;                    /* parameters */
  uint16_t sizes[PTX_PARAMS];   /* bytes of each */
  uint32_t offsets[PTX_PARAMS]; /* in the block of parameters */
  uint32_t most[3];             /* work-items that .maxntid allows; 0: unspecified */
  ptx_instr *instrs;
  int instr_count;
  ptx_constant *constants;
  int constant_count;
  ptx_variable *variables;
  int variable_count;
  uint32_t file_bytes; /* of a warp's registers */
  uint32_t shared_end; /* where the last variable ends */
};

struct ptx_module {
  char *text; /* instructions point into it */
  int arch;
  ptx_kernel *kernels;
};

/* ptx_parse.c: reads the module's text. False: `why` names the unknown construct. */
bool ptx_read(ptx_module *module, char *why, size_t size);

/* The special registers at the start of a register file: rows of 32 bits. */
enum { PTX_TID, PTX_NTID = 3, PTX_CTAID = 6, PTX_NCTAID = 9, PTX_SPECIALS = 12 };
#define PTX_ROW_BYTES ((uint32_t)(PTX_LANES * 4))

typedef struct ptx_copy { /* a cp.async in flight */
  int lane;
  uint32_t to, bytes, taken; /* taken: bytes from global memory; the rest is zero */
  const char *from;
} ptx_copy;

struct ptx_warp {
  char *file;
  size_t room;      /* its bytes */
  int index;        /* in the block */
  uint32_t lanes;   /* existing lanes */
  uint32_t alive;   /* lanes that have not ended */
  uint32_t waiting; /* lanes at a barrier */
  uint32_t joining; /* lanes at a warp-wide instruction */
  int pc[PTX_LANES];
  ptx_copy *copies;
  int copy_count, copy_room;
};

/* The current state. */
typedef struct ptx_state {
  const ptx_kernel *kernel;
  char params[8 * PTX_PARAMS];
  gh_double_index block;
  gh_double_index size;
  char why[600];
} ptx_state;
extern ptx_state ptx_now;

bool ptx_fail(const ptx_warp *warp, const ptx_instr *in, int lane, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static inline void *ptx_row_of(const ptx_warp *w, const ptx_instr *in, int operand) {
  return w->file + in->operand[operand];
}

/* ---- ptx_memory.c ---- */

void ptx_memory_begin(void);       /* at the start of a launch */
void ptx_memory_begin_block(void); /* shared memory is NaN */
void ptx_memory_barrier(void);     /* earlier accesses become visible to all */
/* For ptx_warp.c: 16 bytes of a row of shared memory, read for the whole warp; NULL: failed. */
const void *ptx_shared_row(const ptx_warp *warp, const ptx_instr *in, int lane, uint32_t at);

#endif
