#include "base/pattern.h"

#include <ctype.h>
#include <string.h>

enum { WORDS = 3, LONGEST_TEXT = WORDS * 64 - 1, LONGEST_PATTERN = 1024, DEEPEST = 8, MOST_STEPS = 20000 };

/* Bit i: the place before the text's i-th character. Matching maps the places where a part of the pattern may begin to
 * those where it may end, so nothing is tried twice. */
typedef struct gh_places {
  uint64_t bits[WORDS];
} gh_places;

typedef struct gh_matcher {
  const char *text, *at; /* at: in the pattern */
  size_t length;         /* of the text */
  int depth, steps;
  bool failed; /* not supported */
} gh_matcher;

static bool has(const gh_places *p, size_t i) { return p->bits[i / 64] >> (i % 64) & 1; }
static void put(gh_places *p, size_t i) { p->bits[i / 64] |= (uint64_t)1 << (i % 64); }

static gh_places unite(gh_places a, gh_places b) {
  for (int i = 0; i < WORDS; i++) a.bits[i] |= b.bits[i];
  return a;
}

/* ---- one character ---- */

/* Reads what follows a backslash. *single: the character it stands for, or 0 for a class. */
static bool escape(gh_matcher *m, unsigned char c, unsigned char *single) {
  char which = *m->at;
  *single = 0;
  if (which) m->at++;
  switch (which) {
  case 'd':
    return isdigit(c);
  case 'D':
    return !isdigit(c);
  case 'w':
    return isalnum(c) || c == '_';
  case 'W':
    return !isalnum(c) && c != '_';
  case 's':
    return isspace(c);
  case 'S':
    return !isspace(c);
  default:
    m->failed |= !ispunct((unsigned char)which);
    *single = (unsigned char)which;
    return c == (unsigned char)which;
  }
}

/* An element of a set: a class, or a character; *single as above. */
static bool element(gh_matcher *m, unsigned char c, unsigned char *single) {
  unsigned char first = (unsigned char)*m->at;
  m->failed |= !first || first > 126;
  if (m->failed) return false;
  m->at++;
  if (first == '\\') return escape(m, c, single);
  *single = first;
  return c == first;
}

static bool set(gh_matcher *m, unsigned char c) {
  bool negated = *m->at == '^', found = false, begun = false;
  if (negated) m->at++;
  for (; !m->failed && (*m->at != ']' || !begun); begun = true) {
    unsigned char low = 0, high = 0;
    bool is = element(m, c, &low);
    if (!m->failed && low && m->at[0] == '-' && m->at[1] != ']') {
      m->at++;
      element(m, c, &high);
      m->failed |= high < low;
      is = low <= c && c <= high;
    }
    found |= is;
  }
  if (!m->failed) m->at++;
  return found != negated;
}

/* Whether the single-character pattern at m->at matches c; moves past it. */
static bool character(gh_matcher *m, unsigned char c) {
  unsigned char first = (unsigned char)*m->at++, single;
  if (first == '.') return true;
  if (first == '[') return set(m, c);
  if (first == '\\') return escape(m, c, &single);
  m->failed |= first > 126 || strchr("*+?{", first);
  return first == c;
}

/* ---- sequences ---- */

static gh_places alternatives(gh_matcher *m, gh_places from);

/* "(?=...)" and "(?!...)": the places where the alternatives begin, or do not. */
static gh_places ahead(gh_matcher *m, gh_places from) {
  bool wanted = m->at[1] == '=';
  const char *start = m->at + 2;
  gh_places to = {{0}}, none = {{0}};
  m->at = start;
  alternatives(m, none); /* moves past them, also where no place is left */
  const char *end = m->at;
  for (size_t i = 0; i <= m->length && !m->failed; i++) {
    gh_places one = {{0}};
    if (!has(&from, i)) continue;
    put(&one, i);
    m->at = start;
    gh_places ends = alternatives(m, one);
    if ((memcmp(&ends, &none, sizeof none) != 0) == wanted) put(&to, i);
  }
  m->at = end;
  return to;
}

static gh_places group(gh_matcher *m, gh_places from) {
  bool looks = m->at[1] == '?' && (m->at[2] == '=' || m->at[2] == '!');
  m->at++;
  if (*m->at == '?' && !looks) {
    m->failed |= m->at[1] != ':';
    if (!m->failed) m->at += 2;
  }
  gh_places to = looks ? ahead(m, from) : alternatives(m, from);
  m->failed |= *m->at != ')';
  if (!m->failed) m->at++;
  return to;
}

static gh_places atom(gh_matcher *m, gh_places from) {
  const char *start = m->at;
  gh_places to = {{0}};
  m->failed |= ++m->steps > MOST_STEPS;
  if (m->failed) return to;
  if (*start == '(') return group(m, from);
  if (*start == '^' || *start == '$') {
    size_t place = *start == '^' ? 0 : m->length;
    m->at++;
    if (has(&from, place)) put(&to, place);
    return to;
  }
  character(m, 0); /* moves past it, also where no place is left */
  const char *end = m->at;
  for (size_t i = 0; i < m->length && !m->failed; i++) {
    if (!has(&from, i)) continue;
    m->at = start;
    if (character(m, (unsigned char)m->text[i])) put(&to, i + 1);
  }
  m->at = end;
  return to;
}

static gh_places repeated(gh_matcher *m, gh_places from) {
  const char *start = m->at;
  gh_places all = atom(m, from), before;
  char how = *m->at;
  if (m->failed || (how != '*' && how != '+' && how != '?')) return all;
  const char *end = ++m->at;
  if (how != '+') all = unite(all, from);
  do {
    before = all;
    if (how == '?') break;
    m->at = start;
    all = unite(all, atom(m, all));
  } while (!m->failed && memcmp(&before, &all, sizeof all) != 0);
  m->at = end;
  if (*m->at == '?') m->at++; /* not greedy: the same texts match */
  return all;
}

static gh_places sequence(gh_matcher *m, gh_places from) {
  while (!m->failed && *m->at && *m->at != '|' && *m->at != ')') from = repeated(m, from);
  return from;
}

static gh_places alternatives(gh_matcher *m, gh_places from) {
  m->failed |= ++m->depth > DEEPEST;
  gh_places to = sequence(m, from);
  while (!m->failed && *m->at == '|') {
    m->at++;
    to = unite(to, sequence(m, from));
  }
  m->depth--;
  return to;
}

gh_status gh_pattern_match(gh_error *err, const char *pattern, const char *text, bool *matches) {
  gh_matcher m = {.text = text, .at = pattern, .length = strlen(text)};
  gh_places first = {{1}};
  *matches = false;
  if (m.length > LONGEST_TEXT)
    return gh_fail(err, GH_ERROR_UNSUPPORTED, "%s: too long to be matched against a pattern", text);
  m.failed = strlen(pattern) > LONGEST_PATTERN;
  gh_places last = alternatives(&m, first);
  if (m.failed || *m.at) return gh_fail(err, GH_ERROR_UNSUPPORTED, "the pattern %s is not supported", pattern);
  *matches = has(&last, m.length);
  return GH_OK;
}
