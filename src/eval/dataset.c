#include "eval/dataset.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "data/index.h"
#include "eval/score.h"
#include "io/csv.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUESTIONS "Questions.csv"
#define PICTURES  "MLLM_VLM Images"
#define MMVP_HINT "expected the MMVP_VLM folder, with " QUESTIONS " and \"" PICTURES "/TYPE/ID.jpg\""

/* Checks that every file exists; the error names the first missing one. */
static gh_status check_images(gh_error *err, const gh_strings *paths, const char *where) {
  size_t missing = 0;
  const char *first = NULL;
  for (size_t i = 0; i < paths->count; i++) {
    if (gh_path_is_file(paths->items[i])) continue;
    if (!missing++) first = paths->items[i];
  }
  if (!missing) return GH_OK;
  if (missing == 1) return gh_fail(err, GH_ERROR_FILE, "%s: a listed image is missing: %s", where, first);
  return gh_fail(err, GH_ERROR_FILE, "%s: %zu of %zu listed images are missing, first %s", where, missing, paths->count,
                 first);
}

/* *out: the given name, else folder/fallback if it exists, else NULL. */
static gh_status choose(gh_error *err, char **out, const char *given, const char *folder, const char *fallback) {
  *out = given ? gh_strdup(err, given) : gh_path_join(err, folder, fallback);
  if (!*out) return GH_ERROR_MEMORY;
  if (given || gh_path_exists(*out)) return GH_OK;
  free(*out);
  *out = NULL;
  return GH_OK;
}

static gh_status add_joined(gh_error *err, gh_strings *list, const char *folder, const char *name) {
  char *path = gh_path_join(err, folder, name);
  gh_status status = path ? gh_strings_add(err, list, path) : GH_ERROR_MEMORY;
  free(path);
  return status;
}

/* ---- MMVP-VLM ---- */

static bool to_id(const char *text, int64_t *out) {
  char *end = NULL;
  errno = 0;
  *out = strtoll(text, &end, 10);
  end += strspn(end, " \t");
  return !errno && end != text && !*end && *out >= 0;
}

static gh_status add_question(gh_error *err, gh_mmvp_data *d, const char *folder, const gh_csv_row *row,
                              const char *type, int64_t id) {
  static const char *const endings[] = {"jpg", "jpeg", "png", "JPG"};
  const char *statement = row->fields.items[2];
  char *path = NULL, *prompt = gh_format(err, "a photo of %s", statement);
  for (size_t i = 0; i < GH_COUNT(endings); i++) { /* the published images are .jpg, which is also the name to report */
    char *other = gh_format(err, "%s/" PICTURES "/%s/%lld.%s", folder, type, (long long)id, endings[i]);
    bool take = other && (!path || gh_path_is_file(other));
    bool enough = take && gh_path_is_file(other);
    if (take) free(path);
    if (take)
      path = other;
    else
      free(other);
    if (!other || enough) break;
  }
  gh_status status = path && prompt ? gh_strings_add(err, &d->images, path) : GH_ERROR_MEMORY;
  if (!status) status = gh_strings_add(err, &d->statements, statement);
  if (!status) status = gh_strings_add(err, &d->types, type);
  if (!status) status = gh_strings_add(err, &d->prompts, prompt);
  free(path);
  free(prompt);
  return status;
}

static gh_status check_row(gh_error *err, const char *path, const gh_csv_row *row, int64_t *id) {
  if (row->fields.count != 3)
    return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: %zu fields; expected id, type, statement", path, row->line,
                   row->fields.count);
  if (!to_id(row->fields.items[0], id))
    return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: \"%.100s\" is not an id", path, row->line,
                   row->fields.items[0]);
  if (!gh_path_stays_inside(row->fields.items[1]))
    return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: \"%.100s\" is not a folder of images", path, row->line,
                   row->fields.items[1]);
  return GH_OK;
}

