#include "train/made_by.h"

#include "base/build.h"
#include "base/checksum.h"
#include "base/utf8.h"
#include "train/frozen_choices.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

void gh_utc_text(char out[GH_UTC_SIZE]) {
  const time_t now = time(NULL);
  struct tm utc;
  if (!strftime(out, GH_UTC_SIZE, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc))) out[0] = 0;
}

static gh_status describe(gh_error *err, gh_json *to, const gh_device_info *device, const gh_json *config, bool timed) {
  char host[128], hash[GH_CHECKSUM_TEXT] = "", now[GH_UTC_SIZE];
  gh_host_name(host, sizeof host);
  gh_utc_text(now);
  gh_status status = config ? gh_choices_config_hash(err, config, hash) : GH_OK;
  const struct {
    const char *key, *value;
  } texts[] = {{"version", GH_VERSION},
               {"commit", gh_build_commit},
               {"device", device ? device->id : NULL},
               {"device_name", device ? device->name : NULL},
               {"driver", device ? device->driver : NULL},
               {"host", host},
               {"configuration", config ? hash : NULL},
               {"time", timed ? now : NULL}};
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++) {
    char shown[256];
    if (!texts[i].value) continue;
    snprintf(shown, sizeof shown, "%s", texts[i].value);
    gh_text_show(shown); /* JSON is UTF-8, whatever a driver says */
    status = gh_json_put_string(err, to, texts[i].key, shown);
  }
  return status;
}

gh_status gh_made_by_put(gh_error *err, gh_json *to, const gh_device_info *device, const gh_json *config, bool timed) {
  gh_json *made = gh_json_put_object(err, to, GH_MADE_BY);
  return made ? describe(err, made, device, config, timed) : err->status;
}

gh_status gh_made_by_text(gh_error *err, char **out, const gh_device_info *device, const gh_json *config, bool timed) {
  gh_json *made = gh_json_object(err);
  *out = NULL;
  gh_status status = made ? describe(err, made, device, config, timed) : GH_ERROR_MEMORY;
  if (!status) status = gh_json_print(err, out, NULL, made, false);
  gh_json_free(made);
  return status;
}
