/* Work-items as fibers of one thread. An item that reaches no barrier is a plain call: only an item that waits keeps
 * its stack, and the next item starts on a fresh one. A barrier opens when all items of the block wait at it; if some
 * wait and others have ended, the launch fails. */
#include "fibers.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- switching ---- */

typedef struct fiber fiber;

#if defined(__x86_64__) && !defined(GH_DOUBLE_UCONTEXT)
struct fiber {
  void *stack;
};
void gh_double_switch(void **from, void *to);
__asm__(".text\n.globl gh_double_switch\n.hidden gh_double_switch\n.type gh_double_switch,@function\n"
        "gh_double_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp,(%rdi)\nmov %rsi,%rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size gh_double_switch,.-gh_double_switch\n");
static inline void switch_to(fiber *from, fiber *to) { gh_double_switch(&from->stack, to->stack); }
static void prepare(fiber *f, char *stack, size_t size, void (*entry)(void)) {
  void **top = (void **)(stack + (size & ~(size_t)15));
  *--top = NULL;                  /* entry's return address; aligns the stack as after a call */
  *--top = (void *)(size_t)entry; /* popped by ret */
  top -= 6;
  memset(top, 0, 6 * sizeof *top);
  f->stack = top;
}
#else
#include <ucontext.h>
struct fiber {
  ucontext_t context;
};
static inline void switch_to(fiber *from, fiber *to) { swapcontext(&from->context, &to->context); }
static void prepare(fiber *f, char *stack, size_t size, void (*entry)(void)) {
  getcontext(&f->context);
  f->context.uc_stack.ss_sp = stack;
  f->context.uc_stack.ss_size = size;
  f->context.uc_link = NULL;
  makecontext(&f->context, entry, 0);
}
#endif

/* ---- a block ---- */

/* Not a power of two, so that the tops of the stacks do not share a cache set. */
#define STACK_BYTES  ((size_t)128 * 1024 + 4096)
#define STACK_COLOUR 320
#define CANARY       UINT64_C(0x5bd1e995c0ffee11)

static struct {
  const gh_double_table_t *table;
  const gh_double_kernel *kernel;
  void *const *arguments;
  int items, next, waiting; /* in the block; next to start; waiting at a barrier */
  int resumed;              /* -1 while items are started, then the next fiber to resume */
  int current;              /* fiber */
  gh_double_index index[DOUBLE_MAX_BLOCK], size;
  int item[DOUBLE_MAX_BLOCK]; /* item of each fiber */
  fiber main, fibers[DOUBLE_MAX_BLOCK];
  char *stacks;
} block;

static void run_items(void);

static void start_fiber(fiber *from) {
  int f = block.current = block.waiting; /* every fiber before it waits */
  char *stack = block.stacks + (size_t)f * STACK_BYTES;
  memcpy(stack, &(uint64_t){CANARY}, 8);
  prepare(&block.fibers[f], stack, STACK_BYTES - (size_t)(f % 12) * STACK_COLOUR, run_items);
  switch_to(from, &block.fibers[f]);
}

/* Switches from a fiber that waits or has ended to one that can continue. */
static void go_on(fiber *from) {
  if (block.resumed < 0 && block.next < block.items) {
    start_fiber(from);
  } else if (block.resumed >= 0 && block.resumed < block.items) {
    block.current = block.resumed++;
    switch_to(from, &block.fibers[block.current]);
  } else {
    switch_to(from, &block.main);
  }
}

static void run_items(void) {
  while (block.next < block.items) {
    int item = block.next++;
    block.item[block.current] = item;
    *block.table->thread = block.index[item];
    block.kernel->run(block.arguments);
    if (block.resumed >= 0) break; /* this item had waited: all have been started */
  }
  go_on(&block.fibers[block.current]);
}

static void at_barrier(void) {
  int self = block.current;
  block.waiting++;
  go_on(&block.fibers[self]);
  *block.table->thread = block.index[block.item[self]];
}

static const char *run_block(void) {
  block.next = block.waiting = 0;
  block.resumed = -1;
  start_fiber(&block.main);
  while (block.waiting) {
    if (block.waiting != block.items) return "a barrier that not all work-items of a block reach";
    block.waiting = 0;
    block.resumed = 1;
    block.current = 0;
    switch_to(&block.main, &block.fibers[0]);
  }
  return NULL;
}

static bool is_stack_whole(void) {
  for (int f = 0; f < block.items; f++) {
    uint64_t word;
    memcpy(&word, block.stacks + (size_t)f * STACK_BYTES, 8);
    if (word && word != CANARY) return false;
  }
  return true;
}

static bool set_block_size(gh_double_index size) {
  if (!block.stacks) {
    void *stacks = mmap(NULL, STACK_BYTES * DOUBLE_MAX_BLOCK, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stacks == MAP_FAILED) return false;
    block.stacks = stacks;
  }
  if (!memcmp(&size, &block.size, sizeof size)) return true;
  int item = 0;
  for (unsigned z = 0; z < size.z; z++)
    for (unsigned y = 0; y < size.y; y++)
      for (unsigned x = 0; x < size.x; x++) block.index[item++] = (gh_double_index){x, y, z};
  block.items = item;
  block.size = size;
  return true;
}

const char *double_run_kernel(const gh_double_table_t *table, const gh_double_kernel *kernel, double_grid grid,
                              void *const *arguments) {
  const char *why = NULL;
  if (!set_block_size(grid.size)) return "no memory for stacks";
  block.table = table;
  block.kernel = kernel;
  block.arguments = arguments;
  *table->barrier = at_barrier;
  *table->block_size = grid.size;
  *table->grid_size = grid.blocks;
  memset(table->shared, 0xff, (size_t)(table->shared_end - table->shared)); /* NaN: nothing may rely on zeros */
  for (unsigned z = 0; !why && z < grid.blocks.z; z++)
    for (unsigned y = 0; !why && y < grid.blocks.y; y++)
      for (unsigned x = 0; !why && x < grid.blocks.x; x++) {
        *table->block = (gh_double_index){x, y, z};
        why = run_block();
      }
  return why || is_stack_whole() ? why : "a work-item's stack overflowed";
}