static gh_status read_pairs(gh_error *err, gh_mmvp_data *d, const char *folder, const char *path, const gh_csv *csv,
                            size_t head) {
  gh_status status = GH_OK;
  for (size_t i = head; i < csv->count && !status; i++) {
    size_t at = i - head;
    status = check_row(err, path, &csv->rows[i], &d->ids[at]);
    if (!status && at % 2 && (d->ids[at] - d->ids[at - 1]) % 2 == 0)
      status =
          gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: the ids of a pair are %lld and %lld; exactly one must be odd",
                  path, csv->rows[i].line, (long long)d->ids[at - 1], (long long)d->ids[at]);
    if (!status)
      status = add_question(err, d, folder, &csv->rows[i], csv->rows[head + at / 2 * 2].fields.items[1], d->ids[at]);
  }
  return status;
}

static gh_status read_questions(gh_error *err, gh_mmvp_data *d, const char *folder, const char *path,
                                const gh_csv *csv) {
  int64_t id;
  size_t head = csv->count && !to_id(csv->rows[0].fields.items[0], &id), rows = csv->count - head;
  if (!rows) return gh_fail(err, GH_ERROR_FORMAT, "%s: no questions", path);
  if (rows % 2)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %zu questions, an odd number: two consecutive rows make a pair", path,
                   rows);
  if (rows > 2 * GH_MMVP_PAIRS)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %zu questions; MMVP-VLM has %d, %d patterns of %d pairs", path, rows,
                   2 * GH_MMVP_PAIRS, GH_MMVP_PATTERNS, GH_MMVP_PAIRS_PER_PATTERN);
  d->pairs = (int64_t)rows / 2;
  d->ids = gh_alloc(err, rows, sizeof *d->ids);
  if (!d->ids) return GH_ERROR_MEMORY;
  gh_status status = read_pairs(err, d, folder, path, csv, head);
  return status ? status : check_images(err, &d->images, path);
}

gh_status gh_mmvp_read(gh_error *err, gh_mmvp_data *out, const char *folder) {
  *out = (gh_mmvp_data){0};
  gh_csv csv = {0};
  char *path = gh_path_join(err, folder, QUESTIONS), *pictures = gh_path_join(err, folder, PICTURES);
  gh_status status = path && pictures ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !gh_path_is_folder(folder)) status = gh_fail(err, GH_ERROR_FILE, "%s: no such folder", folder);
  if (!status && !gh_path_is_file(path))
    status = gh_fail(err, GH_ERROR_FILE, "%s: no " QUESTIONS "; " MMVP_HINT, folder);
  if (!status && !gh_path_is_folder(pictures))
    status = gh_fail(err, GH_ERROR_FILE, "%s: no folder \"" PICTURES "\"; " MMVP_HINT, folder);
  if (!status) status = gh_csv_read(err, &csv, path, ',');
  if (!status) status = read_questions(err, out, folder, path, &csv);
  gh_csv_free(&csv);
  free(path);
  free(pictures);
  if (status) gh_mmvp_free(out);
  return status;
}

void gh_mmvp_free(gh_mmvp_data *d) {
  gh_strings_free(&d->images);
  gh_strings_free(&d->statements);
  gh_strings_free(&d->types);
  gh_strings_free(&d->prompts);
  free(d->ids);
  *d = (gh_mmvp_data){0};
}

/* ---- zero-shot classification ---- */

/* The file of all classes and their texts. */
typedef struct class_list {
  const char *path; /* NULL: none is given */
  gh_strings names, texts;
} class_list;

static gh_status read_classes(gh_error *err, class_list *list, const char *path) {
  gh_csv csv = {0};
  list->path = path;
  gh_status status = gh_csv_read(err, &csv, path, gh_ends_with(path, ".csv") ? ',' : '\t');
  for (size_t i = 0; i < csv.count && !status; i++) {
    const gh_strings *f = &csv.rows[i].fields;
    if (f->count != 2 || !f->items[0][0])
      status = gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: expected a class and its text", path, csv.rows[i].line);
    if (!status) status = gh_strings_add(err, &list->names, f->items[0]);
    if (!status) status = gh_strings_add(err, &list->texts, f->items[1]);
  }
  gh_csv_free(&csv);
  return status;
}

