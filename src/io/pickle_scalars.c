/* Numbers and texts of a pickle. */
#include "io/pickle_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- input ---- */

gh_status gh_pickle_take(machine *m, uint64_t size, const unsigned char **bytes) {
  if (size > m->size - m->at) return gh_pickle_bad(m, "a length exceeds the file (truncated?)");
  *bytes = m->bytes + m->at;
  m->at += (size_t)size;
  return GH_OK;
}

gh_status gh_pickle_take_number(machine *m, int bytes, uint64_t *number) {
  const unsigned char *p = NULL;
  if (gh_pickle_take(m, (uint64_t)bytes, &p)) return m->err->status;
  *number = 0;
  for (int i = bytes - 1; i >= 0; i--) *number = *number << 8 | p[i];
  return GH_OK;
}

gh_status gh_pickle_take_line(machine *m, const char **text, size_t *size) {
  const unsigned char *begin = m->bytes + m->at, *end = memchr(begin, '\n', m->size - m->at);
  if (!end) return gh_pickle_bad(m, "a line has no end (truncated?)");
  *text = (const char *)begin;
  *size = (size_t)(end - begin);
  m->at += *size + 1;
  return GH_OK;
}

/* A line of digits with a sign, as a number; *fits is false if it is beyond 64 bits. */
static gh_status parse_decimal(machine *m, const char *line, size_t size, int64_t *value, bool *fits) {
  char text[32] = "";
  const size_t sign = size && line[0] == '-';
  for (size_t i = sign; i < size; i++)
    if (line[i] < '0' || line[i] > '9') return gh_pickle_bad(m, "a number has other characters than digits");
  if (size == sign) return gh_pickle_bad(m, "a number has no digits");
  *fits = size < sizeof text;
  if (!*fits) return GH_OK;
  memcpy(text, line, size);
  errno = 0;
  *value = strtoll(text, NULL, 10);
  *fits = !errno;
  return GH_OK;
}

gh_status gh_pickle_take_index(machine *m, int bytes, uint64_t *index) {
  if (bytes) return gh_pickle_take_number(m, bytes, index);
  const char *line = NULL;
  size_t size = 0;
  int64_t value = 0;
  bool fits = false;
  if (gh_pickle_take_line(m, &line, &size) || parse_decimal(m, line, size, &value, &fits)) return m->err->status;
  *index = !fits || value < 0 ? UINT64_MAX : (uint64_t)value;
  return GH_OK;
}

/* ---- numbers ---- */

static gh_status push_int(machine *m, gh_pickle_type type, int64_t value) {
  gh_pickle_value *v = gh_pickle_push_new(m, type);
  if (v) v->as.integer = value;
  return v ? GH_OK : m->err->status;
}

static gh_status push_text(machine *m, gh_pickle_type type, const void *bytes, size_t size) {
  gh_pickle_value *v = gh_pickle_push_new(m, type);
  if (!v) return m->err->status;
  v->as.text.bytes = bytes;
  v->as.text.size = size;
  return GH_OK;
}

gh_status gh_pickle_step_bool(machine *m, int value) { return push_int(m, GH_PICKLE_BOOL, value); }

gh_status gh_pickle_step_int(machine *m, int bytes) {
  uint64_t number = 0;
  if (gh_pickle_take_number(m, abs(bytes), &number)) return m->err->status;
  return push_int(m, GH_PICKLE_INT, bytes < 0 ? (int32_t)(uint32_t)number : (int64_t)number);
}

gh_status gh_pickle_step_long(machine *m, int bytes) {
  uint64_t size = 0, value = 0;
  const unsigned char *p = NULL;
  if (gh_pickle_take_number(m, bytes, &size) || gh_pickle_take(m, size, &p)) return m->err->status;
  if (size > 8) return push_text(m, GH_PICKLE_LONG, p, (size_t)size);
  if (size && p[size - 1] & 0x80) value = UINT64_MAX; /* two's complement */
  for (int i = (int)size - 1; i >= 0; i--) value = value << 8 | p[i];
  return push_int(m, GH_PICKLE_INT, (int64_t)value);
}

/* INT and LONG of protocol 0: "12", "12L"; "00" and "01" are booleans. */
gh_status gh_pickle_step_decimal(machine *m, int unused) {
  (void)unused;
  const char *line = NULL;
  size_t size = 0;
  int64_t value = 0;
  bool fits = false;
  if (gh_pickle_take_line(m, &line, &size)) return m->err->status;
  if (size == 2 && line[0] == '0' && (line[1] == '0' || line[1] == '1'))
    return push_int(m, GH_PICKLE_BOOL, line[1] == '1');
  if (size && line[size - 1] == 'L') size--;
  if (parse_decimal(m, line, size, &value, &fits)) return m->err->status;
  return fits ? push_int(m, GH_PICKLE_INT, value) : push_text(m, GH_PICKLE_LONG, line, size);
}

