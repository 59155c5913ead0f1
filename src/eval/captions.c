/* Images and their captions: our own list, COCO's annotations, Karpathy's splits of COCO and Flickr30k. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/incomplete.h"
#include "base/json.h"
#include "base/log.h"
#include "eval/dataset_internal.h"

#define MAX_BYTES     ((size_t)1 << 30)
#define USUAL_SPLIT   "test"
#define NAMED_AT_MOST 10

/* What is known while a file is read. */
typedef struct gh_reading {
  gh_retrieval_data *out;
  const char *folder, *path;
  const char *split; /* Karpathy's; NULL: not given */
  char *place;       /* a folder below, in which the images may be instead; "" for none */
} gh_reading;

/* ---- one image and its captions ---- */

static gh_status check_name(gh_error *err, const char *name) {
  return gh_path_stays_inside(name) ? GH_OK
                                    : gh_fail(err, GH_ERROR_FORMAT, "image \"%.200s\" is outside the folder", name);
}

/* folder/name or, if only that exists, folder/place/name. */
static gh_status add_image(gh_error *err, const gh_reading *r, const char *place, const char *name) {
  gh_status status = check_name(err, name);
  if (status) return status;
  char *usual = gh_path_join(err, r->folder, name);
  char *below = place[0] ? gh_format(err, "%s/%s/%s", r->folder, place, name) : NULL;
  if (!usual || (place[0] && !below)) status = GH_ERROR_MEMORY;
  if (!status)
    status = gh_strings_add(err, &r->out->images,
                            below && !gh_path_is_file(usual) && gh_path_is_file(below) ? below : usual);
  free(usual);
  free(below);
  return status;
}

static gh_status add_caption(gh_error *err, gh_retrieval_data *d, const char *text, size_t image) {
  d->owner[d->captions.count] = (int64_t)image;
  return gh_strings_add(err, &d->captions, text);
}

static gh_status make_room(gh_error *err, gh_retrieval_data *d, size_t captions) {
  d->owner = gh_alloc(err, captions + 1, sizeof *d->owner);
  return d->owner ? GH_OK : GH_ERROR_MEMORY;
}

/* Calls `read` for every item of a list; an error names the item's number. */
typedef gh_status gh_read_item(gh_error *err, void *user, const gh_json *item);
static gh_status read_items(gh_error *err, const gh_json *list, const char *path, const char *what, gh_read_item *read,
                            void *user) {
  size_t number = 0;
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item)) {
    gh_status status = GH_OK;
    number++;
    if (gh_json_type_of(item) != GH_JSON_OBJECT)
      status = gh_fail(err, GH_ERROR_FORMAT, "expected an object, found %s", gh_json_type_name(item));
    if (!status) status = read(err, user, item);
    if (status) return gh_fail_in(err, "%s, %s %zu", path, what, number);
  }
  return GH_OK;
}

/* ---- our own list ---- */

static size_t count_lists(const gh_json *list, const char *key) {
  size_t count = 0;
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item))
    count += gh_json_count(gh_json_member(item, key));
  return count;
}

static gh_status read_entry(gh_error *err, void *user, const gh_json *item) {
  const gh_reading *r = user;
  const char *name = NULL, *text = NULL;
  const gh_json *captions = gh_json_member(item, "captions");
  if (!gh_json_member(item, "image")) return gh_fail(err, GH_ERROR_FORMAT, "captions without an image");
  gh_status status = gh_json_get_string(err, item, "image", &name);
  if (!status) status = check_name(err, name);
  if (!status && (gh_json_type_of(captions) != GH_JSON_ARRAY || !gh_json_count(captions)))
    status = gh_fail(err, GH_ERROR_FORMAT, "image \"%.200s\" has no captions", name);
  if (!status) status = add_image(err, r, "", name);
  for (const gh_json *c = gh_json_first(captions); c && !status; c = gh_json_next(c)) {
    status = gh_json_to_string(err, c, "a caption", &text);
    if (!status) status = add_caption(err, r->out, text, r->out->images.count - 1);
  }
  return status;
}

static gh_status read_own(gh_error *err, gh_reading *r, const gh_json *root) {
  gh_status status = make_room(err, r->out, count_lists(root, "captions"));
  return status ? status : read_items(err, root, r->path, "entry", read_entry, r);
}

/* ---- COCO: "images" and "annotations", joined by the images' ids ---- */

