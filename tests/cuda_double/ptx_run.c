/* Runs a PTX kernel: blocks in turn, their warps in turn up to the next barrier, and in a warp the lanes that are
 * furthest behind. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx.h"

#define MAX_WARPS (DOUBLE_MAX_BLOCK / PTX_LANES)

ptx_state ptx_now;
static ptx_warp warps[MAX_WARPS];
static int warp_count;

bool ptx_fail(const ptx_warp *warp, const ptx_instr *in, int lane, const char *format, ...) {
  va_list args;
  const gh_double_index s = ptx_now.size;
  const unsigned item = (unsigned)(warp->index * PTX_LANES + lane);
  int used =
      snprintf(ptx_now.why, sizeof ptx_now.why, "PTX line %d (%.*s), work-item %u %u %u of block %u %u %u: ", in->line,
               (int)strcspn(in->text, ";\n"), in->text, item % s.x, item / s.x % s.y, item / s.x / s.y, ptx_now.block.x,
               ptx_now.block.y, ptx_now.block.z);
  va_start(args, format);
  if (used >= 0 && (size_t)used < sizeof ptx_now.why)
    vsnprintf(ptx_now.why + used, sizeof ptx_now.why - (size_t)used, format, args);
  va_end(args);
  return false;
}

static int first_lane(uint32_t lanes) { return lanes ? __builtin_ctz(lanes) : 0; }

/* ---- a warp ---- */

/* The lanes furthest behind among those that can continue; *next: the position of the first of the others. */
static uint32_t choose(const ptx_warp *w, int *pc, int *next) {
  const uint32_t able = w->alive & ~w->waiting & ~w->joining;
  uint32_t chosen = 0;
  *pc = *next = INT32_MAX;
  for (int lane = 0; lane < PTX_LANES; lane++)
    if (able >> lane & 1 && w->pc[lane] < *pc) *pc = w->pc[lane];
  for (int lane = 0; lane < PTX_LANES; lane++) {
    if (!(able >> lane & 1)) continue;
    if (w->pc[lane] == *pc)
      chosen |= 1u << lane;
    else if (w->pc[lane] < *next)
      *next = w->pc[lane];
  }
  return chosen;
}

static void move_to(ptx_warp *w, uint32_t lanes, int pc) {
  for (int lane = 0; lane < PTX_LANES; lane++)
    if (lanes >> lane & 1) w->pc[lane] = pc;
}

static void run_row(const ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  char *const d = ptx_row_of(w, in, 0);
  const void *const a = ptx_row_of(w, in, in->count > 1 ? 1 : 0), *const b = in->count > 2 ? ptx_row_of(w, in, 2) : a;
  const void *const c = in->count > 3 ? ptx_row_of(w, in, 3) : a, *const e = in->count > 4 ? ptx_row_of(w, in, 4) : a;
  if (lanes == PTX_ALL) {
    in->op->row(d, a, b, c, e);
    return;
  }
  _Alignas(64) char all[8 * PTX_LANES];
  in->op->row(all, a, b, c, e);
  if (in->width[0] == 8) {
    for (int i = 0; i < PTX_LANES; i++) ((uint64_t *)d)[i] = lanes >> i & 1 ? ((uint64_t *)all)[i] : ((uint64_t *)d)[i];
  } else if (in->width[0]) {
    for (int i = 0; i < PTX_LANES; i++) ((uint32_t *)d)[i] = lanes >> i & 1 ? ((uint32_t *)all)[i] : ((uint32_t *)d)[i];
  } else {
    *(uint32_t *)d = (*(uint32_t *)d & ~lanes) | (*(uint32_t *)all & lanes);
  }
}

