#include "backend/chooser/tuned.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

#define FORMAT   "genhance tuning results"
#define VERSION  1
#define MAX_TEXT 512

/* ---- the check ---- */

static bool is_hash(const char *text) {
  return strlen(text) == GH_CACHE_KEY_SIZE - 1 && strspn(text, "0123456789abcdef") == GH_CACHE_KEY_SIZE - 1;
}

/* Printable ASCII that is not empty: names of providers and shapes. */
static bool is_plain(const char *text, size_t most) {
  const size_t n = strlen(text);
  for (size_t i = 0; i < n; i++)
    if (text[i] < ' ' || text[i] > '~') return false;
  return n > 0 && n < most;
}

static gh_status check_text(gh_error *err, const gh_json *object, const char *key, size_t most) {
  const char *text;
  gh_status status = gh_json_get_string(err, object, key, &text);
  if (!status && strlen(text) >= most) status = gh_fail(err, GH_ERROR_FORMAT, "%s is too long", key);
  return status;
}

static gh_status check_hash(gh_error *err, const gh_json *object, const char *key) {
  const char *text;
  gh_status status = gh_json_get_string(err, object, key, &text);
  if (!status && !is_hash(text)) status = gh_fail(err, GH_ERROR_FORMAT, "%s is not a hash of 32 digits", key);
  return status;
}

static gh_status check_object(gh_error *err, const gh_json *node, const char *what) {
  if (gh_json_type_of(node) == GH_JSON_OBJECT) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "%s: expected an object, found %s", what, gh_json_type_name(node));
}

static gh_status check_result(gh_error *err, const gh_json *result) {
  double seconds = 0, untuned = 0;
  const char *shape = gh_json_key(result), *provider;
  if (!is_plain(shape, GH_CHOICE_KEY)) return gh_fail(err, GH_ERROR_FORMAT, "\"%s\" is not a shape", shape);
  gh_status status = check_object(err, result, shape);
  if (!status) status = gh_json_get_string(err, result, "provider", &provider);
  if (!status && !is_plain(provider, MAX_TEXT)) status = gh_fail(err, GH_ERROR_FORMAT, "provider is not a name");
  if (!status) status = gh_json_get_double(err, result, "seconds", &seconds);
  if (!status) status = gh_json_opt_double(err, result, "untuned_seconds", &untuned);
  if (!status && (seconds < 0 || untuned < 0)) status = gh_fail(err, GH_ERROR_FORMAT, "a negative time");
  if (!status) status = check_hash(err, result, "space");
  return status ? gh_fail_in(err, "%s", shape) : GH_OK;
}

static gh_status check_choices(gh_error *err, const gh_json *choices) {
  const gh_json *results = gh_json_member(choices, "results");
  const char *kind = gh_json_key(choices);
  gh_status status = is_plain(kind, 32) ? GH_OK : gh_fail(err, GH_ERROR_FORMAT, "\"%s\" is not a kind", kind);
  if (!status) status = check_object(err, choices, kind);
  if (!status) status = check_hash(err, choices, "kernels");
  if (!status) status = check_object(err, results, "results");
  for (const gh_json *r = gh_json_first(results); r && !status; r = gh_json_next(r)) status = check_result(err, r);
  return status ? gh_fail_in(err, "%s", kind) : GH_OK;
}

static const char *const texts[] = {"name",    "vendor", "platform",     "driver",     "backend",
                                    "library", "kind",   "kernel_shape", "matrix_unit"};
static const char *const limits[] = {"compute_units", "local_memory_bytes", "largest_work_group", "vector_lanes"};

static gh_status check_device(gh_error *err, const gh_json *device) {
  const char *key = gh_json_key(device);
  const gh_json *choices = gh_json_member(device, "choices");
  int64_t number;
  gh_status status = is_hash(key) ? GH_OK : gh_fail(err, GH_ERROR_FORMAT, "a device's key is no hash of 32 digits");
  if (!status) status = check_object(err, device, key);
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++) status = check_text(err, device, texts[i], MAX_TEXT);
  for (size_t i = 0; i < GH_COUNT(limits) && !status; i++) {
    status = gh_json_get_int(err, device, limits[i], &number);
    if (!status && number < 0) status = gh_fail(err, GH_ERROR_FORMAT, "%s is negative", limits[i]);
  }
  if (!status) status = gh_json_get_int(err, device, "vendor_id", &number);
  if (!status) status = check_object(err, choices, "choices");
  for (const gh_json *c = gh_json_first(choices); c && !status; c = gh_json_next(c)) status = check_choices(err, c);
  return status ? gh_fail_in(err, "%s", is_hash(key) ? key : "devices") : GH_OK;
}