typedef struct gh_coco_image {
  int64_t id;
  const char *name;
  size_t order, captions, index; /* its place in the file; how many it has; its place among those that have some */
} gh_coco_image;

typedef struct gh_coco {
  const gh_reading *reading;
  gh_coco_image *images; /* (count) by id, once all are read */
  size_t count;
  bool counts; /* the first of the two passes over the annotations */
} gh_coco;

static gh_status read_coco_image(gh_error *err, void *user, const gh_json *item) {
  gh_coco *c = user;
  gh_coco_image *image = &c->images[c->count];
  *image = (gh_coco_image){.order = c->count++};
  gh_status status = gh_json_get_int(err, item, "id", &image->id);
  return status ? status : gh_json_get_string(err, item, "file_name", &image->name);
}

static int by_id(const void *a, const void *b) {
  const gh_coco_image *x = a, *y = b;
  return x->id < y->id ? -1 : x->id > y->id;
}

static int by_order(const void *a, const void *b) {
  const gh_coco_image *x = *(gh_coco_image *const *)a, *y = *(gh_coco_image *const *)b;
  return x->order < y->order ? -1 : x->order > y->order;
}

static gh_status read_annotation(gh_error *err, void *user, const gh_json *item) {
  const gh_coco *c = user;
  const char *text = NULL;
  gh_coco_image wanted;
  gh_status status = gh_json_get_int(err, item, "image_id", &wanted.id);
  if (!status && !gh_json_member(item, "caption"))
    status = gh_fail(err, GH_ERROR_FORMAT, "no caption; of COCO's files, those of captions have some");
  if (!status) status = gh_json_get_string(err, item, "caption", &text);
  if (status) return status;
  gh_coco_image *image = c->count ? bsearch(&wanted, c->images, c->count, sizeof wanted, by_id) : NULL;
  if (!image) return gh_fail(err, GH_ERROR_FORMAT, "there is no image with the id %lld", (long long)wanted.id);
  if (!c->counts) return add_caption(err, c->reading->out, text, image->index);
  image->captions++;
  return GH_OK;
}

/* Numbers the images that have captions, in the file's order. */
static gh_status place_images(gh_error *err, gh_coco *c) {
  const gh_reading *r = c->reading;
  size_t bare = 0;
  gh_status status = GH_OK;
  gh_coco_image **ordered = gh_alloc(err, c->count + 1, sizeof *ordered);
  if (!ordered) return GH_ERROR_MEMORY;
  for (size_t i = 0; i < c->count; i++) ordered[i] = &c->images[i];
  qsort(ordered, c->count, sizeof *ordered, by_order);
  for (size_t i = 0; i < c->count && !status; i++) {
    if (!ordered[i]->captions && bare++ < NAMED_AT_MOST)
      gh_warn("%s: %s has no caption; it is left out", r->path, ordered[i]->name);
    if (!ordered[i]->captions) continue;
    ordered[i]->index = r->out->images.count;
    status = add_image(err, r, r->place, ordered[i]->name);
    if (status) gh_fail_in(err, "%s", r->path);
  }
  if (!status && bare > NAMED_AT_MOST) gh_warn("%s: %zu images without captions are left out", r->path, bare);
  free(ordered);
  return status;
}

static gh_status read_coco(gh_error *err, gh_reading *r, const gh_json *root) {
  const gh_json *images = gh_json_member(root, "images"), *annotations = gh_json_member(root, "annotations");
  gh_coco c = {.reading = r, .counts = true};
  gh_status status = make_room(err, r->out, gh_json_count(annotations));
  if (!status && !(c.images = gh_alloc(err, gh_json_count(images) + 1, sizeof *c.images))) status = GH_ERROR_MEMORY;
  if (!status) status = read_items(err, images, r->path, "image", read_coco_image, &c);
  if (!status && c.count) qsort(c.images, c.count, sizeof *c.images, by_id);
  for (size_t i = 1; i < c.count && !status; i++)
    if (c.images[i].id == c.images[i - 1].id)
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: two images have the id %lld", r->path, (long long)c.images[i].id);
  if (!status) status = read_items(err, annotations, r->path, "annotation", read_annotation, &c);
  if (!status) status = place_images(err, &c);
  c.counts = false;
  if (!status) status = read_items(err, annotations, r->path, "annotation", read_annotation, &c);
  free(c.images);
  return status;
}

/* ---- Karpathy: "images" with "filename", "split" and "sentences" ---- */