/* Lanes reach a warp-wide instruction. Returns the lanes that it acts for; 0: more must arrive. */
static uint32_t join(ptx_warp *w, const ptx_instr *in, uint32_t lanes, int pc) {
  uint32_t members = PTX_ALL;
  if (in->op->operands[0] == 'w') members = ((uint32_t *)ptx_row_of(w, in, in->count - 1))[first_lane(lanes)];
  for (int lane = 0; lane < PTX_LANES; lane++)
    if (w->joining >> lane & 1 && w->pc[lane] == pc) lanes |= 1u << lane;
  w->joining |= lanes;
  move_to(w, lanes, pc);
  if ((lanes & members) != members) return 0;
  w->joining &= ~lanes;
  return lanes;
}

/* Runs lanes that are at the same place until they diverge, meet others, wait or end. */
static bool run_lanes(ptx_warp *w, uint32_t lanes, int pc, int next) {
  const ptx_instr *const instrs = ptx_now.kernel->instrs;
  while (pc < next) {
    const ptx_instr *in = &instrs[pc];
    uint32_t doing = lanes;
    if (in->guard != UINT32_MAX) {
      const uint32_t guard = *(const uint32_t *)(w->file + in->guard);
      doing &= in->unless ? ~guard : guard;
    }
    if (!doing) {
      pc++;
      continue;
    }
    if (in->op->kind == PTX_ROW) {
      run_row(w, in, doing);
    } else if (in->op->kind == PTX_ACTION) {
      if (!in->op->action(w, in, doing)) return false;
    } else if (in->op->kind == PTX_BRANCH) {
      if (doing == lanes) {
        pc = in->target;
        continue;
      }
      move_to(w, doing, in->target);
      move_to(w, lanes & ~doing, pc + 1);
      return true;
    } else if (doing != lanes) {
      return ptx_fail(w, in, first_lane(doing), "under a condition");
    } else if (in->op->kind == PTX_TOGETHER) {
      doing = join(w, in, lanes, pc);
      if (!doing) return true;
      if (!in->op->action(w, in, doing)) return false;
      if (doing != lanes) {
        move_to(w, doing, pc + 1);
        return true;
      }
    } else {
      move_to(w, lanes, pc);
      if (in->op->kind == PTX_BARRIER)
        w->waiting |= lanes;
      else
        w->alive &= ~lanes;
      return true;
    }
    pc++;
  }
  move_to(w, lanes, pc);
  return true;
}

/* Runs a warp until all its lanes wait at a barrier or have ended. */
static bool run_warp(ptx_warp *w) {
  int pc, next;
  for (uint32_t lanes; (lanes = choose(w, &pc, &next));)
    if (!run_lanes(w, lanes, pc, next)) return false;
  if (!w->joining) return true;
  const int lane = first_lane(w->joining);
  return ptx_fail(w, &ptx_now.kernel->instrs[w->pc[lane]], lane, "lanes %#x of the warp are here, others never arrive",
                  w->joining);
}

/* ---- a block ---- */

static void set_special(ptx_warp *w, int first, gh_double_index at) {
  uint32_t *row = (uint32_t *)(w->file + (size_t)first * PTX_ROW_BYTES);
  for (int i = 0; i < PTX_LANES; i++) {
    row[i] = at.x;
    row[PTX_LANES + i] = at.y;
    row[2 * PTX_LANES + i] = at.z;
  }
}

static void begin_block(void) {
  const gh_double_index s = ptx_now.size;
  const uint32_t items = s.x * s.y * s.z;
  for (int i = 0; i < warp_count; i++) {
    ptx_warp *w = &warps[i];
    const uint32_t left = items - (uint32_t)i * PTX_LANES;
    w->lanes = w->alive = left >= PTX_LANES ? PTX_ALL : (1u << left) - 1;
    w->waiting = w->joining = 0;
    w->copy_count = 0;
    memset(w->pc, 0, sizeof w->pc);
    set_special(w, PTX_CTAID, ptx_now.block);
  }
  ptx_memory_begin_block();
}

