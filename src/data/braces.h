/* Brace patterns, as shells and WebDataset write them: "data/cc3m-{00000..00331}.tar", "{train,extra}-{0..9}.tar". */
#ifndef GH_DATA_BRACES_H
#define GH_DATA_BRACES_H

#include "base/text.h"

#define GH_BRACES_MAX 1000000 /* paths that one pattern may stand for */

/* Appends what the pattern stands for, the last brace running fastest. A range counts upwards and is padded with zeros
 * to the longer end when one end begins with a zero; a list's parts are not empty; braces do not nest. A text without
 * braces stands for itself. Anything else is GH_ERROR_CONFIG "PATTERN: why", and so are more than GH_BRACES_MAX paths,
 * which is known before anything is expanded. */
gh_status gh_braces_expand(gh_error *err, gh_strings *out, const char *pattern);

#endif
