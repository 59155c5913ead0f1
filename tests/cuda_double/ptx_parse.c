/* Reads PTX: kernels into arrays of decoded instructions. An unknown construct is an error that names it. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx.h"

#define MAX_CLASSES 16
#define MAX_NAME    256

typedef struct label {
  const char *name;
  size_t size;
  int at; /* index of the instruction */
} label;

typedef struct reader {
  const char *at;
  int line;
  char *why;
  size_t why_size;
  bool failed;
  ptx_module *module;
  ptx_kernel *kernel;
  struct {
    const char *prefix;
    size_t size;
    uint32_t width, count, at; /* width in bytes, 0: a predicate; count 0: a single register of exactly this name */
    bool hidden;               /* by a later one of the same name */
  } classes[MAX_CLASSES];
  int class_count;
  label *labels, *uses; /* a use's `at` is its branch */
  int label_count, use_count;
} reader;

static bool refuse(reader *r, const char *format, ...) {
  va_list args;
  if (r->failed) return false;
  r->failed = true;
  int used = snprintf(r->why, r->why_size, "PTX line %d: ", r->line);
  va_start(args, format);
  if (used >= 0 && (size_t)used < r->why_size) vsnprintf(r->why + used, r->why_size - (size_t)used, format, args);
  va_end(args);
  return false;
}

/* Appends a zeroed element to an array; NULL: failed. Arrays double at powers of two. */
static void *grow(reader *r, void *array, int *count, size_t size) {
  char **items = array;
  int n = *count;
  if ((n & (n - 1)) == 0) {
    char *more = realloc(*items, size * (size_t)(n ? 2 * n : 1));
    if (!more) {
      refuse(r, "out of memory");
      return NULL;
    }
    *items = more;
  }
  (*count)++;
  return memset(*items + size * (size_t)n, 0, size);
}

/* ---- words ---- */

static void skip(reader *r) {
  for (;; r->at++) {
    if (*r->at == '\n') r->line++;
    if (r->at[0] == '/' && r->at[1] == '/')
      while (r->at[1] && r->at[1] != '\n') r->at++;
    else if (!isspace((unsigned char)*r->at))
      return;
  }
}

static bool is_name(char c) { return isalnum((unsigned char)c) || c == '_' || c == '$' || c == '.' || c == '%'; }

/* Reads a name, a number or an opcode; returns its size, 0: something else. */
static size_t word(reader *r, const char **begin) {
  skip(r);
  *begin = r->at;
  while (is_name(*r->at)) r->at++;
  return (size_t)(r->at - *begin);
}

static bool is(const char *word, size_t size, const char *what) {
  return strlen(what) == size && !memcmp(word, what, size);
}

static bool accept(reader *r, const char *what) {
  skip(r);
  size_t size = strlen(what);
  if (strncmp(r->at, what, size)) return false;
  r->at += size;
  return true;
}

static bool expect(reader *r, const char *what) {
  return accept(r, what) || refuse(r, "expected %s at: %.20s", what, r->at);
}

static bool number(reader *r, int64_t *value) {
  char *end;
  skip(r);
  *value = *r->at == '-' ? strtoll(r->at, &end, 0) : (int64_t)strtoull(r->at, &end, 0);
  if (end == r->at || is_name(*end)) return refuse(r, "expected a number at: %.20s", r->at);
  r->at = end;
  return true;
}

/* ---- rows of the file ---- */

static uint32_t row_bytes(uint32_t width) { return width == 8 ? 2 * PTX_ROW_BYTES : width ? PTX_ROW_BYTES : 64; }

static uint32_t new_rows(ptx_kernel *k, uint32_t width, uint32_t count) {
  uint32_t at = k->file_bytes;
  k->file_bytes += row_bytes(width) * count;
  return at;
}