static gh_status check(gh_error *err, const gh_json *document) {
  const char *format = "";
  int64_t version = 0;
  const gh_json *devices = gh_json_member(document, "devices");
  gh_status status = check_object(err, document, "the document");
  if (!status) status = gh_json_get_string(err, document, "format", &format);
  if (!status && strcmp(format, FORMAT)) status = gh_fail(err, GH_ERROR_FORMAT, "its format is not \"%s\"", FORMAT);
  if (!status) status = gh_json_get_int(err, document, "version", &version);
  if (!status && version != VERSION)
    status = gh_fail(err, GH_ERROR_FORMAT, "version %lld; this program reads version %d", (long long)version, VERSION);
  if (!status) status = check_object(err, devices, "devices");
  for (const gh_json *d = gh_json_first(devices); d && !status; d = gh_json_next(d)) status = check_device(err, d);
  return status;
}

gh_status gh_tuned_parse(gh_error *err, gh_json **out, const char *name, const char *text, size_t size) {
  gh_status status = gh_json_parse(err, out, name, text, size, GH_TUNED_MAX_BYTES);
  if (status) return status;
  status = check(err, *out);
  if (!status) return GH_OK;
  gh_json_free(*out);
  *out = NULL;
  return gh_fail_in(err, "%s", name);
}

gh_status gh_tuned_read(gh_error *err, gh_json **out, const char *path) {
  char *bytes;
  size_t size;
  *out = NULL;
  gh_status status = gh_file_check_regular(err, path);
  if (!status) status = gh_file_read(err, path, GH_TUNED_MAX_BYTES, &bytes, &size);
  if (status) return status;
  status = gh_tuned_parse(err, out, path, bytes, size);
  free(bytes);
  return status;
}

/* ---- reading ---- */

static const gh_json *device_at(const gh_json *document, const char *key) {
  return gh_json_member(gh_json_member(document, "devices"), key);
}

/* The choices of a kind; NULL where there are none of these kernels. */
static const gh_json *choices_of(const gh_json *device, const gh_choice_state *state) {
  const gh_json *choices = gh_json_member(gh_json_member(device, "choices"), state->kind->name);
  const char *kernels = "";
  gh_error ignored;
  if (!choices || gh_json_get_string(&ignored, choices, "kernels", &kernels)) return NULL;
  return strcmp(kernels, state->kernels) ? NULL : gh_json_member(choices, "results");
}

static void read_result(const gh_json *result, gh_tuned *out) {
  gh_error ignored; /* all of it was checked */
  *out = (gh_tuned){0};
  gh_json_get_string(&ignored, result, "provider", &out->provider);
  gh_json_get_string(&ignored, result, "space", &out->space);
  gh_json_get_double(&ignored, result, "seconds", &out->seconds);
  gh_json_opt_double(&ignored, result, "untuned_seconds", &out->untuned);
}

bool gh_tuned_find(const gh_json *document, const char *device_key, const gh_choice_state *state, const char *shape,
                   gh_tuned *out) {
  const gh_json *result = gh_json_member(choices_of(device_at(document, device_key), state), shape);
  if (result) read_result(result, out);
  return result != NULL;
}

/* ---- which device is nearest ---- */

static const char *kind_of(const gh_device *d) { return d->info.is_cpu ? "cpu" : "gpu"; }
static const char *shape_of(const gh_device *d) { return d->info.shape == GH_SHAPE_CPU ? "cpu" : "gpu"; }
static const char *unit_of(const gh_device *d) {
  const char *unit = gh_identity_matrix_unit(&d->info);
  return unit ? unit : "";
}

static void limits_of(const gh_device *d, int64_t out[GH_COUNT(limits)]) {
  const int64_t values[GH_COUNT(limits)] = {d->info.compute_units, d->info.local_bytes, d->info.max_group,
                                            d->info.vector_lanes};
  memcpy(out, values, sizeof values);
}

static bool says(const gh_json *device, const char *key, const char *text) {
  const char *its = "";
  gh_error ignored;
  return !gh_json_get_string(&ignored, device, key, &its) && !strcmp(its, text);
}

/* Devices of other kinds have no distance. Another vendor counts more than another matrix unit, and that more than a
 * limit that is ten times as large. */
