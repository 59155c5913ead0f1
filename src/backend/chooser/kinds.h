/* All kinds of choices, for code that freezes or shows them. */
#ifndef GH_BACKEND_CHOOSER_KINDS_H
#define GH_BACKEND_CHOOSER_KINDS_H

#include "backend/chooser/chooser.h"

extern const gh_choice_kind *const gh_choice_kinds[]; /* ends with NULL */

#endif