static bool constant(reader *r, uint64_t bits, uint32_t width, uint32_t *at) {
  ptx_kernel *k = r->kernel;
  if (width && width < 8) bits &= width == 2 ? UINT16_MAX : UINT32_MAX;
  for (int i = 0; i < k->constant_count; i++)
    if (k->constants[i].bits == bits && k->constants[i].width == width) {
      *at = k->constants[i].at;
      return true;
    }
  ptx_constant *c = grow(r, &k->constants, &k->constant_count, sizeof *c);
  if (!c) return false;
  *c = (ptx_constant){bits, new_rows(k, width, 1), width};
  *at = c->at;
  return true;
}

static const char *const specials[] = {"%tid.x",   "%tid.y",   "%tid.z",   "%ntid.x",   "%ntid.y",   "%ntid.z",
                                       "%ctaid.x", "%ctaid.y", "%ctaid.z", "%nctaid.x", "%nctaid.y", "%nctaid.z"};

/* `width`: 2, 4 or 8, 0 for a predicate. */
static bool find_register(reader *r, const char *name, size_t size, uint32_t *at, uint32_t *width) {
  for (uint32_t i = 0; i < PTX_SPECIALS; i++)
    if (is(name, size, specials[i])) {
      *at = i * PTX_ROW_BYTES;
      *width = 4;
      return true;
    }
  for (int c = 0; c < r->class_count; c++) {
    if (r->classes[c].count || r->classes[c].hidden || r->classes[c].size != size ||
        memcmp(r->classes[c].prefix, name, size))
      continue;
    *width = r->classes[c].width;
    *at = r->classes[c].at;
    return true;
  }
  size_t prefix = size;
  while (prefix && isdigit((unsigned char)name[prefix - 1])) prefix--;
  unsigned long index = strtoul(name + prefix, NULL, 10);
  for (int c = 0; c < r->class_count; c++) {
    if (r->classes[c].size != prefix || memcmp(r->classes[c].prefix, name, prefix)) continue;
    if (prefix == size || index >= r->classes[c].count) break;
    *width = r->classes[c].width;
    *at = r->classes[c].at + (uint32_t)index * row_bytes(*width);
    return true;
  }
  return refuse(r, "no register %.*s", (int)size, name);
}

static const ptx_variable *find_variable(const reader *r, const char *name, size_t size) {
  const ptx_kernel *k = r->kernel;
  for (int i = 0; i < k->variable_count; i++)
    if (k->variables[i].size == size && !memcmp(k->variables[i].name, name, size)) return &k->variables[i];
  return NULL;
}

/* ---- operands ---- */

static bool add_operand(reader *r, ptx_instr *in, uint32_t value, uint32_t width) {
  if (in->count == PTX_OPERANDS) return refuse(r, "too many operands");
  in->width[in->count] = (uint8_t)width;
  in->operand[in->count++] = value;
  return true;
}

/* A register, a number or the address of a variable; `want`: its width, -1: any register. */
static bool read_value(reader *r, ptx_instr *in, int want) {
  const char *name;
  uint32_t at = 0, width = (uint32_t)want;
  int64_t literal = 0;
  skip(r);
  const char *begin = r->at;
  if (*begin == '-' || (isdigit((unsigned char)*begin) && begin[1] != 'f' && begin[1] != 'F')) {
    if (want < 0) return refuse(r, "expected a register at: %.20s", begin);
    if (!number(r, &literal)) return false;
    return constant(r,
                    want      ? (uint64_t)literal
                    : literal ? UINT32_MAX
                              : 0,
                    width, &at) &&
           add_operand(r, in, at, width);
  }
  size_t size = word(r, &name);
  if (!size) return refuse(r, "expected an operand at: %.20s", r->at);
  if (*name == '0') { /* 0f3F800000 */
    if (size != 10 || want != 4) return refuse(r, "invalid operand %.*s", (int)size, name);
    return constant(r, strtoull(name + 2, NULL, 16), width, &at) && add_operand(r, in, at, width);
  }
  const ptx_variable *v = find_variable(r, name, size);
  if (v && (want == 8 || want == 4)) return constant(r, v->at, width, &at) && add_operand(r, in, at, width);
  if (!find_register(r, name, size, &at, &width)) return false;
  if (want >= 0 && width != (uint32_t)want) return refuse(r, "%.*s has another width", (int)size, name);
  if (want < 0 && !width) return refuse(r, "%.*s is a predicate", (int)size, name);
  return add_operand(r, in, at, width);
}