static double distance(const gh_json *device, const gh_device *d) {
  int64_t its_vendor = 0, own[GH_COUNT(limits)], its;
  gh_error ignored;
  if (!says(device, "kind", kind_of(d)) || !says(device, "kernel_shape", shape_of(d))) return HUGE_VAL;
  gh_json_get_int(&ignored, device, "vendor_id", &its_vendor);
  const int64_t vendor = d->info.identity.vendor_id;
  const bool same_vendor =
      vendor && its_vendor ? vendor == its_vendor : says(device, "vendor", d->info.identity.vendor);
  double sum = (same_vendor ? 0 : 8) + (says(device, "matrix_unit", unit_of(d)) ? 0 : 4) +
               (says(device, "name", d->info.name) ? 0 : 1) + (says(device, "backend", d->backend->name) ? 0 : 1);
  limits_of(d, own);
  for (size_t i = 0; i < GH_COUNT(limits); i++)
    if (!gh_json_get_int(&ignored, device, limits[i], &its))
      sum += fabs(log2((double)(its + 1)) - log2((double)(own[i] + 1)));
  return sum;
}

const char *gh_tuned_nearest(const gh_json *document, gh_device *d, const gh_choice_state *state) {
  char own[GH_CACHE_KEY_SIZE];
  const char *nearest = NULL;
  double least = HUGE_VAL;
  gh_choice_device_key(d, own);
  for (const gh_json *one = gh_json_first(gh_json_member(document, "devices")); one; one = gh_json_next(one)) {
    if (!strcmp(gh_json_key(one), own) || !choices_of(one, state)) continue;
    const double far = distance(one, d);
    if (!(far < least)) continue;
    least = far;
    nearest = gh_json_key(one);
  }
  return nearest;
}

/* ---- writing ---- */

gh_json *gh_tuned_new(gh_error *err) {
  gh_json *document = gh_json_object(err);
  if (document && !gh_json_put_string(err, document, "format", FORMAT) &&
      !gh_json_put_int(err, document, "version", VERSION) && gh_json_put_object(err, document, "devices"))
    return document;
  gh_json_free(document);
  return NULL;
}

/* The device's text where it is UTF-8, which drivers do not promise. */
static gh_status put_text(gh_error *err, gh_json *to, const char *key, const char *text) {
  char shown[MAX_TEXT];
  snprintf(shown, sizeof shown, "%s", text);
  gh_text_show(shown);
  return gh_json_put_string(err, to, key, shown);
}

static gh_status describe(gh_error *err, gh_json *to, gh_device *d) {
  const char *library = d->backend->library_name(d);
  const char *const values[GH_COUNT(texts)] = {
      d->info.name,     d->info.identity.vendor, d->info.platform, d->info.driver,
      d->backend->name, library ? library : "",  kind_of(d),       shape_of(d),
      unit_of(d)};
  int64_t numbers[GH_COUNT(limits)];
  gh_status status = GH_OK;
  limits_of(d, numbers);
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++) status = put_text(err, to, texts[i], values[i]);
  for (size_t i = 0; i < GH_COUNT(limits) && !status; i++)
    status = gh_json_put_int(err, to, limits[i], GH_MAX(numbers[i], 0));
  return status ? status : gh_json_put_int(err, to, "vendor_id", d->info.identity.vendor_id);
}

/* A member of an object that may be changed; NULL: there is none. */
static gh_json *member(gh_json *object, const char *key) { return (gh_json *)gh_json_member(object, key); }

/* The results of a kind, made if they are absent or of other kernels. NULL with err set when memory runs out. */
static gh_json *results_in(gh_error *err, gh_json *device, const char *kind, const char *kernels) {
  gh_json *all = member(device, "choices");
  const char *its = "";
  gh_error ignored;
  if (!all && !(all = gh_json_put_object(err, device, "choices"))) return NULL;
  gh_json *choices = member(all, kind);
  if (choices && !gh_json_get_string(&ignored, choices, "kernels", &its) && !strcmp(its, kernels))
    return member(choices, "results");
  choices = gh_json_put_object(err, all, kind);
  if (!choices || gh_json_put_string(err, choices, "kernels", kernels)) return NULL;
  return gh_json_put_object(err, choices, "results");
}

static gh_status put_result(gh_error *err, gh_json *results, const char *shape, const gh_tuned *r) {
  gh_json *o = gh_json_put_object(err, results, shape);
  if (!o || gh_json_put_string(err, o, "provider", r->provider) || gh_json_put_double(err, o, "seconds", r->seconds))
    return err->status;
  gh_status status = r->untuned > 0 ? gh_json_put_double(err, o, "untuned_seconds", r->untuned)
                                    : gh_json_put_null(err, o, "untuned_seconds");
  return status ? status : gh_json_put_string(err, o, "space", r->space);
}

