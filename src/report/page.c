#include "report/page.h"
#include "base/array.h"
#include "base/file.h"
#include "base/utf8.h"
#include "io/png_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void gh_page_free(gh_page *page) {
  free(page->text);
  *page = (gh_page){0};
}

static bool grow(gh_page *p, size_t more) {
  if (p->err.status) return false;
  return !GH_ARRAY_RESERVE(&p->err, p->text, p->capacity, p->size, more + 1);
}

static void put(gh_page *p, const char *bytes, size_t size) {
  if (!grow(p, size + 1)) return;
  memcpy(p->text + p->size, bytes, size);
  p->size += size;
}

void gh_page_add(gh_page *p, const char *format, ...) {
  va_list args;
  va_start(args, format);
  int size = vsnprintf(NULL, 0, format, args);
  va_end(args);
  if (size < 0 || !grow(p, (size_t)size + 1)) return;
  va_start(args, format);
  vsnprintf(p->text + p->size, (size_t)size + 1, format, args);
  va_end(args);
  p->size += (size_t)size;
}

void gh_page_text(gh_page *p, const char *text) {
  static const struct {
    char mark;
    const char *entity;
  } table[] = {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}, {'\'', "&#39;"}};
  for (size_t left = strlen(text), length; left; text += length, left -= length) {
    uint32_t code = 0;
    const size_t valid = gh_utf8_read(text, left, &code);
    length = valid ? valid : 1;
    const char *entity = NULL;
    for (size_t i = 0; i < GH_COUNT(table); i++)
      if (*text == table[i].mark) entity = table[i].entity;
    if (entity)
      put(p, entity, strlen(entity));
    else if (!valid || gh_code_is_hidden(code))
      put(p, "\xEF\xBF\xBD", 3); /* U+FFFD */
    else
      put(p, text, length);
  }
}

static void put_base64(gh_page *p, const unsigned char *bytes, size_t size) {
  static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  if (!grow(p, size / 3 * 4 + 8)) return;
  char *to = p->text + p->size;
  for (size_t i = 0; i < size; i += 3) {
    uint32_t left = (uint32_t)(size - i), word = (uint32_t)bytes[i] << 16;
    if (left > 1) word |= (uint32_t)bytes[i + 1] << 8;
    if (left > 2) word |= bytes[i + 2];
    *to++ = digits[word >> 18];
    *to++ = digits[word >> 12 & 63];
    *to++ = left > 1 ? digits[word >> 6 & 63] : '=';
    *to++ = left > 2 ? digits[word & 63] : '=';
  }
  p->size = (size_t)(to - p->text);
}

void gh_page_image(gh_page *p, const gh_image *image, const char *alt) {
  unsigned char *png = NULL;
  size_t size = 0;
  if (p->err.status || gh_png_encode(&p->err, &png, &size, image)) return;
  gh_page_add(p, "<img width=\"%d\" height=\"%d\" alt=\"", image->width, image->height);
  gh_page_text(p, alt);
  gh_page_add(p, "\" src=\"data:image/png;base64,");
  put_base64(p, png, size);
  gh_page_add(p, "\">");
  free(png);
}

gh_status gh_page_write(gh_error *err, gh_page *p, const char *path) {
  if (p->err.status) {
    *err = p->err;
    return err->status;
  }
  return gh_file_write(err, path, p->text, p->size);
}
