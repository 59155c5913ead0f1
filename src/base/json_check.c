#include "base/json_check.h"

#include "base/json.h"
#include "base/text.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct scan {
  gh_error *err;
  const char *name, *text, *at, *end;
  int depth, values;
} scan;

static gh_status refuse(const scan *s, const char *why) {
  int line = 1;
  long column = 1;
  for (const char *p = s->text; p < s->at; p++) {
    line += *p == '\n';
    column = *p == '\n' ? 1 : column + 1;
  }
  return gh_fail(s->err, GH_ERROR_FORMAT, "%s: line %d, column %ld: %s", s->name, line, column, why);
}

static void skip_space(scan *s) {
  while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
}

static bool digit(const scan *s) { return s->at < s->end && *s->at >= '0' && *s->at <= '9'; }
static bool next_is(const scan *s, char c) { return s->at < s->end && *s->at == c; }

static gh_status check_digits(scan *s) {
  if (!digit(s)) return refuse(s, "expected a digit");
  while (digit(s)) s->at++;
  return GH_OK;
}

static gh_status check_number(scan *s) {
  const char *start = s->at;
  gh_status status;
  if (next_is(s, '-')) s->at++;
  if (next_is(s, '0'))
    s->at++;
  else if ((status = check_digits(s)))
    return status;
  if (digit(s)) return refuse(s, "a number cannot start with 0");
  if (next_is(s, '.')) {
    s->at++;
    if ((status = check_digits(s))) return status;
  }
  if (next_is(s, 'e') || next_is(s, 'E')) {
    s->at++;
    if (next_is(s, '+') || next_is(s, '-')) s->at++;
    if ((status = check_digits(s))) return status;
  }
  size_t length = (size_t)(s->at - start);
  char digits[GH_JSON_MAX_DIGITS + 1];
  s->at = start; /* for the position in the text */
  if (length > GH_JSON_MAX_DIGITS) return refuse(s, "a number longer than 63 characters");
  memcpy(digits, start, length);
  digits[length] = 0;
  if (!isfinite(strtod(digits, NULL))) return refuse(s, "a number beyond the range of a double");
  s->at = start + length;
  return GH_OK;
}

/* The four digits after \u; -1 unless all are hexadecimal. */
static int hex4(const scan *s, const char *p) {
  int value = 0;
  if (s->end - p < 4) return -1;
  for (int i = 0; i < 4; i++) {
    int c = p[i], d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (c >= 'A' && c <= 'F') d = c - 'A' + 10;
    if (d < 0) return -1;
    value = value * 16 + d;
  }
  return value;
}

static gh_status check_escape(scan *s) {
  char c = s->at + 1 < s->end ? s->at[1] : 0;
  if (c && strchr("\"\\/bfnrt", c)) {
    s->at += 2;
    return GH_OK;
  }
  if (c != 'u') return refuse(s, "unknown escape in a string");
  int unit = hex4(s, s->at + 2);
  if (unit < 0) return refuse(s, "expected four hexadecimal digits after \\u");
  if (!unit) return refuse(s, "a zero character in a string");
  if (unit >= 0xDC00 && unit <= 0xDFFF) return refuse(s, "a lone surrogate in a string");
  if (unit >= 0xD800 && unit <= 0xDBFF) {
    int low = s->end - s->at >= 12 && s->at[6] == '\\' && s->at[7] == 'u' ? hex4(s, s->at + 8) : -1;
    if (low < 0xDC00 || low > 0xDFFF) return refuse(s, "a lone surrogate in a string");
    s->at += 6;
  }
  s->at += 6;
  return GH_OK;
}

static gh_status check_string(scan *s) {
  if (!next_is(s, '"')) return refuse(s, "expected a string in double quotes");
  const char *start = s->at++;
  while (s->at < s->end && *s->at != '"') {
    if ((unsigned char)*s->at < 0x20) return refuse(s, *s->at ? "a control character in a string" : "a zero byte");
    if (*s->at != '\\') {
      s->at++;
      continue;
    }
    gh_status status = check_escape(s);
    if (status) return status;
  }
  const char *close = s->at;
  s->at = start;
  if (close >= s->end) return refuse(s, "an unterminated string");
  if (!gh_utf8_valid(start, (size_t)(close - start))) return refuse(s, "a string that is not UTF-8");
  s->at = close + 1;
  return GH_OK;
}

static gh_status check_word(scan *s) {
  static const char *const words[] = {"true", "false", "null"};
  for (size_t i = 0; i < GH_COUNT(words); i++) {
    size_t length = strlen(words[i]);
    if ((size_t)(s->end - s->at) >= length && !memcmp(s->at, words[i], length)) {
      s->at += length;
      return GH_OK;
    }
  }
  return refuse(s, s->at < s->end ? "expected a value" : "the text ends where a value was expected");
}

static gh_status check_value(scan *s);

/* An array, or an object (keyed), whose members start with a key. */
static gh_status check_container(scan *s, char close, bool keyed) {
  gh_status status;
  if (++s->depth > GH_JSON_MAX_DEPTH) return refuse(s, "nested deeper than 64 levels");
  s->at++;
  skip_space(s);
  for (bool first = true; !next_is(s, close); first = false) {
    if (!first) {
      if (!next_is(s, ',')) return refuse(s, keyed ? "expected ',' or '}'" : "expected ',' or ']'");
      s->at++;
      skip_space(s);
    }
    if (keyed) {
      if ((status = check_string(s))) return status;
      skip_space(s);
      if (!next_is(s, ':')) return refuse(s, "expected ':' after a key");
      s->at++;
      skip_space(s);
    }
    if ((status = check_value(s))) return status;
    skip_space(s);
  }
  s->at++;
  s->depth--;
  return GH_OK;
}

static gh_status check_value(scan *s) {
  if (++s->values > GH_JSON_MAX_VALUES) return refuse(s, "more than 8 million values");
  if (next_is(s, '{')) return check_container(s, '}', true);
  if (next_is(s, '[')) return check_container(s, ']', false);
  if (next_is(s, '"')) return check_string(s);
  if (next_is(s, '-') || digit(s)) return check_number(s);
  return check_word(s);
}

gh_status gh_json_check(gh_error *err, const char *name, const char *text, size_t size) {
  scan s = {.err = err, .name = name, .text = text, .at = text, .end = text + size};
  if (size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3))
    return refuse(&s, "a byte order mark; save it as UTF-8 without one");
  skip_space(&s);
  gh_status status = check_value(&s);
  if (status) return status;
  skip_space(&s);
  return s.at < s.end ? refuse(&s, "text after the end of the value") : GH_OK;
}
