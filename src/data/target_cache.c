#include "data/target_cache.h"
#include "base/checksum.h"
#include "base/file.h"
#include "base/log.h"
#include "io/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define SHARD_BYTES (INT64_C(64) << 20)
#define VERSION     1 /* of the layout */
#define CHECKSUM    "xxh64"

struct gh_target_cache {
  char *folder;
  char identity[17]; /* hash of cache.json's text; stored in every shard */
  uint64_t images, entries, per_shard, shards;
  gh_target target;
  int64_t elements;      /* of an entry */
  gh_safetensors **open; /* (shards) opened when first read */
};

/* ---- the identity of a cache ---- */

/* The second name is that of earlier versions. A cache keeps the name with which it was written, and stays valid. */
#define PER_SHARD        "entries_per_shard"
#define PER_SHARD_BEFORE "entries_a_shard"

/* Codes of up to 2^16 values take half the space of int32. */
static gh_st_dtype stored_as(const gh_target *target) {
  if (target->dtype == GH_F32) return GH_ST_F32;
  return target->below > 0 && target->below <= INT64_C(1) << 16 ? GH_ST_U16 : GH_ST_I32;
}

static int64_t elements_of(const gh_target *target) { /* of one picture's */
  int64_t n = 1;
  for (int i = 0; i < target->rank; i++) n *= target->shape[i];
  return n;
}

bool gh_target_describes(const gh_target *target, const gh_tensor *t) {
  return t->dtype == target->dtype && t->rank == target->rank + 1 &&
         !memcmp(t->shape + 1, target->shape, (size_t)target->rank * sizeof *target->shape);
}

/* Bytes of an entry on the device and in a shard. */
static int64_t entry_bytes(const gh_target_cache *c) { return c->elements * (int64_t)gh_dtype_size(c->target.dtype); }
static int64_t stored_bytes(const gh_target_cache *c) {
  return c->elements * (stored_as(&c->target) == GH_ST_U16 ? (int64_t)sizeof(uint16_t) : 4);
}

static gh_status describe(gh_error *err, const gh_target_cache *c, const gh_target_cache_options *o,
                          const gh_loader *loader, const char *per_shard, gh_json **out) {
  char images[17];
  gh_json *root = gh_json_object(err);
  snprintf(images, sizeof images, "%016" PRIx64, gh_loader_index_hash(loader));
  gh_status status = root ? gh_json_put_int(err, root, "version", VERSION) : GH_ERROR_MEMORY;
  if (!status && c->target.identify) status = c->target.identify(err, c->target.context, root);
  if (!status) status = gh_json_put_string(err, root, "images", images);
  const struct {
    const char *key;
    uint64_t value;
  } numbers[] = {{"image_count", c->images},
                 {"image_size", (uint64_t)o->images.image_size},
                 {"crops", o->images.crops},
                 {"seed", o->images.seed},
                 {per_shard, c->per_shard}};
  for (size_t i = 0; i < GH_COUNT(numbers) && !status; i++)
    status = gh_json_put_int(err, root, numbers[i].key, (int64_t)numbers[i].value);
  if (!status) status = gh_json_put_doubles(err, root, "crop_scale", o->images.crop.scale, 2);
  if (!status) status = gh_json_put_doubles(err, root, "crop_ratio", o->images.crop.ratio, 2);
  if (status)
    gh_json_free(root);
  else
    *out = root;
  return status;
}

static gh_status same(gh_error *err, const gh_target_cache *c, const gh_json *now, const gh_json *before) {
  for (const gh_json *item = gh_json_first(now); item; item = gh_json_next(item))
    if (!gh_json_equal(item, gh_json_member(before, gh_json_key(item))))
      return gh_fail(err, GH_ERROR_CONFIG,
                     "%s: the %s were computed with another %s; remove the folder to compute them again, or choose "
                     "another data.latent_cache.path",
                     c->folder, c->target.files, gh_json_key(item));
  for (const gh_json *item = gh_json_first(before); item; item = gh_json_next(item))
    if (!gh_json_member(now, gh_json_key(item)) && strcmp(gh_json_key(item), CHECKSUM)) /* its seal */
      return gh_fail(err, GH_ERROR_CONFIG, "%s: this cache holds other targets; choose another data.latent_cache.path",
                     c->folder);
  return GH_OK;
}

