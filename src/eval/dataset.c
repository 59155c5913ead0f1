/* Zero-shot classification: pictures, their classes, and the prompts of all classes. */
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "data/index.h"
#include "eval/dataset_internal.h"
#include "io/csv.h"
#include "io/image.h"

#define NAMED_AT_MOST 10

/* *out: the given name, else the first of folder/fallbacks that exists, else NULL. */
static gh_status choose(gh_error *err, char **out, const char *given, const char *folder,
                        const char *const *fallbacks) {
  *out = given ? gh_strdup(err, given) : NULL;
  if (given) return *out ? GH_OK : GH_ERROR_MEMORY;
  for (; *fallbacks; fallbacks++) {
    if (!(*out = gh_path_join(err, folder, *fallbacks))) return GH_ERROR_MEMORY;
    if (gh_path_exists(*out)) return GH_OK;
    free(*out);
    *out = NULL;
  }
  return GH_OK;
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
                                const gh_class_list *list) {
  gh_status status = keep_distinct(err, &d->classes, list->path ? &list->names : of_images);
  if (!status && !(d->labels = gh_alloc(err, of_images->count, sizeof *d->labels))) status = GH_ERROR_MEMORY;
  for (size_t i = 0; i < of_images->count && !status; i++) {
    d->labels[i] = index_of(&d->classes, of_images->items[i]);
    if (d->labels[i] < 0)
      status = gh_fail(err, GH_ERROR_FORMAT, "%s: has no text for the class %s", list->path, of_images->items[i]);
  }
  return status;
}

static void warn_refused(const char *folder, const char *name, size_t *refused) {
  if ((*refused)++ < NAMED_AT_MOST) gh_warn("skipped: %s/%s: this build does not read its format", folder, name);
}

/* A class whose pictures are absent is no candidate, which would make the others' scores better without a word. */
static gh_status warn_of_empty(gh_error *err, const gh_zeroshot_data *d, const char *folder) {
  gh_strings folders = {0};
  const char *first = NULL;
  size_t empty = 0;
  gh_status status = gh_folder_list_folders(err, &folders, folder);
  for (size_t i = 0; i < folders.count; i++)
    if (index_of(&d->classes, folders.items[i]) < 0 && !empty++) first = folders.items[i];
  if (empty)
    gh_warn("%s: %zu folder%s without a picture that can be read, such as %s: no class for that; --classes names all",
            folder, empty, empty == 1 ? "" : "s", first);
  gh_strings_free(&folders);
  return status;
}

static gh_status read_folders(gh_error *err, gh_zeroshot_data *d, const char *folder, const gh_class_list *list) {
  size_t refused = 0;
  gh_strings names = {0}, of_images = {0};
  gh_status status = gh_folder_list_all(err, &names, folder, true); /* no picture is lost */
  for (size_t i = 0; i < names.count && !status; i++) {
    const char *slash = strchr(names.items[i], '/');
    const gh_name_kind kind = slash ? gh_name_kind_of(names.items[i]) : GH_NAME_OTHER;
    if (kind == GH_NAME_REFUSED) warn_refused(folder, names.items[i], &refused);
    if (kind != GH_NAME_IMAGE) continue; /* lists next to the class folders */
    char *class = gh_format(err, "%.*s", (int)(slash - names.items[i]), names.items[i]);
    status = class ? gh_strings_add(err, &of_images, class) : GH_ERROR_MEMORY;
    if (!status) status = gh_dataset_add_joined(err, &d->images, folder, names.items[i]);
    free(class);
  }
  if (!status && !d->images.count) status = gh_dataset_refuse_parquet(err, folder);
  if (!status && !d->images.count)
    status = gh_fail(err, GH_ERROR_FILE, "%s: no image in a class folder, and no labels.tsv", folder);
  if (!status && refused)
    gh_warn("%s: %zu images are left out: their formats are not supported, only %s", folder, refused,
            gh_image_formats());
  if (!status) status = number_classes(err, d, &of_images, list);
  if (!status && !list->path) status = warn_of_empty(err, d, folder);
  gh_strings_free(&names);
  gh_strings_free(&of_images);
  return status;
}

