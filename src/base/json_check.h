/* The strict JSON grammar (RFC 8259) that a text must satisfy before the JSON library sees it; private to base/json.c.
 */
#ifndef GH_BASE_JSON_CHECK_H
#define GH_BASE_JSON_CHECK_H

#include "base/status.h"

#define GH_JSON_MAX_VALUES 8000000 /* a node takes 64 bytes: limits the memory a small hostile text can use */
#define GH_JSON_MAX_DIGITS 63      /* of one number's text */

gh_status gh_json_check(gh_error *err, const char *name, const char *text, size_t size);

#endif