/* The offset of a parameter: the name's number is its index. */
static bool read_parameter(reader *r, ptx_instr *in, const char *name, size_t size) {
  const ptx_kernel *k = r->kernel;
  size_t begin = strlen(k->name);
  int index = -1;
  if (size > begin + 7 && !memcmp(name, k->name, begin) && !memcmp(name + begin, "_param_", 7))
    index = atoi(name + begin + 7);
  if (index < 0 || index >= k->count) return refuse(r, "no parameter %.*s", (int)size, name);
  in->offset[0] = k->offsets[index];
  return add_operand(r, in, 0, 4);
}

static bool read_address(reader *r, ptx_instr *in) {
  const char *name;
  if (!expect(r, "[")) return false;
  const char *begin = r->at;
  int64_t *offset = &in->offset[in->address_count++ != 0];
  if (in->space == PTX_PARAM && in->address_count == 1) {
    size_t size = word(r, &name);
    if (!read_parameter(r, in, name, size)) return false;
  } else {
    size_t size = word(r, &name);
    r->at = begin;
    if (!read_value(r, in, find_variable(r, name, size) ? 8 : -1)) return false;
    int64_t added = 0;
    if (accept(r, "+") && !number(r, &added)) return false;
    *offset = added;
  }
  return expect(r, "]");
}

static bool read_vector(reader *r, ptx_instr *in, int count, int want) {
  if (!expect(r, "{")) return false;
  for (int i = 0; i < count; i++)
    if ((i && !expect(r, ",")) || !read_value(r, in, want)) return false;
  return expect(r, "}");
}

static bool read_label(reader *r) {
  const char *name;
  size_t size = word(r, &name);
  label *use = size ? grow(r, &r->uses, &r->use_count, sizeof *use) : NULL;
  if (!use) return refuse(r, "expected a label");
  *use = (label){name, size, r->kernel->instr_count - 1};
  return true;
}

/* The last operand of a conversion from 32 bits, which takes the lower half of a register of 64 ("Relaxed type-checking
 * rules for source operands"): the table's next row does. */
static bool read_converted(reader *r, ptx_instr *in) {
  if (!read_value(r, in, -1)) return false;
  const uint32_t width = in->width[in->count - 1];
  if (width == 8) in->op++;
  return width >= 4 || refuse(r, "a conversion's source is too narrow");
}

static bool read_operand(reader *r, ptx_instr *in, char kind, int count) {
  int64_t literal;
  switch (kind) {
  case 'w':
    return read_value(r, in, 4);
  case 'l':
    return read_value(r, in, 8);
  case 'h':
    return read_value(r, in, 2);
  case 'p':
    return read_value(r, in, 0);
  case '?':
    return in->vector > 1 ? read_vector(r, in, in->vector, -1) : read_value(r, in, -1);
  case 'c':
    return read_converted(r, in);
  case '[':
    return read_address(r, in);
  case '{':
    return read_vector(r, in, count, 4);
  case 'L':
    return read_label(r);
  default:
    return number(r, &literal) && add_operand(r, in, (uint32_t)literal, 0);
  }
}

/* ---- instructions ---- */

static const struct {
  const char *name;
  uint8_t bytes;
  bool is_signed;
} types[] = {{"b8", 1, false},  {"u8", 1, false},  {"s8", 1, true},   {"b16", 2, false}, {"u16", 2, false},
             {"s16", 2, true},  {"b32", 4, false}, {"u32", 4, false}, {"s32", 4, true},  {"f32", 4, false},
             {"b64", 8, false}, {"u64", 8, false}, {"s64", 8, true}};
static const char *const spaces[] = {[PTX_GLOBAL] = "global", [PTX_IN_SHARED] = "shared", [PTX_PARAM] = "param"};