/* Reads cache.json, *out NULL without one. A damaged one is written anew: every shard has the identity as well. */
static gh_status read_identity(gh_error *err, const char *path, gh_json **out) {
  gh_error broken = {0};
  if (!gh_path_exists(path)) return GH_OK;
  gh_status status = gh_file_check_regular(err, path);
  if (status) return status;
  status = gh_json_read_sealed(&broken, out, path);
  if (status != GH_ERROR_FORMAT) return status ? gh_fail(err, status, "%s", broken.text) : GH_OK;
  gh_warn("%s; it is written anew", broken.text);
  return GH_OK;
}

/* Compares the identity with cache.json, or writes that file. */
static gh_status identify(gh_error *err, gh_target_cache *c, const gh_target_cache_options *o,
                          const gh_loader *loader) {
  gh_json *now = NULL, *before = NULL;
  char *path = gh_path_join(err, c->folder, "cache.json"), *text = NULL;
  size_t size = 0;
  gh_status status = path ? read_identity(err, path, &before) : GH_ERROR_MEMORY;
  const char *per_shard = before && gh_json_member(before, PER_SHARD_BEFORE) ? PER_SHARD_BEFORE : PER_SHARD;
  if (!status) status = describe(err, c, o, loader, per_shard, &now);
  if (!status) status = gh_json_print(err, &text, &size, now, false);
  if (!status) snprintf(c->identity, sizeof c->identity, "%016" PRIx64, (uint64_t)XXH64(text, size, 0));
  if (!status) status = before ? same(err, c, now, before) : gh_json_write_sealed(err, path, now);
  gh_json_free(now);
  gh_json_free(before);
  free(path);
  free(text);
  return status;
}

/* ---- shards ---- */

static uint64_t shard_entries(const gh_target_cache *c, uint64_t shard) {
  return GH_MIN(c->per_shard, c->entries - shard * c->per_shard);
}

static char *shard_path(gh_error *err, const gh_target_cache *c, uint64_t shard) {
  return gh_format(err, "%s/%s-%05llu.safetensors", c->folder, c->target.files, (unsigned long long)shard);
}

static void shard_shape(const gh_target_cache *c, int64_t count, int64_t shape[GH_MAX_RANK]) {
  shape[0] = count;
  for (int i = 0; i < c->target.rank; i++) shape[i + 1] = c->target.shape[i];
}

/* Of an entry as stored. The number and the presence are covered too, so that entries cannot stand in for each other.
 */
static uint64_t entry_checksum(const gh_target_cache *c, uint64_t entry, bool present, const void *stored) {
  return XXH64(stored, (size_t)stored_bytes(c), entry << 1 | present);
}

static bool is_list(const gh_st_tensor *t, gh_st_dtype dtype, int64_t count) {
  return t && t->dtype == dtype && t->rank == 1 && t->shape[0] == count;
}

/* Opens the shard if it exists and belongs to this cache. */
static gh_status open_shard(gh_error *err, const gh_target_cache *c, uint64_t shard, gh_safetensors **out) {
  char *path = shard_path(err, c, shard);
  const int64_t count = (int64_t)shard_entries(c, shard);
  int64_t shape[GH_MAX_RANK];
  shard_shape(c, count, shape);
  gh_status status = path ? gh_safetensors_open(err, out, path) : GH_ERROR_MEMORY;
  free(path);
  if (status) return status;
  const char *identity = gh_safetensors_metadata(*out, "identity");
  const gh_st_tensor *present = gh_safetensors_find(*out, "present");
  const gh_st_tensor *targets = gh_safetensors_find(*out, c->target.name); /* floats or integers */
  const gh_st_tensor *checksums = gh_safetensors_find(*out, CHECKSUM);     /* NULL: of an earlier version */
  const bool ours = identity && !strcmp(identity, c->identity) && is_list(present, GH_ST_U8, count) &&
                    (checksums ? is_list(checksums, GH_ST_U64, count) : gh_safetensors_count(*out) == 2);
  const bool described = targets && targets->dtype == stored_as(&c->target) && targets->rank == c->target.rank + 1 &&
                         !memcmp(targets->shape, shape, (size_t)targets->rank * sizeof *shape);
  if (!ours || !described)
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: not a shard of this cache", gh_safetensors_path(*out));
  if (status) {
    gh_safetensors_close(*out);
    *out = NULL;
  }
  return status;
}