static int compare_texts(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static int64_t index_of(const gh_strings *sorted, const char *name) {
  char **at = sorted->count ? bsearch(&name, sorted->items, sorted->count, sizeof *sorted->items, compare_texts) : NULL;
  return at ? at - sorted->items : -1;
}

/* The distinct names, sorted. */
static gh_status keep_distinct(gh_error *err, gh_strings *out, const gh_strings *names) {
  gh_strings sorted = {0};
  gh_status status = gh_strings_copy(err, &sorted, names);
  if (!status) gh_strings_sort(&sorted);
  for (size_t i = 0; i < sorted.count && !status; i++)
    if (!i || strcmp(sorted.items[i], sorted.items[i - 1])) status = gh_strings_add(err, out, sorted.items[i]);
  gh_strings_free(&sorted);
  return status;
}

/* Every image's index among the classes: those of `list`, which may have more than the images do, else the images'. */
static gh_status number_classes(gh_error *err, gh_zeroshot_data *d, const gh_strings *of_images,
                                const class_list *list) {
  gh_status status = keep_distinct(err, &d->classes, list->path ? &list->names : of_images);
  if (!status && !(d->labels = gh_alloc(err, of_images->count, sizeof *d->labels))) status = GH_ERROR_MEMORY;
  for (size_t i = 0; i < of_images->count && !status; i++) {
    d->labels[i] = index_of(&d->classes, of_images->items[i]);
    if (d->labels[i] < 0)
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: has no text for the class %s", list->path, of_images->items[i]);
  }
  return status;
}

static gh_status read_folders(gh_error *err, gh_zeroshot_data *d, const char *folder, const class_list *list) {
  size_t refused = 0;
  gh_strings names = {0}, of_images = {0};
  gh_status status = gh_folder_list(err, &names, folder, true);
  for (size_t i = 0; i < names.count && !status; i++) {
    const char *slash = strchr(names.items[i], '/');
    const gh_name_kind kind = slash ? gh_name_kind_of(names.items[i]) : GH_NAME_OTHER;
    refused += kind == GH_NAME_REFUSED;
    if (kind != GH_NAME_IMAGE) continue; /* lists next to the class folders */
    char *class = gh_format(err, "%.*s", (int)(slash - names.items[i]), names.items[i]);
    status = class ? gh_strings_add(err, &of_images, class) : GH_ERROR_MEMORY;
    if (!status) status = add_joined(err, &d->images, folder, names.items[i]);
    free(class);
  }
  if (!status && !d->images.count)
    status = gh_fail(err, GH_ERROR_FILE, "%s: no image in a class folder, and no labels.tsv", folder);
  if (!status && refused)
    gh_warn("%s: %zu images are left out: their formats are not supported, only PNG and JPEG", folder, refused);
  if (!status) status = number_classes(err, d, &of_images, list);
  gh_strings_free(&names);
  gh_strings_free(&of_images);
  return status;
}

static gh_status read_labels(gh_error *err, gh_zeroshot_data *d, const char *folder, const char *path,
                             const class_list *list) {
  gh_csv csv = {0};
  gh_strings of_images = {0};
  gh_status status = gh_csv_read(err, &csv, path, gh_ends_with(path, ".csv") ? ',' : '\t');
  if (!status && !csv.count) status = gh_fail(err, GH_ERROR_FORMAT, "%s: empty", path);
  for (size_t i = 0; i < csv.count && !status; i++) {
    const gh_strings *f = &csv.rows[i].fields;
    if (f->count != 2 || !f->items[0][0] || !f->items[1][0])
      status =
          gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: expected an image name and a class", path, csv.rows[i].line);
    else if (!gh_path_stays_inside(f->items[0]))
      status = gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: \"%.200s\" is outside the folder", path, csv.rows[i].line,
                       f->items[0]);
    if (!status) status = add_joined(err, &d->images, folder, f->items[0]);
    if (!status) status = gh_strings_add(err, &of_images, f->items[1]);
  }
  if (!status) status = check_images(err, &d->images, path);
  if (!status) status = number_classes(err, d, &of_images, list);
  gh_csv_free(&csv);
  gh_strings_free(&of_images);
  return status;
}