/* ld.global.v4.f32: space, number and type in their order. */
static bool read_transfer(const char *name, size_t size, ptx_instr *in) {
  char parts[MAX_NAME], *rest = NULL;
  bool load = !strncmp(name, "ld.", 3);
  if (size >= sizeof parts || (!load && strncmp(name, "st.", 3))) return false;
  memcpy(parts, name + 3, size - 3);
  parts[size - 3] = 0;
  const char *space = strtok_r(parts, ".", &rest), *type = strtok_r(NULL, ".", &rest);
  int s = 0;
  while (s < 3 && space && strcmp(spaces[s], space)) s++;
  in->space = (uint8_t)s;
  in->vector = 1;
  if (type && (!strcmp(type, "v2") || !strcmp(type, "v4"))) {
    in->vector = (uint8_t)(type[1] - '0');
    type = strtok_r(NULL, ".", &rest);
  }
  size_t t = 0;
  while (type && t < sizeof types / sizeof *types && strcmp(types[t].name, type)) t++;
  if (s == 3 || !type || t == sizeof types / sizeof *types || strtok_r(NULL, ".", &rest)) return false;
  if (in->space == PTX_PARAM && (!load || in->vector > 1)) return false;
  in->bytes = types[t].bytes;
  in->is_signed = types[t].is_signed;
  in->op = !load ? &ptx_store_op : s == PTX_IN_SHARED ? &ptx_load_shared_op : &ptx_load_op;
  return true;
}

/* `rest`: the text of the operands. */
static bool find_op(const char *name, size_t size, const char *rest, ptx_instr *in) {
  const int first = *rest == '{' ? 0 : memchr(rest, '{', strcspn(rest, ";")) ? 2 : 4;
  for (int i = first; i < first + 2 && i < 4; i++)
    if (is(name, size, ptx_halves_ops[i].name)) {
      in->op = &ptx_halves_ops[i];
      in->vector = 2;
      return true;
    }
  const ptx_op *const tables[] = {ptx_ops, ptx_warp_ops, ptx_memory_ops};
  for (size_t t = 0; t < sizeof tables / sizeof *tables; t++)
    for (const ptx_op *op = tables[t]; op->name; op++)
      if (is(name, size, op->name)) {
        in->op = op;
        return true;
      }
  return read_transfer(name, size, in);
}

static bool read_guard(reader *r, ptx_instr *in) {
  const char *name;
  uint32_t width;
  in->guard = UINT32_MAX;
  if (!accept(r, "@")) return true;
  in->unless = accept(r, "!");
  size_t size = word(r, &name);
  if (!find_register(r, name, size, &in->guard, &width)) return false;
  return !width || refuse(r, "%.*s is not a predicate", (int)size, name);
}

static bool read_instr(reader *r) {
  ptx_kernel *k = r->kernel;
  const char *name;
  ptx_instr *in = grow(r, &k->instrs, &k->instr_count, sizeof *in);
  skip(r);
  const char *text = r->at;
  if (!in || !read_guard(r, in)) return false;
  size_t size = word(r, &name);
  in->text = text;
  in->line = r->line;
  skip(r);
  if (!find_op(name, size, r->at, in)) return refuse(r, "the double does not support %.*s", (int)size, name);
  const char *const operands = in->op->operands;
  for (const char *kind = operands; *kind; kind++) {
    int count = kind[0] == '{' ? kind[1] - '0' : 0;
    if (kind > operands && !expect(r, ",")) return false;
    if (!read_operand(r, in, *kind, count)) return refuse(r, "%.*s: invalid operands", (int)size, name);
    kind += kind[0] == '{';
  }
  return expect(r, ";");
}

/* ---- declarations ---- */

/* Repeated declarations of one name within braces share the same row. */
static bool one_register(reader *r, const char *name, size_t size, uint32_t width) {
  bool found = false;
  for (int c = 0; c < r->class_count; c++) {
    if (r->classes[c].count || r->classes[c].size != size || memcmp(r->classes[c].prefix, name, size)) continue;
    r->classes[c].hidden = r->classes[c].width != width;
    found = found || !r->classes[c].hidden;
  }
  if (found) return true;
  if (!size || r->class_count == MAX_CLASSES) return refuse(r, "too many register names");
  r->classes[r->class_count].prefix = name;
  r->classes[r->class_count].size = size;
  r->classes[r->class_count].width = width;
  r->classes[r->class_count].count = 0;
  r->classes[r->class_count].hidden = false;
  r->classes[r->class_count++].at = new_rows(r->kernel, width, 1);
  return true;
}

