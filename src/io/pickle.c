/* A stack machine. Values live in blocks that are freed together, so cycles among them do not matter. Each opcode is a
 * row of a table: its function, and a number that tells apart the opcodes which share one. */
#include "io/pickle.h"

#include "base/array.h"
#include "io/pickle_internal.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_BYTES ((size_t)1 << 16)

struct block {
  struct block *next;
  size_t used, size;
  _Alignas(16) unsigned char bytes[];
};

struct gh_pickle {
  struct block *blocks; /* the newest first */
  size_t memory, values;
  const gh_pickle_value *root;
  gh_pickle_value **persistent;
  size_t persistent_count, persistent_capacity;
};

/* ---- memory ---- */

/* Zeroed memory that lives as long as the pickle. */
static void *take_memory(machine *m, size_t size) {
  gh_pickle *p = m->pickle;
  size = (size + 15) / 16 * 16;
  if (size > GH_PICKLE_MAX_MEMORY - p->memory) {
    gh_fail(m->err, GH_ERROR_UNSUPPORTED, "%s: the pickle's values take more than the limit of %zu MiB", m->name,
            GH_PICKLE_MAX_MEMORY >> 20);
    return NULL;
  }
  if (!p->blocks || p->blocks->size - p->blocks->used < size) {
    const size_t room = GH_MAX(size, BLOCK_BYTES);
    struct block *fresh = gh_alloc(m->err, 1, sizeof *fresh + room);
    if (!fresh) return NULL;
    fresh->size = room;
    fresh->next = p->blocks;
    p->blocks = fresh;
  }
  void *memory = p->blocks->bytes + p->blocks->used;
  p->blocks->used += size;
  p->memory += size;
  return memory;
}

gh_status gh_pickle_bad(machine *m, const char *what) {
  return gh_fail(m->err, GH_ERROR_FORMAT, "%s: not a valid pickle at byte %zu: %s", m->name, m->opcode_at, what);
}

static gh_status over_limit(machine *m, const char *what, size_t limit) {
  return gh_fail(m->err, GH_ERROR_UNSUPPORTED, "%s: the pickle has %s, more than the limit of %zu", m->name, what,
                 limit);
}

/* ---- stack and memo ---- */

static gh_status push(machine *m, gh_pickle_value *v) {
  if (m->count == GH_PICKLE_MAX_VALUES) return over_limit(m, "too many values on its stack", GH_PICKLE_MAX_VALUES);
  if (GH_ARRAY_RESERVE(m->err, m->stack, m->capacity, m->count, 1)) return m->err->status;
  m->stack[m->count++] = v;
  return GH_OK;
}

gh_pickle_value *gh_pickle_push_new(machine *m, gh_pickle_type type) {
  if (m->pickle->values++ == GH_PICKLE_MAX_VALUES) {
    over_limit(m, "too many values", GH_PICKLE_MAX_VALUES);
    return NULL;
  }
  gh_pickle_value *v = take_memory(m, sizeof *v);
  if (!v) return NULL;
  v->type = type;
  return push(m, v) ? NULL : v;
}

void *gh_pickle_memory(machine *m, size_t size) { return take_memory(m, size); }

/* The height below which nothing may be popped: the newest mark. */
static size_t least_height(const machine *m) { return m->mark_count ? m->marks[m->mark_count - 1] : 0; }

static gh_pickle_value *pop(machine *m) {
  if (m->count > least_height(m)) return m->stack[--m->count];
  gh_pickle_bad(m, "the stack is empty");
  return NULL;
}

/* The topmost value, left where it is. */
static gh_pickle_value *top(machine *m) {
  if (m->count > least_height(m)) return m->stack[m->count - 1];
  gh_pickle_bad(m, "the stack is empty");
  return NULL;
}

static gh_status step_mark(machine *m, int unused) {
  (void)unused;
  if (m->mark_count == GH_PICKLE_MAX_DEPTH) return over_limit(m, "too many levels", GH_PICKLE_MAX_DEPTH);
  m->marks[m->mark_count++] = m->count;
  return GH_OK;
}

/* Takes the values above the newest mark off the stack; they stay where they are until the next push. */
static gh_status pop_mark(machine *m, gh_pickle_value ***items, size_t *count) {
  if (!m->mark_count) return gh_pickle_bad(m, "there is no mark");
  const size_t at = m->marks[--m->mark_count];
  *count = m->count - at;
  *items = m->count ? m->stack + at : NULL;
  m->count = at;
  return GH_OK;
}