/* All work-items of the block wait at the same barrier: opens it. */
static bool open_barrier(void) {
  const ptx_warp *first = NULL;
  for (int i = 0; i < warp_count; i++) {
    const ptx_warp *w = &warps[i];
    for (int lane = 0; lane < PTX_LANES; lane++) {
      if (!(w->waiting >> lane & 1)) continue;
      if (!first) first = w;
      const int at = first->pc[first_lane(first->waiting)];
      if (w->pc[lane] != at)
        return ptx_fail(w, &ptx_now.kernel->instrs[w->pc[lane]], lane, "others wait at another barrier, line %d",
                        ptx_now.kernel->instrs[at].line);
    }
  }
  for (int i = 0; i < warp_count; i++)
    if (warps[i].waiting != warps[i].lanes) {
      const int lane = first_lane(first->waiting);
      return ptx_fail(first, &ptx_now.kernel->instrs[first->pc[lane]], lane,
                      "a barrier that not all work-items of a block reach");
    }
  for (int i = 0; i < warp_count; i++) {
    warps[i].waiting = 0;
    for (int lane = 0; lane < PTX_LANES; lane++) warps[i].pc[lane]++;
  }
  ptx_memory_barrier();
  return true;
}

static bool run_block(void) {
  begin_block();
  for (;;) {
    bool any = false;
    for (int i = 0; i < warp_count; i++) {
      if (!run_warp(&warps[i])) return false;
      any = any || warps[i].waiting;
    }
    if (!any) return true;
    if (!open_barrier()) return false;
  }
}

/* ---- a launch ---- */

static void fill_constants(const ptx_kernel *k, char *file) {
  for (int c = 0; c < k->constant_count; c++) {
    const ptx_constant *one = &k->constants[c];
    for (int i = 0; i < PTX_LANES; i++) {
      if (one->width == 8)
        memcpy(file + one->at + 8 * i, &one->bits, 8);
      else if (one->width)
        memcpy(file + one->at + 4 * i, &one->bits, 4);
      else
        memcpy(file + one->at, &one->bits, 4);
    }
  }
}

static const char *begin_launch(const ptx_kernel *k, double_grid grid) {
  const uint32_t items = grid.size.x * grid.size.y * grid.size.z;
  warp_count = (int)((items + PTX_LANES - 1) / PTX_LANES);
  for (int i = 0; i < warp_count; i++) {
    ptx_warp *w = &warps[i];
    if (k->file_bytes > w->room) {
      free(w->file);
      w->room = (k->file_bytes + 63u) / 64 * 64;
      w->file = aligned_alloc(64, w->room);
      if (!w->file) {
        w->room = 0;
        return "no memory for registers";
      }
    }
    w->index = i;
    memset(w->file, 0xff, k->file_bytes);
    fill_constants(k, w->file);
    set_special(w, PTX_NTID, grid.size);
    set_special(w, PTX_NCTAID, grid.blocks);
    for (uint32_t lane = 0; lane < PTX_LANES; lane++) {
      const uint32_t item = (uint32_t)i * PTX_LANES + lane;
      uint32_t *row = (uint32_t *)w->file;
      row[lane] = item % grid.size.x;
      row[PTX_LANES + lane] = item / grid.size.x % grid.size.y;
      row[2 * PTX_LANES + lane] = item / grid.size.x / grid.size.y;
    }
  }
  return NULL;
}

const char *ptx_run(const ptx_kernel *k, double_grid grid, const uint64_t *arguments) {
  const uint32_t items = grid.size.x * grid.size.y * grid.size.z;
  if (k->most[0] && items > k->most[0] * k->most[1] * k->most[2]) return "more work-items than .maxntid says";
  ptx_now.kernel = k;
  ptx_now.size = grid.size;
  for (int i = 0; i < k->count; i++) memcpy(ptx_now.params + k->offsets[i], &arguments[i], k->sizes[i]);
  const char *why = begin_launch(k, grid);
  if (why) return why;
  ptx_memory_begin();
  for (unsigned z = 0; z < grid.blocks.z; z++)
    for (unsigned y = 0; y < grid.blocks.y; y++)
      for (unsigned x = 0; x < grid.blocks.x; x++) {
        ptx_now.block = (gh_double_index){x, y, z};
        if (!run_block()) return ptx_now.why;
      }
  return NULL;
}
