/* Memory as PTX sees it. Every access is checked: it must lie within an allocation or a variable, at a multiple of its
 * size. The last accesses since the last barrier are recorded: two work-items that access the same place without a
 * barrier, one of them writing, fail the launch; in global memory, so do two blocks at any time. Accesses to the target
 * of a cp.async in flight fail too: its bytes only arrive when its own lane waits for them. */
#include <stdlib.h>
#include <string.h>

#include "driver.h"
#include "ptx.h"

typedef struct shared_word {
  uint32_t write_epoch, read_epoch; /* of the last write and read */
  uint16_t writer, reader;          /* work-item */
  uint16_t copier;                  /* of a copy in flight */
} shared_word;

typedef struct global_note { /* per 2 bytes */
  uint32_t write_epoch, read_epoch;
  uint16_t writer, reader;
} global_note;
_Static_assert(sizeof(global_note) == DOUBLE_NOTE_BYTES, "driver_memory.c makes room for them");

enum { NOBODY = 0xffff, SEVERAL = 0xfffe, BLOCKS = 0xfffd };

#define SHARED_ROOM (2 * PTX_SHARED)
static _Alignas(64) char shared[SHARED_ROOM];
static shared_word words[SHARED_ROOM / 4];
static uint32_t epoch, launch_epoch, block_epoch; /* the current one; the first of the launch and of the block */
static const char *recent_begin, *recent_end;     /* the most recently used allocation */
static global_note *recent_notes;
static ptx_variable recent_variable;

void ptx_memory_begin(void) {
  recent_begin = recent_end = NULL;
  recent_variable = (ptx_variable){0};
  launch_epoch = ++epoch;
}

void ptx_memory_begin_block(void) {
  const uint32_t end = (ptx_now.kernel->shared_end + 3) / 4;
  memset(shared, 0xff, (size_t)end * 4); /* NaN: nothing may rely on zeros */
  block_epoch = ++epoch;
  for (uint32_t i = 0; i < end; i++) words[i].copier = NOBODY;
}

void ptx_memory_barrier(void) { epoch++; }

/* ---- addresses ---- */

static inline uint64_t address_of(const ptx_warp *w, const ptx_instr *in, int operand, int lane, int64_t offset) {
  const void *row = ptx_row_of(w, in, operand);
  uint64_t base = in->width[operand] == 8 ? ((const uint64_t *)row)[lane] : ((const uint32_t *)row)[lane];
  return base + (uint64_t)offset;
}

static inline const char *global_at(const ptx_warp *w, const ptx_instr *in, int lane, uint64_t address,
                                    uint32_t bytes) {
  const char *p = (const char *)(size_t)address;
  if (address & (bytes - 1)) { /* a power of two */
    ptx_fail(w, in, lane, "global address %#llx is not a multiple of %u", (unsigned long long)address, bytes);
    return NULL;
  }
  if (p >= recent_begin && p < recent_end && bytes <= (size_t)(recent_end - p)) return p;
  void *notes = NULL;
  if (double_find_device(p, &recent_begin, &recent_end, &notes) && bytes <= (size_t)(recent_end - p)) {
    recent_notes = notes;
    return p;
  }
  ptx_fail(w, in, lane, "%u bytes at %#llx are not device memory", bytes, (unsigned long long)address);
  return NULL;
}

static inline char *shared_at(const ptx_warp *w, const ptx_instr *in, int lane, uint64_t address, uint32_t bytes) {
  const ptx_kernel *k = ptx_now.kernel;
  if (address & (bytes - 1)) { /* a power of two */
    ptx_fail(w, in, lane, "shared address %#llx is not a multiple of %u", (unsigned long long)address, bytes);
    return NULL;
  }
  if (address >= recent_variable.at && address + bytes <= recent_variable.at + recent_variable.bytes)
    return shared + address;
  for (int i = 0; i < k->variable_count; i++) {
    const ptx_variable *v = &k->variables[i];
    if (address < v->at || address + bytes > v->at + v->bytes) continue;
    recent_variable = *v;
    return shared + address;
  }
  ptx_fail(w, in, lane, "%u bytes at %#llx are not in a shared variable", bytes, (unsigned long long)address);
  return NULL;
}

/* ---- access records ---- */

__attribute__((cold, noinline)) static bool race(const ptx_warp *w, const ptx_instr *in, int lane, uint32_t at,
                                                 const char *what, unsigned other) {
  if (other == SEVERAL) return ptx_fail(w, in, lane, "a race: shared address %#x was %s by several", at, what);
  return ptx_fail(w, in, lane, "a race: shared address %#x was %s by work-item %u with no barrier between", at, what,
                  other);
}