static gh_status step_pop(machine *m, int to_mark) {
  gh_pickle_value **items = NULL;
  size_t count = 0;
  if (to_mark || (m->mark_count && m->count == least_height(m))) return pop_mark(m, &items, &count); /* as Python */
  return pop(m) ? GH_OK : m->err->status;
}

static gh_status step_dup(machine *m, int unused) {
  (void)unused;
  gh_pickle_value *v = top(m);
  return v ? push(m, v) : m->err->status;
}

/* bytes: of the index; 0: a line of text; -1: MEMOIZE, which counts. */
static gh_status read_index(machine *m, int bytes, uint64_t *index) {
  if (bytes < 0) *index = m->memo_used;
  gh_status status = bytes < 0 ? GH_OK : gh_pickle_take_index(m, bytes, index);
  if (!status && *index >= GH_PICKLE_MAX_VALUES) status = over_limit(m, "a large memo index", GH_PICKLE_MAX_VALUES);
  return status;
}

static gh_status step_put(machine *m, int bytes) {
  uint64_t index = 0;
  gh_pickle_value *v = top(m);
  if (!v || read_index(m, bytes, &index)) return m->err->status;
  if (index >= m->memo_size) {
    if (GH_ARRAY_RESERVE(m->err, m->memo, m->memo_capacity, m->memo_size, index + 1 - m->memo_size))
      return m->err->status;
    while (m->memo_size <= index) m->memo[m->memo_size++] = NULL;
  }
  if (!m->memo[index]) m->memo_used++;
  m->memo[index] = v;
  return GH_OK;
}

static gh_status step_get(machine *m, int bytes) {
  uint64_t index = 0;
  if (read_index(m, bytes, &index)) return m->err->status;
  if (index >= m->memo_size || !m->memo[index]) return gh_pickle_bad(m, "a memo index that nothing was stored under");
  return push(m, m->memo[index]);
}

/* ---- containers ---- */

static gh_status put_inside(machine *m, gh_pickle_value *outer, const gh_pickle_value *inner) {
  outer->depth = GH_MAX(outer->depth, inner->depth + 1);
  return outer->depth > GH_PICKLE_MAX_DEPTH ? over_limit(m, "too many levels", GH_PICKLE_MAX_DEPTH) : GH_OK;
}

static gh_status add_items(machine *m, gh_pickle_value *to, gh_pickle_value *const *items, size_t count) {
  if (count > to->as.list.capacity - to->as.list.count) { /* the old array stays in its block */
    const size_t capacity = GH_MAX(to->as.list.count + count, 2 * to->as.list.capacity);
    gh_pickle_value **larger = take_memory(m, capacity * sizeof *larger);
    if (!larger) return m->err->status;
    if (to->as.list.count) memcpy(larger, to->as.list.items, to->as.list.count * sizeof *larger);
    to->as.list.items = larger;
    to->as.list.capacity = capacity;
  }
  for (size_t i = 0; i < count; i++) {
    if (put_inside(m, to, items[i])) return m->err->status;
    to->as.list.items[to->as.list.count++] = items[i];
  }
  return GH_OK;
}

static gh_status step_empty(machine *m, int type) {
  return gh_pickle_push_new(m, (gh_pickle_type)type) ? GH_OK : m->err->status;
}

/* A container of the items above the mark. */
static gh_status step_collect(machine *m, int type) {
  gh_pickle_value **items = NULL;
  size_t count = 0;
  if (pop_mark(m, &items, &count)) return m->err->status;
  if (type == GH_PICKLE_DICT && count % 2) return gh_pickle_bad(m, "a key without a value");
  gh_pickle_value made = {.type = (gh_pickle_type)type};
  if (count && add_items(m, &made, items, count)) return m->err->status;
  gh_pickle_value *v = gh_pickle_push_new(m, made.type);
  if (v) *v = made;
  return v ? GH_OK : m->err->status;
}

/* A tuple of the topmost `count` values. */
static gh_status step_tuple(machine *m, int count) {
  if (m->count - least_height(m) < (size_t)count) return gh_pickle_bad(m, "the stack is empty");
  gh_pickle_value made = {.type = GH_PICKLE_TUPLE};
  m->count -= (size_t)count;
  if (add_items(m, &made, m->stack + m->count, (size_t)count)) return m->err->status;
  gh_pickle_value *v = gh_pickle_push_new(m, made.type);
  if (v) *v = made;
  return v ? GH_OK : m->err->status;
}

