#include "models/family.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>

static const gh_family *const built_in[] = {&gh_clip, &gh_siglip, &gh_metaclip2, &gh_eva, NULL};
const gh_family *const *gh_families = built_in;

gh_name gh_family_list(const char *(*pick)(const gh_family *family)) {
  const char *picked[GH_MOST_FAMILIES];
  size_t count = 0, used = 0;
  gh_name list = {0};
  for (const gh_family *const *f = gh_families; *f && count < GH_MOST_FAMILIES; f++)
    if ((picked[count] = pick(*f))) count++;
  for (size_t i = 0; i < count && used < sizeof list.text; i++)
    used += (size_t)snprintf(list.text + used, sizeof list.text - used, "%s%s",
                             !i              ? ""
                             : i + 1 < count ? ", "
                                             : " and ",
                             picked[i]);
  return list;
}

bool gh_family_past_adapter(const gh_family *family, const char *layer) {
  for (size_t i = 0; family->past_adapter && family->past_adapter[i]; i++)
    if (!strcmp(layer, family->past_adapter[i])) return true;
  return false;
}

/* ---- preprocessing; a folder of one family may name the class of another ---- */

enum { PROCESSORS = GH_MOST_FAMILIES + 1 }; /* and the NULL at the end */

static void list_processors(const gh_family *own, const gh_processor *list[PROCESSORS]) {
  size_t count = 0;
  list[count++] = &own->processor;
  for (const gh_family *const *f = gh_families; *f && count < GH_MOST_FAMILIES; f++)
    if (*f != own) list[count++] = &(*f)->processor;
  list[count] = NULL;
}

void gh_vision_preprocess_defaults(gh_preprocess *out, const gh_vision_config *c) {
  gh_preprocess_defaults(out, &c->family->processor, c->image);
}

gh_status gh_vision_preprocess_read(gh_error *err, gh_preprocess *out, const char *folder, const gh_vision_config *c) {
  const gh_processor *known[PROCESSORS];
  const char *from, *other = NULL;
  bool openclip;
  gh_preprocess unused;
  gh_error ignored;
  list_processors(c->family, known);
  gh_status status = gh_openclip_is(err, folder, &openclip);
  const gh_settings_owner owner = openclip ? GH_OWNER_OPENCLIP : GH_OWNER_TRANSFORMERS;
  const gh_settings_owner second = openclip ? GH_OWNER_TRANSFORMERS : GH_OWNER_OPENCLIP;
  if (!status) status = gh_preprocess_read(err, out, folder, owner, known, c->image, &from);
  if (status || !from) return status;
  bool read = !gh_preprocess_read(&ignored, &unused, folder, second, known, c->image, &other);
  if (other && strcmp(other, from) && !(read && gh_preprocess_equal(out, &unused)))
    gh_warn("%s: pictures are prepared as %s says; %s says otherwise and is not used", folder, from, other);
  return GH_OK;
}

gh_status gh_vision_preprocess_write(gh_error *err, const gh_preprocess *how, const char *folder,
                                     const gh_vision_config *c) {
  const gh_processor *known[PROCESSORS];
  list_processors(c->family, known);
  return gh_preprocess_write(err, how, folder, known);
}
