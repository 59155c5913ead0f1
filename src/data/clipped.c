#include "data/clipped.h"

#include "base/log.h"

void gh_clipped_note(gh_clipped *clipped, const char *name) {
  pthread_mutex_lock(&clipped->lock);
  uint64_t count = ++clipped->count;
  pthread_mutex_unlock(&clipped->lock);
  if (count > GH_NAMED_CLIPPED) return;
  gh_warn("%s: 16-bit grey: values above 255 are clipped to 255, as PIL does", name);
  if (count == GH_NAMED_CLIPPED) gh_warn("further clipped pictures are counted, but not named here");
}

void gh_clipped_end(gh_clipped *clipped) {
  if (clipped->count > GH_NAMED_CLIPPED)
    gh_warn("%llu pictures of 16-bit grey were clipped to 255", (unsigned long long)clipped->count);
  clipped->count = 0;
}