/* Replaces the classes' names by their texts. */
static gh_status rename_classes(gh_error *err, gh_zeroshot_data *d, const class_list *list) {
  gh_strings texts = {0};
  size_t *rows = gh_alloc(err, d->classes.count, sizeof *rows);
  gh_status status = rows ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < list->names.count && !status; i++) {
    size_t *row = &rows[index_of(&d->classes, list->names.items[i])];
    if (*row && strcmp(list->texts.items[*row - 1], list->texts.items[i]))
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: the class %s has two texts", list->path, list->names.items[i]);
    *row = i + 1;
  }
  for (size_t c = 0; c < d->classes.count && !status; c++)
    status = gh_strings_add(err, &texts, list->texts.items[rows[c] - 1]);
  free(rows);
  gh_strings_free(status ? &texts : &d->classes);
  if (!status) d->classes = texts;
  return status;
}

static gh_status read_templates(gh_error *err, gh_strings *out, const char *path) {
  gh_csv csv = {0};
  gh_status status = gh_csv_read(err, &csv, path, '\t');
  for (size_t i = 0; i < csv.count && !status; i++) {
    const gh_strings *f = &csv.rows[i].fields;
    if (f->count != 1 || !strstr(f->items[0], "{}"))
      status = gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: a template needs {} for the class", path, csv.rows[i].line);
    if (!status) status = gh_strings_add(err, out, f->items[0]);
  }
  if (!status && !out->count) status = gh_fail(err, GH_ERROR_FORMAT, "%s: no template", path);
  gh_csv_free(&csv);
  return status;
}

/* The template with every {} replaced. */
static gh_status add_prompt(gh_error *err, gh_strings *out, const char *template, const char *class) {
  size_t holes = 0, length = strlen(class);
  for (const char *at = template; (at = strstr(at, "{}")); at += 2) holes++;
  char *prompt = gh_alloc(err, strlen(template) + holes * length + 1, 1), *to = prompt;
  if (!prompt) return GH_ERROR_MEMORY;
  for (const char *at = template; *at;) {
    if (!strncmp(at, "{}", 2)) {
      memcpy(to, class, length);
      to += length;
      at += 2;
    } else {
      *to++ = *at++;
    }
  }
  gh_status status = gh_strings_add(err, out, prompt);
  free(prompt);
  return status;
}

gh_status gh_zeroshot_read(gh_error *err, gh_zeroshot_data *out, const gh_zeroshot_options *o) {
  *out = (gh_zeroshot_data){0};
  class_list list = {0};
  char *labels = NULL, *classes = NULL, *templates = NULL;
  gh_status status = GH_OK;
  if (!gh_path_is_folder(o->folder)) status = gh_fail(err, GH_ERROR_FILE, "%s: no such folder", o->folder);
  if (!status) status = choose(err, &labels, o->labels, o->folder, "labels.tsv");
  if (!status) status = choose(err, &classes, o->classes, o->folder, "classes.tsv");
  if (!status) status = choose(err, &templates, o->templates, o->folder, "templates.txt");
  if (!status && classes) status = read_classes(err, &list, classes);
  if (!status)
    status = labels ? read_labels(err, out, o->folder, labels, &list) : read_folders(err, out, o->folder, &list);
  if (!status && classes) status = rename_classes(err, out, &list);
  if (!status && templates) status = read_templates(err, &out->templates, templates);
  if (!status && !templates) status = gh_strings_add(err, &out->templates, "a photo of a {}.");
  for (size_t c = 0; c < out->classes.count && !status; c++)
    for (size_t t = 0; t < out->templates.count && !status; t++)
      status = add_prompt(err, &out->prompts, out->templates.items[t], out->classes.items[c]);
  free(labels);
  free(classes);
  free(templates);
  gh_strings_free(&list.names);
  gh_strings_free(&list.texts);
  if (status) gh_zeroshot_free(out);
  return status;
}

