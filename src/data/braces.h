/* Brace patterns, as in shells and WebDataset: "data/cc3m-{00000..00331}.tar", "{train,extra}-{0..9}.tar". */
#ifndef GH_DATA_BRACES_H
#define GH_DATA_BRACES_H

#include "base/text.h"

#define GH_BRACES_MAX 1000000 /* paths that one pattern may expand to */

/* Appends the pattern's expansions, the last brace varying fastest. A range counts upwards; it is zero-padded to the
 * longer end if either end begins with a zero. A list's items must not be empty; braces do not nest. Text without
 * braces expands to itself. Anything else is GH_ERROR_CONFIG "PATTERN: why", as are more than GH_BRACES_MAX paths,
 * which is checked before anything is expanded. */
gh_status gh_braces_expand(gh_error *err, gh_strings *out, const char *pattern);

#endif
