/* The model card of an exported encoder: README.md, in the form that model hubs read. */
#ifndef GH_EXPORT_CARD_H
#define GH_EXPORT_CARD_H

#include "config/run.h"
#include "export/export.h"

/* Writes OUT/README.md: base model, licence fields, method, data, the snapshot's scores with their intervals, what made
 * it. A README.md that an export did not write is left alone. `clip` is the model folder that was trained from. */
gh_status gh_model_card_write(gh_error *err, const char *out, const char *run, const char *clip,
                              const gh_snapshot *snapshot, gh_export_format format);

#endif
