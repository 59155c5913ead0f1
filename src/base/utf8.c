#include "base/utf8.h"

#include <string.h>

size_t gh_utf8_read(const char *text, size_t left, uint32_t *code) {
  const unsigned char *p = (const unsigned char *)text;
  if (p[0] < 0x80) {
    *code = p[0];
    return 1;
  }
  size_t length = p[0] >= 0xF0 ? 4 : p[0] >= 0xE0 ? 3 : 2;
  if (p[0] < 0xC2 || p[0] > 0xF4 || left < length) return 0;
  if (p[0] == 0xE0 && p[1] < 0xA0) return 0;
  if (p[0] == 0xED && p[1] > 0x9F) return 0;
  if (p[0] == 0xF0 && p[1] < 0x90) return 0;
  if (p[0] == 0xF4 && p[1] > 0x8F) return 0;
  uint32_t value = p[0] & (0x7Fu >> length);
  for (size_t i = 1; i < length; i++) {
    if ((p[i] & 0xC0) != 0x80) return 0;
    value = value << 6 | (p[i] & 0x3Fu);
  }
  *code = value;
  return length;
}

bool gh_utf8_valid(const char *text, size_t size) {
  uint32_t code;
  for (size_t length; size; text += length, size -= length) {
    length = gh_utf8_read(text, size, &code);
    if (!length) return false;
  }
  return true;
}

bool gh_code_is_hidden(uint32_t code) {
  static const struct {
    uint32_t first, last;
  } table[] = {
      {0x0000, 0x001F},   {0x007F, 0x009F},   /* controls */
      {0x00AD, 0x00AD},                       /* soft hyphen */
      {0x034F, 0x034F},   {0x115F, 0x1160},   /* joiners and fillers without a glyph, in several scripts */
      {0x17B4, 0x17B5},   {0x180B, 0x180F},   /**/
      {0x3164, 0x3164},   {0xFFA0, 0xFFA0},   /**/
      {0x061C, 0x061C},                       /* Arabic letter mark */
      {0x200B, 0x200F},                       /* zero-width space and joiners, marks of direction */
      {0x2028, 0x202E},                       /* separators of lines and paragraphs, embeddings and overrides */
      {0x2060, 0x206F},                       /* word joiner, isolates, deprecated formatting */
      {0xFEFF, 0xFEFF},   {0xFFF0, 0xFFFB},   /* byte order mark, interlinear annotations */
      {0x1BCA0, 0x1BCA3}, {0x1D173, 0x1D17A}, /* formatting of shorthand and of music */
      {0xE0000, 0xE0FFF},                     /* tags */
  };
  if (code >= ' ' && code < 0x7F) return false;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    if (code >= table[i].first && code <= table[i].last) return true;
  return false;
}

void gh_text_show(char *text) {
  char *to = text;
  uint32_t code;
  for (size_t left = strlen(text), length; left; text += length, left -= length) {
    const size_t valid = gh_utf8_read(text, left, &code);
    length = valid ? valid : 1;
    if (!valid || gh_code_is_hidden(code)) {
      *to++ = '?';
    } else {
      memmove(to, text, length);
      to += length;
    }
  }
  *to = 0;
}