/* Whether values of this type, or the result of a call so far, take items in the way of `type`. */
static gh_status check_takes(machine *m, gh_pickle_value *to, gh_pickle_type type) {
  const bool fresh = to->type == GH_PICKLE_CALL && (!to->as.list.count || to->filled == type);
  if (to->type != type && !fresh) return gh_pickle_bad(m, "items are put into a value that takes none");
  to->filled = type;
  return GH_OK;
}

static gh_status step_add_one(machine *m, int type) {
  const size_t count = type == GH_PICKLE_DICT ? 2 : 1;
  if (m->count - least_height(m) < count + 1) return gh_pickle_bad(m, "the stack is empty");
  m->count -= count;
  gh_pickle_value *to = m->stack[m->count - 1];
  if (check_takes(m, to, (gh_pickle_type)type)) return m->err->status;
  return add_items(m, to, m->stack + m->count, count);
}

static gh_status step_add_many(machine *m, int type) {
  gh_pickle_value **items = NULL;
  size_t count = 0;
  if (pop_mark(m, &items, &count)) return m->err->status;
  if (type == GH_PICKLE_DICT && count % 2) return gh_pickle_bad(m, "a key without a value");
  gh_pickle_value *to = top(m);
  if (!to || check_takes(m, to, (gh_pickle_type)type)) return m->err->status;
  return count ? add_items(m, to, items, count) : GH_OK;
}

/* ---- what Python would execute ---- */

static const gh_pickle_global *find_global(const gh_pickle_global *table, const char *name) {
  for (; table->name; table++) {
    const size_t length = strlen(table->name);
    const bool all_below = length && table->name[length - 1] == '.';
    if (all_below ? !strncmp(name, table->name, length) && name[length] : !strcmp(name, table->name)) return table;
  }
  return NULL;
}

static gh_status push_global(machine *m, const char *module, size_t module_size, const char *name, size_t name_size) {
  if (module_size > GH_PICKLE_MAX_NAME || name_size > GH_PICKLE_MAX_NAME)
    return over_limit(m, "a long name of a global", GH_PICKLE_MAX_NAME);
  if (memchr(module, 0, module_size) || memchr(name, 0, name_size)) return gh_pickle_bad(m, "a zero byte in a name");
  char *whole = take_memory(m, module_size + name_size + 2);
  if (!whole) return m->err->status;
  memcpy(whole, module, module_size);
  whole[module_size] = '.';
  memcpy(whole + module_size + 1, name, name_size);
  const gh_pickle_global *row = find_global(m->known, whole);
  if (!row)
    return gh_fail(m->err, GH_ERROR_UNSUPPORTED,
                   "%s: the pickle asks for %s, which is not among the names of tensors "
                   "and known settings: refused, nothing was executed",
                   m->name, whole);
  gh_pickle_value *v = gh_pickle_push_new(m, GH_PICKLE_GLOBAL);
  if (!v) return m->err->status;
  v->global = row;
  v->global_name = whole;
  return GH_OK;
}

static gh_status step_global(machine *m, int unused) {
  (void)unused;
  const char *module = NULL, *name = NULL;
  size_t module_size = 0, name_size = 0;
  if (gh_pickle_take_line(m, &module, &module_size) || gh_pickle_take_line(m, &name, &name_size)) return m->err->status;
  return push_global(m, module, module_size, name, name_size);
}

static gh_status step_stack_global(machine *m, int unused) {
  (void)unused;
  const gh_pickle_value *name = pop(m), *module = name ? pop(m) : NULL;
  if (!module) return m->err->status;
  if (name->type != GH_PICKLE_TEXT || module->type != GH_PICKLE_TEXT)
    return gh_pickle_bad(m, "a global's name is not text");
  return push_global(m, module->as.text.bytes, module->as.text.size, name->as.text.bytes, name->as.text.size);
}

/* operands: 2 are the callable and its arguments; 3 add keyword arguments, which stand as a state. */
static gh_status step_call(machine *m, int operands) {
  const gh_pickle_value *words = operands == 3 ? pop(m) : NULL;
  if (operands == 3 && !words) return m->err->status;
  const gh_pickle_value *args = pop(m), *callable = args ? pop(m) : NULL;
  if (!callable) return m->err->status;
  if (callable->type != GH_PICKLE_GLOBAL) return gh_pickle_bad(m, "it calls something that is not a global");
  if (args->type != GH_PICKLE_TUPLE) return gh_pickle_bad(m, "the arguments of a call are not a tuple");
  gh_pickle_value *v = gh_pickle_push_new(m, GH_PICKLE_CALL);
  if (!v || put_inside(m, v, args) || (words && put_inside(m, v, words))) return m->err->status;
  v->callable = callable;
  v->args = args;
  v->state = words;
  return GH_OK;
}

