/* A page of HTML under construction. The first failure is kept: later calls do nothing, and gh_page_write reports it.
 */
#ifndef GH_REPORT_PAGE_H
#define GH_REPORT_PAGE_H

#include "base/text.h"
#include "io/image.h"

typedef struct gh_page {
  char *text;
  size_t size, capacity;
  gh_error err; /* status GH_OK while all is well */
} gh_page;

void gh_page_free(gh_page *page);

/* Markup as it is; only numbers and texts of the program's own go into the format. */
void gh_page_add(gh_page *page, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Text from outside: escaped, control characters and bytes that are not UTF-8 replaced. Fits elements and attributes.
 */
void gh_page_text(gh_page *page, const char *text);
/* <img> with the picture inside, a PNG as base64. */
void gh_page_image(gh_page *page, const gh_image *image, const char *alt);

/* Replaces path atomically, unless something failed before. */
gh_status gh_page_write(gh_error *err, gh_page *page, const char *path);

#endif