static gh_status read_karpathy_image(gh_error *err, void *user, const gh_json *item) {
  const gh_reading *r = user;
  const char *split = NULL, *name = NULL, *place = "", *text = NULL;
  const gh_json *sentences = gh_json_member(item, "sentences");
  gh_status status = gh_json_get_string(err, item, "split", &split);
  if (status || strcmp(split, r->split ? r->split : USUAL_SPLIT)) return status;
  status = gh_json_get_string(err, item, "filename", &name);
  if (!status) status = gh_json_opt_string(err, item, "filepath", &place);
  if (!status && place[0]) status = check_name(err, place);
  if (!status && (gh_json_type_of(sentences) != GH_JSON_ARRAY || !gh_json_count(sentences)))
    status = gh_fail(err, GH_ERROR_FORMAT, "image \"%.200s\" has no sentences", name);
  if (!status) status = add_image(err, r, place, name);
  for (const gh_json *s = gh_json_first(sentences); s && !status; s = gh_json_next(s)) {
    status = gh_json_get_string(err, s, "raw", &text);
    if (!status) status = add_caption(err, r->out, text, r->out->images.count - 1);
  }
  return status;
}

/* The names of the file's splits, for an error. */
static void list_splits(char *out, size_t size, const gh_json *images) {
  gh_strings seen = {0};
  size_t used = 0;
  out[0] = 0;
  for (const gh_json *item = gh_json_first(images); item && seen.count < 8; item = gh_json_next(item)) {
    const char *split = "";
    bool known = gh_json_get_string(NULL, item, "split", &split) != GH_OK;
    for (size_t i = 0; i < seen.count; i++) known = known || !strcmp(seen.items[i], split);
    if (known || gh_strings_add(NULL, &seen, split)) continue;
    int n = snprintf(out + used, size - used, "%s%.40s", used ? ", " : "", split);
    used = GH_MIN(used + (size_t)GH_MAX(n, 0), size - 1);
  }
  gh_strings_free(&seen);
}

static gh_status read_karpathy(gh_error *err, gh_reading *r, const gh_json *root) {
  const gh_json *images = gh_json_member(root, "images");
  gh_status status = make_room(err, r->out, count_lists(images, "sentences"));
  if (!status) status = read_items(err, images, r->path, "image", read_karpathy_image, r);
  if (status || r->out->images.count) return status;
  char splits[400];
  list_splits(splits, sizeof splits, images);
  return gh_fail(err, GH_ERROR_FORMAT, "%s: no image of the split \"%.60s\"; it has %s", r->path,
                 r->split ? r->split : USUAL_SPLIT, splits);
}

/* ---- the file ---- */

/* The array of strings that begins at `at`: where it ends, or NULL if it is not one. */
static const char *end_of_strings(const char *at, const char *end) {
  for (at++; at < end && *at != ']'; at++) {
    if (strchr(" \t\r\n,", *at) && *at) continue;
    if (*at != '"') return NULL;
    for (at++; at < end && *at != '"'; at++) at += *at == '\\';
  }
  return at < end ? at + 1 : NULL;
}

/* Empties the lists "tokens": words of Karpathy's sentences that nobody reads, most of a file of 150 MB. */
static size_t drop_tokens(char *text, size_t size) {
  static const char key[] = "\"tokens\"";
  const size_t length = sizeof key - 1;
  const char *at = text, *end = text + size;
  char *to = text;
  while (at < end) {
    const char *next = memmem(at, (size_t)(end - at), key, length), *list = next ? next + length : end;
    const char *stop = next ? list : end;
    while (list < end && strchr(" \t\r\n:", *list) && *list) list++;
    const char *after =
        list < end && *list == '[' && memchr(stop, ':', (size_t)(list - stop)) ? end_of_strings(list, end) : NULL;
    if (after) stop = list + 1; /* with the bracket */
    memmove(to, at, (size_t)(stop - at));
    to += stop - at;
    if (after) *to++ = ']';
    at = after ? after : stop;
  }
  return (size_t)(to - text);
}

static gh_status read_json(gh_error *err, gh_json **out, const char *path) {
  char *text = NULL;
  size_t size = 0;
  gh_status status = gh_file_read(err, path, MAX_BYTES, &text, &size);
  if (!status) status = gh_refuse_wide_text(err, path, text, size);
  if (!status) status = gh_json_parse(err, out, path, text, drop_tokens(text, size), MAX_BYTES);
  free(text);
  return status;
}