static gh_status step_build(machine *m, int unused) {
  (void)unused;
  const gh_pickle_value *state = pop(m);
  gh_pickle_value *v = state ? top(m) : NULL;
  if (!v) return m->err->status;
  if (v->type != GH_PICKLE_CALL) return gh_pickle_bad(m, "a state is given to a value that has none");
  v->state = state;
  return put_inside(m, v, state);
}

static gh_status step_persistent(machine *m, int unused) {
  (void)unused;
  const gh_pickle_value *id = pop(m);
  gh_pickle_value *v = id ? gh_pickle_push_new(m, GH_PICKLE_PERSISTENT) : NULL;
  if (!v || put_inside(m, v, id)) return m->err->status;
  v->args = id;
  gh_pickle *p = m->pickle;
  if (GH_ARRAY_RESERVE(m->err, p->persistent, p->persistent_capacity, p->persistent_count, 1)) return m->err->status;
  p->persistent[p->persistent_count++] = v;
  return GH_OK;
}

/* ---- the table ---- */

static gh_status step_protocol(machine *m, int unused) {
  (void)unused;
  const unsigned char *version = NULL;
  if (gh_pickle_take(m, 1, &version)) return m->err->status;
  if (*version <= 5) return GH_OK;
  return gh_fail(m->err, GH_ERROR_UNSUPPORTED, "%s: pickle protocol %d", m->name, *version);
}

static gh_status step_frame(machine *m, int unused) {
  (void)unused;
  uint64_t size = 0;
  if (gh_pickle_take_number(m, 8, &size)) return m->err->status;
  return size > m->size - m->at ? gh_pickle_bad(m, "a frame is longer than the file") : GH_OK;
}

static gh_status step_refuse(machine *m, int opcode) {
  return gh_fail(m->err, GH_ERROR_UNSUPPORTED, "%s: pickle opcode 0x%02x at byte %zu, which tensors do not need",
                 m->name, (unsigned)opcode, m->opcode_at);
}

typedef struct step {
  gh_status (*run)(machine *m, int detail);
  int detail;
} step;

#define STOP '.'

static const step steps[256] = {
    [0x80] = {step_protocol, 0},
    [0x95] = {step_frame, 0},
    ['('] = {step_mark, 0},
    ['0'] = {step_pop, 0},
    ['1'] = {step_pop, 1},
    ['2'] = {step_dup, 0},
    ['p'] = {step_put, 0},
    ['q'] = {step_put, 1},
    ['r'] = {step_put, 4},
    [0x94] = {step_put, -1},
    ['g'] = {step_get, 0},
    ['h'] = {step_get, 1},
    ['j'] = {step_get, 4},
    ['N'] = {step_empty, GH_PICKLE_NONE},
    ['}'] = {step_empty, GH_PICKLE_DICT},
    [']'] = {step_empty, GH_PICKLE_LIST},
    [')'] = {step_empty, GH_PICKLE_TUPLE},
    [0x8f] = {step_empty, GH_PICKLE_SET},
    ['d'] = {step_collect, GH_PICKLE_DICT},
    ['l'] = {step_collect, GH_PICKLE_LIST},
    ['t'] = {step_collect, GH_PICKLE_TUPLE},
    [0x91] = {step_collect, GH_PICKLE_SET}, /* FROZENSET */
    [0x85] = {step_tuple, 1},
    [0x86] = {step_tuple, 2},
    [0x87] = {step_tuple, 3},
    ['a'] = {step_add_one, GH_PICKLE_LIST},
    ['s'] = {step_add_one, GH_PICKLE_DICT},
    ['e'] = {step_add_many, GH_PICKLE_LIST},
    ['u'] = {step_add_many, GH_PICKLE_DICT},
    [0x90] = {step_add_many, GH_PICKLE_SET},
    ['c'] = {step_global, 0},
    [0x93] = {step_stack_global, 0},
    ['R'] = {step_call, 2},  /* REDUCE */
    [0x81] = {step_call, 2}, /* NEWOBJ */
    [0x92] = {step_call, 3}, /* NEWOBJ_EX */
    ['b'] = {step_build, 0},
    ['Q'] = {step_persistent, 0},
    [0x88] = {gh_pickle_step_bool, 1},
    [0x89] = {gh_pickle_step_bool, 0},
    ['K'] = {gh_pickle_step_int, 1},
    ['M'] = {gh_pickle_step_int, 2},
    ['J'] = {gh_pickle_step_int, -4},
    [0x8a] = {gh_pickle_step_long, 1},
    [0x8b] = {gh_pickle_step_long, 4},
    ['I'] = {gh_pickle_step_decimal, 0},
    ['L'] = {gh_pickle_step_decimal, 0},
    ['G'] = {gh_pickle_step_float, 1},
    ['F'] = {gh_pickle_step_float, 0},
    [0x8c] = {gh_pickle_step_text, 1},
    ['X'] = {gh_pickle_step_text, 4},
    [0x8d] = {gh_pickle_step_text, 8},
    ['U'] = {gh_pickle_step_text, 1}, /* Python 2's str: names of tensors */
    ['T'] = {gh_pickle_step_text, 4},
    ['C'] = {gh_pickle_step_bytes, 1},
    ['B'] = {gh_pickle_step_bytes, 4},
    [0x8e] = {gh_pickle_step_bytes, 8},
    [0x96] = {gh_pickle_step_bytes, 8}, /* BYTEARRAY8 */
    ['S'] = {gh_pickle_step_quoted, 1},
    ['V'] = {gh_pickle_step_quoted, 0},
    ['P'] = {step_refuse, 'P'}, /* PERSID: torch's identities are not lines of text */
    ['i'] = {step_refuse, 'i'}, /* INST, OBJ: instances of Python 2's classes */
    ['o'] = {step_refuse, 'o'},
    [0x82] = {step_refuse, 0x82}, /* EXT1, EXT2, EXT4: a registry of the program */
    [0x83] = {step_refuse, 0x83},
    [0x84] = {step_refuse, 0x84},
    [0x97] = {step_refuse, 0x97}, /* NEXT_BUFFER, READONLY_BUFFER: data outside the file */
    [0x98] = {step_refuse, 0x98},
};