static gh_status read_labels(gh_error *err, gh_zeroshot_data *d, const char *folder, const char *path,
                             const gh_class_list *list) {
  gh_strings of_images = {0};
  gh_status status = gh_labels_read(err, &d->images, &of_images, folder, path, list);
  if (!status) status = number_classes(err, d, &of_images, list);
  gh_strings_free(&of_images);
  return status;
}

/* Numbers of words in place of words, and two classes with the same words, score badly without a reason to be seen. */
static gh_status warn_of_classes(gh_error *err, const gh_zeroshot_data *d, const char *folder) {
  gh_strings sorted = {0};
  size_t synsets = 0, shared = 0;
  const char *first = NULL;
  gh_status status = gh_strings_copy(err, &sorted, &d->classes);
  if (!status) gh_strings_sort(&sorted);
  for (size_t i = 0; i < sorted.count; i++) {
    synsets += gh_is_synset(sorted.items[i]);
    if (!i || strcmp(sorted.items[i], sorted.items[i - 1])) continue;
    if (!shared++) first = sorted.items[i];
  }
  if (synsets && synsets == sorted.count)
    gh_warn("%s: the classes are named by synsets, such as %s; --classes LOC_synset_mapping.txt gives them words",
            folder, sorted.items[0]);
  if (shared) gh_warn("%s: %zu classes have the name of another, such as \"%s\": they tie", folder, shared, first);
  gh_strings_free(&sorted);
  return status;
}

/* Replaces the classes' names by their texts. */
static gh_status rename_classes(gh_error *err, gh_zeroshot_data *d, const gh_class_list *list) {
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

/* A line of Python's or JSON's list: its quotes and commas would be part of every prompt. */
static bool is_source_text(const char *line) {
  line += strspn(line, " \t");
  const size_t length = strlen(line), comma = length && line[length - 1] == ',';
  const bool quoted = length > 1 + comma && strchr("'\"", line[0]) && line[length - 1 - comma] == line[0];
  return quoted || line[0] == '[' || gh_starts_with(line, "lambda");
}

static gh_status read_templates(gh_error *err, gh_strings *out, const char *path) {
  gh_csv csv = {0};
  gh_status status = gh_csv_read(err, &csv, path, '\t');
  for (size_t i = 0; i < csv.count && !status; i++) {
    const gh_strings *f = &csv.rows[i].fields;
    if (is_source_text(f->items[0]))
      status = gh_fail(err, GH_ERROR_FORMAT,
                       "%s, line %zu: text of Python or JSON; write one template per line, without quotes and commas",
                       path, csv.rows[i].line);
    else if (f->count != 1 || !strstr(f->items[0], "{}"))
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
  static const char *const usual_labels[] = {"labels.tsv", "LOC_val_solution.csv",
                                             "ILSVRC2012_validation_ground_truth.txt", NULL};
  static const char *const usual_classes[] = {"classes.tsv", "map_clsloc.txt", "LOC_synset_mapping.txt",
                                              "synset_words.txt", NULL};
  static const char *const usual_templates[] = {"templates.txt", NULL};
  *out = (gh_zeroshot_data){0};
  gh_class_list list = {0};
  char *folder = NULL, *labels = NULL, *classes = NULL, *templates = NULL;
  gh_status status = gh_dataset_folder(err, &folder, o->folder);
  if (!status) status = choose(err, &labels, o->labels, folder, usual_labels);
  if (!status) status = choose(err, &classes, o->classes, folder, usual_classes);
  if (!status) status = choose(err, &templates, o->templates, folder, usual_templates);
  if (!status && classes) status = gh_class_list_read(err, &list, classes);
  if (!status) status = labels ? read_labels(err, out, folder, labels, &list) : read_folders(err, out, folder, &list);
  if (!status && classes) status = rename_classes(err, out, &list);
  if (!status) status = warn_of_classes(err, out, folder);
  if (!status && templates) status = read_templates(err, &out->templates, templates);
  if (!status && !templates) status = gh_strings_add(err, &out->templates, "a photo of a {}.");
  for (size_t c = 0; c < out->classes.count && !status; c++)
    for (size_t t = 0; t < out->templates.count && !status; t++)
      status = add_prompt(err, &out->prompts, out->templates.items[t], out->classes.items[c]);
  free(folder);
  free(labels);
  free(classes);
  free(templates);
  gh_class_list_free(&list);
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