/* ---- computing ---- */

typedef struct gh_maker {
  const gh_target_cache_options *options;
  gh_target_cache *cache;
  gh_loader *loader;
  gh_store *store;
  gh_graph *graph;
  gh_tensor *images, *targets;
  gh_loader_sample *samples; /* (batch) */
  float *in;                 /* (batch, 3, S, S) */
  char *out;                 /* (batch, entry) */
  gh_progress progress;
} gh_maker;

static gh_status record(gh_error *err, gh_maker *m) {
  const gh_target_cache_options *o = m->options;
  const gh_target *target = &m->cache->target;
  const int64_t side = o->images.image_size, shape[] = {o->batch, 3, side, side};
  m->samples = gh_alloc(err, (size_t)o->batch, sizeof *m->samples);
  m->in = gh_alloc(err, (size_t)(o->batch * 3 * side * side), sizeof *m->in);
  m->out = gh_alloc(err, (size_t)o->batch, (size_t)entry_bytes(m->cache));
  if (!m->samples || !m->in || !m->out) return GH_ERROR_MEMORY;
  gh_status status = gh_store_create(err, o->device, &m->store);
  if (!status) status = gh_store_add(err, m->store, "input.images", GH_F32, 4, shape, &m->images);
  if (!status) status = gh_graph_create(err, o->device, &m->graph);
  if (status) return status;
  m->targets = target->record(target->context, m->graph, m->store, m->images);
  if (m->targets && !gh_target_describes(target, m->targets))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: the recorded tensor has another type or shape than the target says",
                   target->name);
  if (m->targets) gh_graph_keep(m->graph, m->targets);
  return gh_graph_plan(err, m->graph);
}

/* Computes the targets of `count` entries from `first` on into m->out. present[i] is 0 where the image is broken. */
static gh_status encode(gh_error *err, gh_maker *m, uint64_t first, size_t count, uint8_t *present) {
  const gh_target_cache *c = m->cache;
  if (gh_stop_requested())
    return gh_fail(err, GH_ERROR_STOPPED, "stopped while computing %s; what %s holds is kept", c->target.files,
                   c->folder);
  gh_status status = gh_loader_next_samples(err, m->loader, m->in, m->samples, count);
  if (!status) status = gh_tensor_write(err, m->options->device, m->images, m->in);
  if (!status) status = gh_graph_run(err, m->graph);
  if (!status) status = gh_tensor_read(err, m->options->device, m->targets, m->out);
  for (size_t i = 0; i < count && !status; i++) { /* the loader replaces a broken image by another */
    present[i] = m->samples[i].image == (first + i) % c->images;
    if (!present[i]) memset(m->out + (int64_t)i * entry_bytes(c), 0, (size_t)entry_bytes(c));
  }
  if (!status) gh_progress_update(&m->progress, first + count, NULL);
  return status;
}

/* Turns n entries into what a shard stores, in place. */
static void narrow(const gh_target_cache *c, void *entries, size_t n) {
  if (stored_as(&c->target) != GH_ST_U16) return;
  const int32_t *from = entries;
  uint16_t *to = entries;
  for (size_t i = 0; i < n * (size_t)c->elements; i++) {
    const uint16_t code = (uint16_t)from[i];
    memcpy(to + i, &code, sizeof code); /* the same memory under two types */
  }
}