gh_status gh_pickle_step_float(machine *m, int binary) {
  double real = 0;
  if (binary) { /* big-endian */
    const unsigned char *p = NULL;
    uint64_t bits = 0;
    if (gh_pickle_take(m, 8, &p)) return m->err->status;
    for (int i = 0; i < 8; i++) bits = bits << 8 | p[i];
    memcpy(&real, &bits, sizeof real);
  } else {
    const char *line = NULL;
    char text[64] = "", *end;
    size_t size = 0;
    if (gh_pickle_take_line(m, &line, &size)) return m->err->status;
    if (!size || size >= sizeof text) return gh_pickle_bad(m, "not a number");
    memcpy(text, line, size);
    real = strtod(text, &end);
    if (end != text + size) return gh_pickle_bad(m, "not a number");
  }
  gh_pickle_value *v = gh_pickle_push_new(m, GH_PICKLE_FLOAT);
  if (v) v->as.real = real;
  return v ? GH_OK : m->err->status;
}

/* ---- texts ---- */

static gh_status take_text(machine *m, int bytes, gh_pickle_type type) {
  uint64_t size = 0;
  const unsigned char *p = NULL;
  if (gh_pickle_take_number(m, bytes, &size) || gh_pickle_take(m, size, &p)) return m->err->status;
  return push_text(m, type, p, (size_t)size);
}

gh_status gh_pickle_step_text(machine *m, int bytes) { return take_text(m, bytes, GH_PICKLE_TEXT); }
gh_status gh_pickle_step_bytes(machine *m, int bytes) { return take_text(m, bytes, GH_PICKLE_BYTES); }

static int hex_digit(char c) {
  return c >= '0' && c <= '9'   ? c - '0'
         : c >= 'a' && c <= 'f' ? c - 'a' + 10
         : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                : -1;
}

/* `digits` hexadecimal digits at p; false if there are fewer. */
static bool read_hex(const char *p, const char *end, int digits, uint32_t *value) {
  *value = 0;
  if (end - p < digits) return false;
  for (int i = 0; i < digits; i++) {
    const int digit = hex_digit(p[i]);
    if (digit < 0) return false;
    *value = *value << 4 | (uint32_t)digit;
  }
  return true;
}

static size_t put_utf8(char *out, uint32_t c) {
  const int more = c < 0x80 ? 0 : c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
  static const unsigned char first[] = {0, 0xC0, 0xE0, 0xF0};
  out[0] = (char)(first[more] | c >> 6 * more);
  for (int i = 1; i <= more; i++) out[i] = (char)(0x80 | (c >> 6 * (more - i) & 0x3F));
  return (size_t)more + 1;
}

/* An escape behind its backslash: the number of characters it has, 0 if there is no such one. */
static size_t read_escape(const char *p, const char *end, bool quoted, uint32_t *value) {
  static const char plain[][2] = {{'\\', '\\'}, {'\'', '\''}, {'"', '"'}, {'n', '\n'}, {'r', '\r'}, {'t', '\t'}};
  static const struct {
    char letter;
    bool quoted;
    int digits;
  } numbers[] = {{'x', true, 2}, {'u', false, 4}, {'U', false, 8}};
  if (p == end) return 0;
  for (size_t i = 0; quoted && i < GH_COUNT(plain); i++)
    if (*p == plain[i][0]) return *value = (unsigned char)plain[i][1], 1;
  for (size_t i = 0; i < GH_COUNT(numbers); i++)
    if (*p == numbers[i].letter && quoted == numbers[i].quoted)
      return read_hex(p + 1, end, numbers[i].digits, value) ? (size_t)numbers[i].digits + 1 : 0;
  return 0;
}

gh_status gh_pickle_step_quoted(machine *m, int quoted) {
  const char *p = NULL;
  size_t size = 0, used = 0;
  if (gh_pickle_take_line(m, &p, &size)) return m->err->status;
  if (quoted) {
    if (size < 2 || p[0] != p[size - 1] || (p[0] != '\'' && p[0] != '"'))
      return gh_pickle_bad(m, "a string without quotes");
    p++, size -= 2;
  }
  const char *end = p + size;
  char *out = gh_pickle_memory(m, 2 * size + 4); /* no character takes more than twice its bytes here */
  if (!out) return m->err->status;
  while (p < end) {
    uint32_t c = (unsigned char)*p++;
    if (c == '\\') {
      const size_t length = read_escape(p, end, quoted, &c);
      if (quoted && !length) return gh_pickle_bad(m, "an unknown escape in a string");
      if (c > 0x10FFFF) return gh_pickle_bad(m, "an escape beyond Unicode");
      p += length;
      if (!length) c = '\\';
    }
    if (quoted)
      out[used++] = (char)c; /* bytes, as Python 2's strings are */
    else
      used += put_utf8(out + used, c);
  }
  return push_text(m, GH_PICKLE_TEXT, out, used);
}