static bool read_registers(reader *r) {
  static const struct {
    const char *type;
    uint32_t width;
  } widths[] = {{".pred", 0}, {".b16", 2}, {".u16", 2}, {".s16", 2}, {".b32", 4}, {".u32", 4},
                {".s32", 4},  {".f32", 4}, {".b64", 8}, {".u64", 8}, {".s64", 8}};
  const char *type, *name;
  int64_t count;
  size_t type_size = word(r, &type), w = 0, size = word(r, &name);
  while (w < sizeof widths / sizeof *widths && !is(type, type_size, widths[w].type)) w++;
  if (w == sizeof widths / sizeof *widths || r->class_count == MAX_CLASSES)
    return refuse(r, "registers of type %.*s", (int)type_size, type);
  if (!accept(r, "<")) return one_register(r, name, size, widths[w].width) && expect(r, ";");
  if (!number(r, &count) || !expect(r, ">")) return false;
  if (count < 1 || count > 100000) return refuse(r, "%.*s: too many registers", (int)size, name);
  r->classes[r->class_count].prefix = name;
  r->classes[r->class_count].size = size;
  r->classes[r->class_count].width = widths[w].width;
  r->classes[r->class_count].count = (uint32_t)count;
  r->classes[r->class_count++].at = new_rows(r->kernel, widths[w].width, (uint32_t)count);
  return expect(r, ";");
}

/* .shared .align 16 .b8 name[9216]; with gaps between the variables, where any access is a fault. */
static bool read_shared(reader *r) {
  ptx_kernel *k = r->kernel;
  const char *name;
  int64_t align = 4, bytes = 0;
  if (accept(r, ".align") && !number(r, &align)) return false;
  if (!accept(r, ".b8")) return refuse(r, "a shared variable of an unsupported type at: %.20s", r->at);
  size_t size = word(r, &name);
  if (!size || !expect(r, "[") || !number(r, &bytes) || !expect(r, "]")) return false;
  if (align < 1 || align > 1024 || (align & (align - 1)) || bytes < 1 || bytes > PTX_SHARED)
    return refuse(r, "%.*s: invalid size or alignment", (int)size, name);
  ptx_variable *v = grow(r, &k->variables, &k->variable_count, sizeof *v);
  if (!v) return false;
  uint32_t at = k->variable_count == 1 ? PTX_SHARED_BASE : k->shared_end + PTX_SHARED_GAP;
  *v = (ptx_variable){name, size, (at + (uint32_t)align - 1) & ~((uint32_t)align - 1), (uint32_t)bytes};
  k->shared_end = v->at + v->bytes;
  uint32_t all = 0;
  for (int i = 0; i < k->variable_count; i++) all += k->variables[i].bytes;
  return all <= PTX_SHARED ? expect(r, ";") : refuse(r, "more than %d bytes of shared memory", PTX_SHARED);
}

static bool read_statement(reader *r) {
  const char *name;
  if (accept(r, ".reg")) return read_registers(r);
  if (accept(r, ".shared")) return read_shared(r);
  if (accept(r, ".pragma")) {
    while (*r->at && *r->at != ';') r->at++;
    return expect(r, ";");
  }
  skip(r);
  if (*r->at == '.') return refuse(r, "unknown: %.*s", (int)strcspn(r->at, " \t\n"), r->at);
  const char *begin = r->at;
  size_t size = *begin == '@' ? 0 : word(r, &name);
  if (size && *r->at == ':') {
    r->at++;
    label *l = grow(r, &r->labels, &r->label_count, sizeof *l);
    if (l) *l = (label){name, size, r->kernel->instr_count};
    return l;
  }
  r->at = begin;
  return read_instr(r);
}

