/* Regular expressions in Python's syntax, as PEFT's configurations use them for the names of layers. Supported are
 * characters, ".", sets, \d \w \s, groups, alternatives, look-ahead, "^", "$", and the quantifiers "*", "+" and "?",
 * greedy or not.
 */
#ifndef GH_BASE_PATTERN_H
#define GH_BASE_PATTERN_H

#include "base/status.h"

/* Whether the pattern matches the whole text, of at most 191 bytes. GH_ERROR_UNSUPPORTED names a pattern with other
 * syntax, or one that is too long or too deep. Takes time polynomial in the text's length, whatever the pattern. */
gh_status gh_pattern_match(gh_error *err, const char *pattern, const char *text, bool *matches);

#endif