gh_status gh_tuned_put(gh_error *err, gh_json *document, gh_device *d, const gh_choice_state *state, const char *shape,
                       const gh_tuned *result) {
  char key[GH_CACHE_KEY_SIZE];
  gh_choice_device_key(d, key);
  gh_json *devices = member(document, "devices"), *device = member(devices, key);
  if (!device && !(device = gh_json_put_object(err, devices, key))) return err->status;
  gh_status status = describe(err, device, d);
  gh_json *results = status ? NULL : results_in(err, device, state->kind->name, state->kernels);
  return results ? put_result(err, results, shape, result) : err->status;
}

/* ---- merging ---- */

typedef struct merging {
  gh_json *document;
  const char *name;
  gh_device *d;
  gh_choice_state *const *states;
  gh_tuned_counts *counts;
} merging;

/* What identifies a device, without its choices. */
static gh_status copy_device(gh_error *err, gh_json *to, const gh_json *from) {
  gh_status status = GH_OK;
  const char *text = "";
  int64_t number = 0;
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++)
    if (!(status = gh_json_get_string(err, from, texts[i], &text)))
      status = gh_json_put_string(err, to, texts[i], text);
  for (size_t i = 0; i <= GH_COUNT(limits) && !status; i++) {
    const char *key = i < GH_COUNT(limits) ? limits[i] : "vendor_id";
    status = gh_json_get_int(err, from, key, &number);
    if (!status) status = gh_json_put_int(err, to, key, number);
  }
  return status;
}

static gh_json *device_in(gh_error *err, gh_json *document, const gh_json *from) {
  gh_json *devices = member(document, "devices"), *device = member(devices, gh_json_key(from));
  if (device) return device;
  device = gh_json_put_object(err, devices, gh_json_key(from));
  return device && !copy_device(err, device, from) ? device : NULL;
}

/* A device's results of a kind whose kernels are these. */
static gh_status merge_results(gh_error *err, const merging *m, const gh_json *from, const gh_choice_state *state) {
  char own[GH_CACHE_KEY_SIZE];
  gh_choice_device_key(m->d, own);
  const bool is_own = !strcmp(own, gh_json_key(from));
  gh_json *device = device_in(err, m->document, from);
  gh_json *to = device ? results_in(err, device, state->kind->name, state->kernels) : NULL;
  gh_status status = to ? GH_OK : err->status;
  for (const gh_json *r = gh_json_first(choices_of(from, state)); r && !status; r = gh_json_next(r)) {
    gh_tuned one;
    read_result(r, &one);
    if (!gh_choice_provider(state, one.provider)) {
      m->counts->unknown++;
    } else if (is_own && gh_json_member(to, gh_json_key(r))) {
      m->counts->known++;
    } else {
      ++*(is_own ? &m->counts->own : &m->counts->others);
      status = put_result(err, to, gh_json_key(r), &one);
    }
  }
  return status;
}

static gh_status merge_device(gh_error *err, const merging *m, const gh_json *from) {
  const char *name = "", *driver = "";
  gh_status status = gh_json_get_string(err, from, "name", &name);
  if (!status) status = gh_json_get_string(err, from, "driver", &driver);
  for (const gh_json *c = gh_json_first(gh_json_member(from, "choices")); c && !status; c = gh_json_next(c)) {
    const long long count = (long long)gh_json_count(gh_json_member(c, "results"));
    gh_choice_state *const *state = m->states;
    while (*state && strcmp((*state)->kind->name, gh_json_key(c))) state++;
    if (!*state) {
      m->counts->unknown += count;
      gh_warn("%s: %lld results of \"%s\" are left out: this program does not search it", m->name, count,
              gh_json_key(c));
    } else if (!choices_of(from, *state)) {
      m->counts->other_kernels += count;
      gh_warn("%s: %lld results of %s (driver %s) are left out: they are of other kernels", m->name, count, name,
              driver);
    } else {
      const int64_t before = m->counts->others;
      status = merge_results(err, m, from, *state);
      if (m->counts->others > before)
        gh_info("%s: %lld results of another device, %s (driver %s), which are only a start", m->name,
                (long long)(m->counts->others - before), name, driver);
    }
  }
  return status;
}

gh_status gh_tuned_merge(gh_error *err, gh_json *document, const gh_json *from, const char *name, gh_device *d,
                         gh_choice_state *const *states, gh_tuned_counts *counts) {
  const merging m = {document, name, d, states, counts};
  gh_status status = GH_OK;
  const int64_t unknown = counts->unknown;
  for (const gh_json *one = gh_json_first(gh_json_member(from, "devices")); one && !status; one = gh_json_next(one))
    status = merge_device(err, &m, one);
  if (!status && counts->unknown > unknown)
    gh_warn("%s: %lld results name what this program does not know, and are left out", name,
            (long long)(counts->unknown - unknown));
  return status;
}