/* `present` and `checksums`: (count), filled here. */
static gh_status write_shard(gh_error *err, gh_maker *m, uint64_t shard, gh_safetensors_writer *writer,
                             uint8_t *present, uint64_t *checksums) {
  const gh_target_cache *c = m->cache;
  const uint64_t count = shard_entries(c, shard), first = shard * c->per_shard;
  const gh_target *target = &c->target;
  int64_t shape[GH_MAX_RANK];
  shard_shape(c, (int64_t)count, shape);
  gh_status status = gh_safetensors_writer_metadata(err, writer, "identity", c->identity);
  if (!status)
    status = gh_safetensors_writer_declare(err, writer, target->name, stored_as(target), target->rank + 1, shape);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "present", GH_ST_U8, 1, shape);
  if (!status) status = gh_safetensors_writer_declare(err, writer, CHECKSUM, GH_ST_U64, 1, shape);
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  for (uint64_t done = 0; done < count && !status;) {
    size_t n = (size_t)GH_MIN((uint64_t)m->options->batch, count - done);
    status = encode(err, m, first + done, n, present + done);
    if (!status) narrow(c, m->out, n);
    for (size_t i = 0; i < n && !status; i++)
      checksums[done + i] =
          entry_checksum(c, first + done + i, present[done + i], m->out + (int64_t)i * stored_bytes(c));
    if (!status) status = gh_safetensors_writer_write(err, writer, target->name, m->out, n * (size_t)stored_bytes(c));
    done += n;
  }
  if (!status) status = gh_safetensors_writer_write(err, writer, "present", present, count);
  if (!status) status = gh_safetensors_writer_write(err, writer, CHECKSUM, checksums, count * sizeof *checksums);
  return status ? status : gh_safetensors_writer_finish(err, writer);
}

/* Records the computation, and chooses its kernels. Of several processes, the others take those of the first. */
static gh_status plan(gh_error *err, gh_maker *m) {
  const gh_target_cache_options *o = m->options;
  gh_status status = gh_parts_before(err, o->parts);
  if (!status) status = record(err, m);
  if (!status && o->planned) status = o->planned(err, o->user);
  return status ? status : gh_parts_after(err, o->parts);
}

/* Computes a shard. The loader is at the shard's first entry, or is opened there. */
static gh_status make_shard(gh_error *err, gh_maker *m, uint64_t shard) {
  gh_loader_options images = m->options->images;
  images.stage = 0;
  images.in_order = true;
  images.first_ordinal = shard * m->cache->per_shard;
  images.block = images.period = 0;
  gh_status status = m->loader ? GH_OK : gh_loader_create(err, &m->loader, &images);
  char *path = shard_path(err, m->cache, shard);
  if (!status && path && gh_path_exists(path)) status = gh_file_check_regular(err, path);
  uint8_t *present = gh_alloc(err, shard_entries(m->cache, shard), 1);
  uint64_t *checksums = gh_alloc(err, shard_entries(m->cache, shard), sizeof *checksums);
  gh_safetensors_writer *writer = NULL;
  if (!status) status = path && present && checksums ? gh_safetensors_writer_new(err, &writer, path) : GH_ERROR_MEMORY;
  if (!status) status = write_shard(err, m, shard, writer, present, checksums);
  gh_safetensors_writer_free(writer);
  free(present);
  free(checksums);
  free(path);
  return status;
}

/* Whether the shard exists and belongs to this cache. Running out of memory says nothing about the file, so it is
 * passed on. */
static gh_status is_made(gh_error *err, const gh_target_cache *c, uint64_t shard, bool *made) {
  gh_error why = {0};
  gh_safetensors *file = NULL;
  gh_status status = open_shard(&why, c, shard, &file);
  gh_safetensors_close(file);
  *made = !status;
  return status == GH_ERROR_MEMORY ? gh_fail(err, status, "%s", why.text) : GH_OK;
}

static gh_status make_each(gh_error *err, gh_maker *m, uint64_t first, uint64_t end, const bool *made) {
  const gh_target_cache *c = m->cache;
  gh_status status = GH_OK;
  bool started = false;
  for (uint64_t shard = first; shard < end && !status; shard++) {
    if (made[shard]) {
      gh_loader_free(m->loader); /* its position is no longer right */
      m->loader = NULL;
      continue;
    }
    if (!started) gh_progress_start(&m->progress, c->target.files, "crops", c->entries, shard * c->per_shard);
    started = true;
    status = make_shard(err, m, shard);
  }
  if (started) gh_progress_end(&m->progress);
  return status;
}