/* Executes opcodes until STOP. */
static gh_status run(machine *m) {
  for (;;) {
    const unsigned char *opcode = NULL;
    m->opcode_at = m->at;
    if (m->at >= m->size) return gh_pickle_bad(m, "it ends without STOP (truncated?)");
    if (gh_pickle_take(m, 1, &opcode)) return m->err->status;
    if (*opcode == STOP) break;
    const step *s = &steps[*opcode];
    if (!s->run) return gh_pickle_bad(m, "an unknown opcode");
    if (s->run(m, s->detail)) return m->err->status;
  }
  if (m->count != 1 || m->mark_count) return gh_pickle_bad(m, "it ends with other than one value");
  m->pickle->root = m->stack[0];
  return GH_OK;
}

gh_status gh_pickle_read(gh_error *err, gh_pickle **out, const char *name, const void *bytes, size_t size,
                         const gh_pickle_global *known, size_t *used) {
  gh_error own = {0};
  machine m = {.err = err ? err : &own, .name = name, .bytes = bytes, .known = known};
  m.size = GH_MIN(size, GH_PICKLE_MAX_BYTES);
  *out = NULL;
  m.marks = gh_alloc(m.err, GH_PICKLE_MAX_DEPTH, sizeof *m.marks);
  m.pickle = m.marks ? gh_alloc(m.err, 1, sizeof *m.pickle) : NULL;
  gh_status status = m.pickle ? run(&m) : GH_ERROR_MEMORY;
  free(m.marks);
  free(m.stack);
  free(m.memo);
  if (status)
    gh_pickle_free(m.pickle);
  else
    *out = m.pickle;
  if (used) *used = m.at;
  return status;
}

void gh_pickle_free(gh_pickle *pickle) {
  if (!pickle) return;
  for (struct block *b = pickle->blocks, *next; b; b = next) {
    next = b->next;
    free(b);
  }
  free(pickle->persistent);
  free(pickle);
}

/* ---- questions ---- */

const gh_pickle_value *gh_pickle_root(const gh_pickle *pickle) { return pickle->root; }
size_t gh_pickle_persistent_count(const gh_pickle *pickle) { return pickle->persistent_count; }

const gh_pickle_value *gh_pickle_persistent_at(const gh_pickle *pickle, size_t index) {
  return pickle->persistent[index];
}

bool gh_pickle_is_text(const gh_pickle_value *v, const char *text) {
  return v->type == GH_PICKLE_TEXT && v->as.text.size == strlen(text) &&
         !memcmp(v->as.text.bytes, text, v->as.text.size);
}

const gh_pickle_global *gh_pickle_global_of(const gh_pickle_value *v) {
  if (v->type == GH_PICKLE_CALL) v = v->callable;
  return v->type == GH_PICKLE_GLOBAL ? v->global : NULL;
}