void gh_zeroshot_free(gh_zeroshot_data *d) {
  gh_strings_free(&d->images);
  gh_strings_free(&d->classes);
  gh_strings_free(&d->templates);
  gh_strings_free(&d->prompts);
  free(d->labels);
  *d = (gh_zeroshot_data){0};
}

/* ---- retrieval ---- */

static size_t count_captions(const gh_json *list) {
  size_t count = 0;
  for (const gh_json *item = gh_json_first(list); item; item = gh_json_next(item))
    count += gh_json_count(gh_json_member(item, "captions"));
  return count;
}

static gh_status read_entry(gh_error *err, gh_retrieval_data *d, const char *folder, const gh_json *item) {
  const char *name = NULL, *text = NULL;
  const gh_json *captions = gh_json_member(item, "captions");
  if (gh_json_type_of(item) != GH_JSON_OBJECT)
    return gh_fail(err, GH_ERROR_FORMAT, "expected an object, found %s", gh_json_type_name(item));
  if (!gh_json_member(item, "image")) return gh_fail(err, GH_ERROR_FORMAT, "captions without an image");
  gh_status status = gh_json_get_string(err, item, "image", &name);
  if (!status && !gh_path_stays_inside(name))
    status = gh_fail(err, GH_ERROR_FORMAT, "image \"%.200s\" is outside the folder", name);
  if (!status && (gh_json_type_of(captions) != GH_JSON_ARRAY || !gh_json_count(captions)))
    status = gh_fail(err, GH_ERROR_FORMAT, "image \"%.200s\" has no captions", name);
  if (!status) status = add_joined(err, &d->images, folder, name);
  for (const gh_json *c = gh_json_first(captions); c && !status; c = gh_json_next(c)) {
    status = gh_json_to_string(err, c, "a caption", &text);
    if (!status) d->owner[d->captions.count] = (int64_t)d->images.count - 1;
    if (!status) status = gh_strings_add(err, &d->captions, text);
  }
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

gh_status gh_retrieval_read(gh_error *err, gh_retrieval_data *out, const char *folder, const char *captions) {
  *out = (gh_retrieval_data){0};
  gh_json *list = NULL;
  char *path = captions ? gh_strdup(err, captions) : gh_path_join(err, folder, "captions.json");
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !gh_path_is_folder(folder)) status = gh_fail(err, GH_ERROR_FILE, "%s: no such folder", folder);
  if (!status) status = gh_json_read_file(err, &list, path, (size_t)1 << 30);
  if (!status && (gh_json_type_of(list) != GH_JSON_ARRAY || !gh_json_count(list)))
    status = gh_fail(err, GH_ERROR_FORMAT, "%s: expected a list of {\"image\", \"captions\"}", path);
  if (!status && !(out->owner = gh_alloc(err, count_captions(list) + 1, sizeof *out->owner))) status = GH_ERROR_MEMORY;
  size_t number = 0;
  for (const gh_json *item = gh_json_first(list); item && !status; item = gh_json_next(item)) {
    status = read_entry(err, out, folder, item);
    if (status) gh_fail_in(err, "%s, entry %zu", path, number + 1);
    number++;
  }
  if (!status) status = check_images(err, &out->images, path);
  if (!status) status = check_distinct(err, &out->images, path);
  gh_json_free(list);
  free(path);
  if (status) gh_retrieval_free(out);
  return status;
}

void gh_retrieval_free(gh_retrieval_data *d) {
  gh_strings_free(&d->images);
  gh_strings_free(&d->captions);
  free(d->owner);
  *d = (gh_retrieval_data){0};
}