/* Of several processes, each makes a block of the shards. */
static gh_status make_missing(gh_error *err, gh_target_cache *c, const gh_target_cache_options *o) {
  gh_maker m = {.options = o, .cache = c};
  bool *made = gh_alloc(err, c->shards, sizeof *made), missing = false;
  gh_status status = made ? GH_OK : GH_ERROR_MEMORY;
  for (uint64_t shard = 0; shard < c->shards && !status; shard++) {
    status = is_made(err, c, shard, &made[shard]);
    missing |= !made[shard];
  }
  size_t first;
  const size_t end = gh_parts_range(o->parts, c->shards, 1, &first);
  status = gh_parts_ask(err, o->parts, status, &missing);
  if (!status && missing) {
    status = plan(err, &m);
    if (!status) status = make_each(err, &m, first, end, made);
    status = gh_parts_agree(err, o->parts, status);
  }
  gh_loader_free(m.loader);
  gh_graph_free(m.graph);
  gh_store_free(m.store);
  free(m.samples);
  free(m.in);
  free(m.out);
  free(made);
  return status;
}

/* ---- opening ---- */

static gh_status measure(gh_error *err, gh_target_cache *c, const gh_target_cache_options *o, gh_loader *loader) {
  gh_loader_stats stats;
  gh_loader_get_stats(loader, &stats);
  c->target = o->target;
  if (c->target.dtype != GH_F32 && c->target.dtype != GH_I32)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: targets are float32 or int32", c->target.name);
  c->elements = elements_of(&o->target);
  c->images = stats.images;
  c->entries = stats.images * o->images.crops;
  c->per_shard = (uint64_t)GH_MAX(1, (o->shard_bytes ? o->shard_bytes : SHARD_BYTES) / stored_bytes(c));
  c->shards = GH_CEIL_DIV(c->entries, c->per_shard);
  c->open = gh_alloc(err, c->shards, sizeof *c->open);
  return c->open ? GH_OK : GH_ERROR_MEMORY;
}

static gh_status open_cache(gh_error *err, gh_target_cache *c, const gh_target_cache_options *o) {
  gh_loader_options listing = o->images; /* opened only to get the list of images */
  listing.workers = 0;
  gh_loader *loader = NULL;
  gh_file_lock *lock = NULL;
  char *path = NULL;
  c->folder = gh_strdup(err, o->folder);
  gh_status status = c->folder ? gh_loader_create(err, &loader, &listing) : GH_ERROR_MEMORY;
  if (!status) status = measure(err, c, o, loader);
  const bool locks = !o->parts || !o->parts->part; /* the first process locks it for all */
  if (!status && locks) status = gh_folder_make(err, c->folder);
  if (!status && !(path = gh_path_join(err, c->folder, "lock"))) status = GH_ERROR_MEMORY;
  if (!status && locks) status = gh_file_lock_take(err, &lock, path, true);
  if (!status && locks) status = gh_folder_sweep(err, c->folder); /* of a killed process: the lock was its own */
  if (!status && locks) status = identify(err, c, o, loader);
  status = gh_parts_agree(err, o->parts, status);
  if (!status && !locks) status = identify(err, c, o, loader);
  gh_loader_free(loader);
  if (!status) status = make_missing(err, c, o);
  gh_file_lock_release(lock);
  free(path);
  return status;
}

gh_status gh_target_cache_open(gh_error *err, gh_target_cache **out, const gh_target_cache_options *o) {
  *out = NULL;
  gh_target_cache *c = gh_alloc(err, 1, sizeof *c);
  gh_status status = c ? open_cache(err, c, o) : GH_ERROR_MEMORY;
  if (status)
    gh_target_cache_free(c);
  else
    *out = c;
  return status;
}

void gh_target_cache_free(gh_target_cache *c) {
  if (!c) return;
  for (uint64_t i = 0; c->open && i < c->shards; i++) gh_safetensors_close(c->open[i]);
  free(c->open);
  free(c->folder);
  free(c);
}

/* ---- reading ---- */

/* Compares an entry with its checksum. A damaged shard is removed, so that it is computed again. `err` may already have
 * a more precise reason, which is kept. */
