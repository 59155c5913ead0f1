/* A page of HTML under construction. The first failure is kept: later calls do nothing, and gh_page_write reports it.
 */
#ifndef GH_REPORT_PAGE_H
#define GH_REPORT_PAGE_H

#include "io/image.h"

typedef struct gh_page {
  char *text;
  size_t size, capacity;
  gh_error err; /* status GH_OK if nothing failed */
} gh_page;

void gh_page_free(gh_page *page);

/* Adds markup unescaped; only numbers and the program's own texts may be formatted in. */
void gh_page_add(gh_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Adds external text, for elements and attributes: escaped, with U+FFFD for invalid UTF-8 and hidden characters
 * (base/utf8.h). */
void gh_page_text(gh_page *page, const char *text);
/* Adds an <img> with the image embedded as a base64 PNG. */
void gh_page_image(gh_page *page, const gh_image *image, const char *alt);

/* Begins a page with its title as a heading; ends it. */
void gh_page_open(gh_page *page, const char *title);
void gh_page_close(gh_page *page);

/* Writes the first chart at or after the offset `from` of the page's text as an SVG file. */
gh_status gh_page_write_chart(gh_error *err, const gh_page *page, size_t from, const char *path);

/* Replaces path atomically, unless something failed earlier. */
gh_status gh_page_write(gh_error *err, gh_page *page, const char *path);

#endif