/* `many`: read by the whole warp. */
static inline bool note_read(const ptx_warp *w, const ptx_instr *in, int lane, uint32_t at, uint32_t bytes, bool many) {
  const uint16_t self = (uint16_t)(w->index * PTX_LANES + lane);
  for (uint32_t i = at / 4; i <= (at + bytes - 1) / 4; i++) {
    shared_word *s = &words[i];
    if (s->read_epoch == epoch && s->reader == SEVERAL) continue; /* so nothing wrote */
    if (s->copier != NOBODY) return race(w, in, lane, 4 * i, "left to a copy", s->copier);
    if (s->write_epoch == epoch && (s->writer != self || many)) return race(w, in, lane, 4 * i, "written", s->writer);
    const bool others = many || (s->read_epoch == epoch && s->reader != self);
    s->read_epoch = epoch;
    s->reader = others ? SEVERAL : self;
  }
  return true;
}

static inline bool note_write(const ptx_warp *w, const ptx_instr *in, int lane, uint32_t at, uint32_t bytes) {
  const uint16_t self = (uint16_t)(w->index * PTX_LANES + lane);
  for (uint32_t i = at / 4; i <= (at + bytes - 1) / 4; i++) {
    shared_word *s = &words[i];
    if (s->copier != NOBODY) return race(w, in, lane, 4 * i, "left to a copy", s->copier);
    if (s->write_epoch == epoch && s->writer != self) return race(w, in, lane, 4 * i, "written", s->writer);
    if (s->read_epoch == epoch && s->reader != self) return race(w, in, lane, 4 * i, "read", s->reader);
    s->write_epoch = epoch;
    s->writer = self;
  }
  return true;
}

static __attribute__((cold, noinline)) bool global_race(const ptx_warp *w, const ptx_instr *in, int lane, size_t at,
                                                        const char *what, uint32_t then, unsigned other) {
  if (other == BLOCKS || then < block_epoch)
    return ptx_fail(w, in, lane, "a race: byte %zu of an allocation was %s by another block", at, what);
  return ptx_fail(w, in, lane, "a race: byte %zu of an allocation was %s by work-item %u with no barrier between", at,
                  what, other);
}

/* After global_at. Blocks run concurrently: no other block may access what one writes in the same launch. */
static inline bool note_global(const ptx_warp *w, const ptx_instr *in, int lane, const char *p, uint32_t bytes,
                               bool writes) {
  const uint16_t self = (uint16_t)(w->index * PTX_LANES + lane);
  const size_t first = (size_t)(p - recent_begin) / 2;
  for (size_t i = first; i < first + (bytes + 1) / 2; i++) {
    global_note *n = &recent_notes[i];
    const bool written = n->write_epoch >= launch_epoch, read = n->read_epoch >= launch_epoch;
    if (written && (n->write_epoch < block_epoch || (n->write_epoch == epoch && n->writer != self)))
      return global_race(w, in, lane, 2 * i, "written", n->write_epoch, n->writer);
    const bool by_blocks = read && (n->reader == BLOCKS || n->read_epoch < block_epoch);
    const bool by_others = read && n->read_epoch == epoch && n->reader != self;
    if (writes) {
      if (by_blocks || by_others) return global_race(w, in, lane, 2 * i, "read", n->read_epoch, n->reader);
      n->write_epoch = epoch;
      n->writer = self;
    } else {
      n->read_epoch = epoch;
      n->reader = by_blocks ? BLOCKS : by_others ? SEVERAL : self;
    }
  }
  return true;
}

const void *ptx_shared_row(const ptx_warp *w, const ptx_instr *in, int lane, uint32_t at) {
  const char *p = shared_at(w, in, lane, at, 16);
  return p && note_read(w, in, lane, at, 16, true) ? p : NULL;
}

/* ---- loads and stores ---- */

static inline uint64_t extended(const char *p, const ptx_instr *in) {
  uint64_t value = 0;
  switch (in->bytes) { /* sizes known at compile time */
  case 1:
    memcpy(&value, p, 1);
    break;
  case 2:
    memcpy(&value, p, 2);
    break;
  case 4:
    memcpy(&value, p, 4);
    break;
  default:
    memcpy(&value, p, 8);
    break;
  }
  const int unused = 64 - 8 * in->bytes;
  return in->is_signed ? (uint64_t)((int64_t)(value << unused) >> unused) : value;
}