static gh_status check_entry(gh_error *err, const gh_target_cache *c, const gh_safetensors *shard, uint64_t entry,
                             int64_t at, bool present, gh_status before) {
  const gh_st_tensor *checksums = gh_safetensors_find(shard, CHECKSUM);
  if (!checksums) return before;
  const char *stored = (const char *)gh_safetensors_find(shard, c->target.name)->data + at * stored_bytes(c);
  uint64_t stated;
  gh_mapping_guard();
  memcpy(&stated, (const char *)checksums->data + at * (int64_t)sizeof stated, sizeof stated);
  const bool equal = stated == entry_checksum(c, entry, present, stored);
  const gh_status readable = gh_mapping_check(err, stored);
  if (readable || equal) return readable ? readable : before;
  gh_error failure = {0};
  if (gh_file_remove(&failure, gh_safetensors_path(shard))) gh_warn("%s", failure.text);
  if (before) return before;
  return gh_fail(
      err, GH_ERROR_FORMAT,
      "%s: damaged: entry %lld is not what was written; the file is removed, so that the next start computes "
      "it again",
      gh_safetensors_path(shard), (long long)at);
}

/* Reads entry `at` of a shard as the device's type. Codes index a table later, so a damaged one is refused here. */
static gh_status read_entry(gh_error *err, const gh_target_cache *c, const gh_safetensors *shard, int64_t at,
                            void *to) {
  const gh_st_tensor *stored = gh_safetensors_find(shard, c->target.name);
  const int64_t below = c->target.below;
  if (c->target.dtype == GH_F32 || !below) {
    gh_mapping_guard();
    memcpy(to, (const char *)stored->data + at * stored_bytes(c), (size_t)stored_bytes(c));
    return gh_mapping_check(err, stored->data);
  }
  int64_t values[256];
  for (int64_t done = 0; done < c->elements;) {
    const int64_t n = GH_MIN(c->elements - done, (int64_t)GH_COUNT(values));
    gh_status status = gh_st_read_i64(err, stored, at * c->elements + done, n, values);
    for (int64_t i = 0; i < n && !status; i++) {
      if (values[i] < 0 || values[i] >= below)
        status =
            gh_fail(err, GH_ERROR_FORMAT, "%s: %s: %lld is out of range: there are %lld %s", gh_safetensors_path(shard),
                    c->target.name, (long long)values[i], (long long)below, c->target.what);
      ((int32_t *)to)[done + i] = (int32_t)values[i];
    }
    if (status) return status;
    done += n;
  }
  return GH_OK;
}

/* The target of one sample, at `to`. */
static gh_status read_target(gh_error *err, gh_target_cache *c, const gh_loader_sample *sample, void *to) {
  const uint64_t entry = sample->crop * c->images + sample->image, shard = entry / c->per_shard;
  int64_t at = (int64_t)(entry % c->per_shard), present = 0;
  if (sample->image >= c->images || entry >= c->entries)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: no %s of crop %llu of image %llu", c->folder, c->target.files,
                   (unsigned long long)sample->crop, (unsigned long long)sample->image);
  gh_status status = c->open[shard] ? GH_OK : open_shard(err, c, shard, &c->open[shard]);
  if (!status) status = gh_st_read_i64(err, gh_safetensors_find(c->open[shard], "present"), at, 1, &present);
  if (!status && present) status = read_entry(err, c, c->open[shard], at, to);
  if (!status || status == GH_ERROR_FORMAT)
    status = check_entry(err, c, c->open[shard], entry, at, present != 0, status);
  if (!status && !present)
    status = gh_fail(err, GH_ERROR_CONFIG,
                     "%s: image %llu could not be read when the %s were computed, but now it can; remove the folder",
                     c->folder, (unsigned long long)sample->image, c->target.files);
  if (status == GH_ERROR_FILE) { /* another try maps the file again */
    gh_safetensors_close(c->open[shard]);
    c->open[shard] = NULL;
  }
  return status;
}

gh_status gh_target_cache_read(gh_error *err, gh_target_cache *c, const gh_loader_sample *samples, size_t count,
                               void *targets) {
  const size_t bytes = (size_t)entry_bytes(c);
  gh_status status = GH_OK;
  for (size_t i = 0; i < count && !status; i++) status = read_target(err, c, &samples[i], (char *)targets + i * bytes);
  return status;
}