static bool set_targets(reader *r) {
  for (int u = 0; u < r->use_count; u++) {
    const label *use = &r->uses[u];
    int l = 0;
    while (l < r->label_count && (r->labels[l].size != use->size || memcmp(r->labels[l].name, use->name, use->size)))
      l++;
    if (l == r->label_count) return refuse(r, "no label %.*s", (int)use->size, use->name);
    r->kernel->instrs[use->at].target = r->labels[l].at;
  }
  return true;
}

/* ---- kernels ---- */

static bool read_parameters(reader *r) {
  ptx_kernel *k = r->kernel;
  uint32_t offset = 0;
  if (!accept(r, "(")) return true;
  if (accept(r, ")")) return true;
  do {
    const char *type, *name;
    if (!expect(r, ".param")) return false;
    size_t size = word(r, &type), t = 0;
    while (t < sizeof types / sizeof *types && !(size && is(type + 1, size - 1, types[t].name))) t++;
    if (t == sizeof types / sizeof *types) return refuse(r, "a parameter of type %.*s", (int)size, type);
    int64_t align;
    if (accept(r, ".ptr") && accept(r, ".align") && !number(r, &align)) return false;
    if (!word(r, &name) || k->count == PTX_PARAMS) return refuse(r, "too many parameters");
    uint32_t bytes = types[t].bytes;
    offset = (offset + bytes - 1) / bytes * bytes;
    k->sizes[k->count] = (uint16_t)bytes;
    k->offsets[k->count++] = offset;
    offset += bytes;
  } while (accept(r, ","));
  return expect(r, ")");
}

static bool read_limits(reader *r) {
  int64_t n;
  for (;;) {
    if (accept(r, ".maxntid")) {
      for (int i = 0; i < 3; i++) {
        if (i && !accept(r, ",")) break;
        if (!number(r, &n)) return false;
        r->kernel->most[i] = (uint32_t)n;
      }
      for (int i = 1; i < 3; i++)
        if (!r->kernel->most[i]) r->kernel->most[i] = 1;
    } else if (accept(r, ".minnctapersm")) {
      if (!number(r, &n)) return false;
    } else {
      return true;
    }
  }
}

static bool read_kernel(reader *r) {
  const char *name;
  size_t size = word(r, &name);
  ptx_kernel *k = calloc(1, sizeof *k);
  if (!k || !(k->name = strndup(name, size))) {
    free(k);
    return refuse(r, "out of memory");
  }
  k->next = r->module->kernels;
  r->module->kernels = r->kernel = k;
  k->file_bytes = PTX_SPECIALS * PTX_ROW_BYTES;
  r->class_count = r->label_count = r->use_count = 0;
  bool fine = read_parameters(r) && read_limits(r) && expect(r, "{");
  for (int depth = 1; fine && depth;) {
    if (accept(r, "{"))
      depth++;
    else if (accept(r, "}"))
      depth--;
    else
      fine = read_statement(r);
  }
  fine = fine && set_targets(r);
  free(r->labels);
  free(r->uses);
  r->labels = r->uses = NULL;
  return fine;
}

/* ---- modules ---- */

static bool read_module(reader *r) {
  for (;;) {
    skip(r);
    if (!*r->at) return r->module->arch ? true : refuse(r, "no target");
    const char *begin = r->at;
    if (accept(r, ".version") || accept(r, ".address_size")) {
      r->at += strcspn(r->at, "\n");
    } else if (accept(r, ".target")) {
      if (!expect(r, "sm_")) return false;
      r->module->arch = atoi(r->at);
      r->at += strcspn(r->at, "\n");
    } else if (accept(r, ".visible")) {
      if (!accept(r, ".entry")) return refuse(r, "unknown: .visible %.*s", (int)strcspn(r->at, " \t\n"), r->at);
      if (!read_kernel(r)) return false;
    } else {
      return refuse(r, "unknown: %.*s", (int)strcspn(begin, "\n"), begin);
    }
  }
}

bool ptx_read(ptx_module *module, char *why, size_t size) {
  reader r = {.at = module->text, .line = 1, .why = why, .why_size = size, .module = module};
  return read_module(&r);
}