static inline void put(const ptx_warp *w, const ptx_instr *in, int operand, int lane, uint64_t value) {
  void *row = ptx_row_of(w, in, operand);
  if (in->width[operand] == 8)
    ((uint64_t *)row)[lane] = value;
  else
    ((uint32_t *)row)[lane] = (uint32_t)value & (in->width[operand] == 2 ? UINT16_MAX : UINT32_MAX);
}

static inline void put_all(const ptx_warp *w, const ptx_instr *in, int lane, const char *p) {
  put(w, in, 0, lane, extended(p, in));
  for (int v = 1; v < in->vector; v++) put(w, in, v, lane, extended(p + v * in->bytes, in));
}

/* Loads: the values, then the address. */
static bool load(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  const uint32_t bytes = (uint32_t)in->bytes * in->vector;
  for (uint32_t left = lanes; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    const char *p = ptx_now.params + in->offset[0];
    if (in->space == PTX_GLOBAL) {
      p = global_at(w, in, lane, address_of(w, in, in->vector, lane, in->offset[0]), bytes);
      if (!p || !note_global(w, in, lane, p, bytes, false)) return false;
    }
    put_all(w, in, lane, p);
  }
  return true;
}

/* Fast path for the most common access: words at 64-bit addresses, all in one variable. False: use the general path. */
static bool find_words(const ptx_warp *w, const ptx_instr *in, uint32_t lanes, uint32_t *at) {
  if (in->bytes != 4 || in->vector != 1 || in->width[0] != 4 || in->width[1] != 8) return false;
  const uint64_t *const bases = ptx_row_of(w, in, 1), added = (uint64_t)in->offset[0];
  const uint64_t first = bases[__builtin_ctz(lanes)] + added;
  const ptx_variable *v = ptx_now.kernel->variables, *const end = v + ptx_now.kernel->variable_count;
  while (v < end && first - v->at >= v->bytes) v++;
  if (v == end) return false;
  uint32_t beside = 0;
  for (int i = 0; i < PTX_LANES; i++) {
    const uint64_t address = bases[i] + added, inside = address - v->at;
    at[i] = (uint32_t)address;
    beside |= (uint32_t)((inside >= v->bytes) | (inside + 4 > v->bytes) | ((address & 3) != 0)) << i;
  }
  return !(beside & lanes);
}

static bool load_shared(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  const uint32_t bytes = (uint32_t)in->bytes * in->vector;
  uint32_t at[PTX_LANES];
  const bool words_only = find_words(w, in, lanes, at);
  for (uint32_t left = lanes; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    if (words_only) {
      const shared_word *s = &words[at[lane] / 4];
      const bool known = s->read_epoch == epoch && s->reader == SEVERAL;
      if (!known && !note_read(w, in, lane, at[lane], 4, false)) return false;
      ((uint32_t *)ptx_row_of(w, in, 0))[lane] = *(const uint32_t *)(shared + at[lane]);
      continue;
    }
    const uint64_t address = address_of(w, in, in->vector, lane, in->offset[0]);
    const char *p = shared_at(w, in, lane, address, bytes);
    if (!p || !note_read(w, in, lane, (uint32_t)address, bytes, false)) return false;
    put_all(w, in, lane, p);
  }
  return true;
}

/* Stores: the address, then the values. */
static bool store(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  const uint32_t bytes = (uint32_t)in->bytes * in->vector;
  for (uint32_t left = lanes; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    uint64_t at = address_of(w, in, 0, lane, in->offset[0]);
    const char *p = in->space == PTX_GLOBAL ? global_at(w, in, lane, at, bytes) : shared_at(w, in, lane, at, bytes);
    if (!p) return false;
    if (in->space == PTX_GLOBAL ? !note_global(w, in, lane, p, bytes, true)
                                : !note_write(w, in, lane, (uint32_t)at, bytes))
      return false;
    for (int v = 0; v < in->vector; v++) {
      const char *row = ptx_row_of(w, in, 1 + v);
      memcpy((char *)(size_t)p + v * in->bytes, row + lane * (in->width[1 + v] == 8 ? 8 : 4), in->bytes);
    }
  }
  return true;
}

const ptx_op ptx_load_op = {"ld", PTX_ACTION, "?[", NULL, load};
const ptx_op ptx_load_shared_op = {"ld", PTX_ACTION, "?[", NULL, load_shared};
const ptx_op ptx_store_op = {"st", PTX_ACTION, "[?", NULL, store};