/* An image listed twice would compete with itself. */
static gh_status check_distinct(gh_error *err, const gh_strings *images, const char *path) {
  gh_strings sorted = {0};
  gh_status status = gh_strings_copy(err, &sorted, images);
  if (!status) gh_strings_sort(&sorted);
  for (size_t i = 1; i < sorted.count && !status; i++)
    if (!strcmp(sorted.items[i], sorted.items[i - 1]))
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: %s is listed twice", path, sorted.items[i]);
  gh_strings_free(&sorted);
  return status;
}

static gh_status read_any(gh_error *err, gh_reading *r, const gh_json *root) {
  const gh_json *images = gh_json_member(root, "images");
  const bool coco = gh_json_type_of(images) == GH_JSON_ARRAY && gh_json_member(root, "annotations");
  const bool karpathy = !coco && gh_json_member(gh_json_first(images), "sentences");
  if (r->split && !karpathy)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: has no splits; a split is chosen in Karpathy's files", r->path);
  if (coco) return read_coco(err, r, root);
  if (karpathy) return read_karpathy(err, r, root);
  if (gh_json_type_of(root) == GH_JSON_ARRAY && gh_json_count(root)) return read_own(err, r, root);
  return gh_fail(err, GH_ERROR_FORMAT,
                 "%s: expected a list of {\"image\", \"captions\"}, COCO's captions or Karpathy's file", r->path);
}

/* folder/captions.json, or the folder's only file with the name of COCO's or Karpathy's. */
static gh_status find_captions(gh_error *err, char **out, const char *folder) {
  gh_strings names = {0};
  const char *found = NULL;
  size_t count = 0;
  if (!(*out = gh_path_join(err, folder, "captions.json"))) return GH_ERROR_MEMORY;
  if (gh_path_exists(*out)) return GH_OK;
  gh_status status = gh_folder_list(err, &names, folder, false);
  for (size_t i = 0; i < names.count && !status; i++) {
    const char *name = names.items[i];
    if (!gh_ends_with(name, ".json") || (!gh_starts_with(name, "captions_") && !gh_starts_with(name, "dataset_")))
      continue;
    found = name;
    count++;
  }
  if (!status && count > 1)
    status = gh_fail(err, GH_ERROR_FILE, "%s: %zu files of captions; choose one with --captions", folder, count);
  if (!status && !count) status = gh_dataset_refuse_parquet(err, folder);
  if (!status && count == 1) {
    free(*out);
    if (!(*out = gh_path_join(err, folder, found))) status = GH_ERROR_MEMORY;
  }
  gh_strings_free(&names);
  return status;
}

/* COCO's images are in the folder of their split: captions_val2017.json's in val2017. */
static char *place_of(gh_error *err, const char *path) {
  const char *name = gh_path_name(path), *prefix = "captions_";
  if (!gh_starts_with(name, prefix) || !gh_ends_with(name, ".json")) return gh_strdup(err, "");
  return gh_format(err, "%.*s", (int)(strlen(name) - strlen(prefix) - strlen(".json")), name + strlen(prefix));
}

gh_status gh_retrieval_read(gh_error *err, gh_retrieval_data *out, const char *given, const char *captions,
                            const char *split) {
  *out = (gh_retrieval_data){0};
  gh_json *root = NULL;
  char *folder = NULL, *path = NULL, *place = NULL;
  gh_status status = gh_dataset_folder(err, &folder, given);
  if (!status && captions && !(path = gh_strdup(err, captions))) status = GH_ERROR_MEMORY;
  if (!status && !captions) status = find_captions(err, &path, folder);
  if (!status && !(place = place_of(err, path))) status = GH_ERROR_MEMORY;
  gh_reading r = {.out = out, .folder = folder, .path = path, .split = split, .place = place};
  if (!status) status = read_json(err, &root, path);
  if (!status) status = read_any(err, &r, root);
  if (!status && !out->images.count) status = gh_fail(err, GH_ERROR_FORMAT, "%s: no image with captions", path);
  if (!status) status = gh_dataset_check_images(err, &out->images, path);
  if (!status) status = check_distinct(err, &out->images, path);
  gh_json_free(root);
  free(place);
  free(path);
  free(folder);
  if (status) gh_retrieval_free(out);
  return status;
}

void gh_retrieval_free(gh_retrieval_data *d) {
  gh_strings_free(&d->images);
  gh_strings_free(&d->captions);
  free(d->owner);
  *d = (gh_retrieval_data){0};
}