/* Operands: the lower half, the upper half, their source. */
static bool halves(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  const char *const row = ptx_row_of(w, in, 2);
  for (uint32_t left = lanes; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    const bool wide = in->width[2] == 8;
    const uint64_t whole = wide ? ((const uint64_t *)row)[lane] : ((const uint32_t *)row)[lane];
    put(w, in, 0, lane, wide ? (uint32_t)whole : (uint16_t)whole);
    put(w, in, 1, lane, whole >> (wide ? 32 : 16));
  }
  return true;
}

/* Operands: the whole, its lower half, its upper half. */
static bool whole(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  const uint32_t *const low = ptx_row_of(w, in, 1), *const high = ptx_row_of(w, in, 2);
  const bool wide = in->width[0] == 8;
  for (uint32_t left = lanes; left; left &= left - 1) {
    const int lane = __builtin_ctz(left);
    put(w, in, 0, lane, wide ? low[lane] | (uint64_t)high[lane] << 32 : (low[lane] & 0xffff) | high[lane] << 16);
  }
  return true;
}

const ptx_op ptx_halves_ops[4] = {{"mov.b64", PTX_ACTION, "?l", NULL, halves},
                                  {"mov.b32", PTX_ACTION, "?w", NULL, halves},
                                  {"mov.b64", PTX_ACTION, "l?", NULL, whole},
                                  {"mov.b32", PTX_ACTION, "w?", NULL, whole}};

/* ---- asynchronous copies ---- */

/* [to], [from], bytes, bytes to copy: the rest becomes zero. Both addresses are multiples of `bytes`. */
static bool copy(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  const uint32_t bytes = in->operand[2], *const taken = ptx_row_of(w, in, 3);
  const bool past_l1 = strstr(in->op->name, ".cg.");
  for (int lane = 0; lane < PTX_LANES; lane++) {
    if (!(lanes >> lane & 1)) continue;
    const uint64_t to = address_of(w, in, 0, lane, in->offset[0]), from = address_of(w, in, 1, lane, in->offset[1]);
    if (bytes != 16 && (past_l1 || (bytes != 4 && bytes != 8)))
      return ptx_fail(w, in, lane, "cannot copy %u bytes", bytes);
    if (taken[lane] > bytes) return ptx_fail(w, in, lane, "%u bytes of %u", taken[lane], bytes);
    if (from % bytes) return ptx_fail(w, in, lane, "global address %#llx", (unsigned long long)from);
    if (!shared_at(w, in, lane, to, bytes)) return false;
    const char *source = taken[lane] ? global_at(w, in, lane, from, bytes) : NULL;
    if (taken[lane] && (!source || !note_global(w, in, lane, source, taken[lane], false))) return false;
    if (!note_write(w, in, lane, (uint32_t)to, bytes)) return false;
    for (uint32_t i = 0; i < bytes; i += 4) words[(to + i) / 4].copier = (uint16_t)(w->index * PTX_LANES + lane);
    if (w->copy_count == w->copy_room) {
      const int room = w->copy_room ? 2 * w->copy_room : 256;
      ptx_copy *more = realloc(w->copies, (size_t)room * sizeof *more);
      if (!more) return ptx_fail(w, in, lane, "out of memory");
      w->copies = more;
      w->copy_room = room;
    }
    w->copies[w->copy_count++] = (ptx_copy){lane, (uint32_t)to, bytes, taken[lane], (const char *)(size_t)from};
  }
  return true;
}

static bool wait_all(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  int left = 0;
  for (int i = 0; i < w->copy_count; i++) {
    const ptx_copy c = w->copies[i];
    if (!(lanes >> c.lane & 1)) {
      w->copies[left++] = c;
      continue;
    }
    for (uint32_t b = 0; b < c.bytes; b += 4) words[(c.to + b) / 4].copier = NOBODY;
    if (!note_write(w, in, c.lane, c.to, c.bytes)) return false;
    memset(shared + c.to, 0, c.bytes);
    memcpy(shared + c.to, c.from, c.taken);
  }
  w->copy_count = left;
  return true;
}

/* Groups only matter to a wait for some of them. */
static bool commit(ptx_warp *w, const ptx_instr *in, uint32_t lanes) {
  (void)w, (void)in, (void)lanes;
  return true;
}

const ptx_op ptx_memory_ops[] = {
    {"cp.async.cg.shared.global", PTX_ACTION, "[[iw", NULL, copy},
    {"cp.async.ca.shared.global", PTX_ACTION, "[[iw", NULL, copy},
    {"cp.async.commit_group", PTX_ACTION, "", NULL, commit},
    {"cp.async.wait_all", PTX_ACTION, "", NULL, wait_all},
    {NULL, PTX_ACTION, NULL, NULL, NULL},
};
