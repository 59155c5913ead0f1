/* Zero-shot classification's two kinds of lists, in the forms in which people have them: classes and their names, and
 * pictures and their classes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "data/index.h"
#include "eval/dataset_internal.h"
#include "io/csv.h"

static bool is_one_of(const char *const *words, size_t count, const char *text) {
  for (size_t i = 0; i < count; i++)
    if (!strcasecmp(words[i], text)) return true;
  return false;
}

static char separator_of(const char *path) { return gh_ends_with(path, ".csv") ? ',' : '\t'; }

static bool to_number(const char *text, int64_t *out) {
  char *end = NULL;
  errno = 0;
  *out = strtoll(text, &end, 10);
  return !errno && end != text && !*end && *out >= 0;
}

/* Without blanks at its ends, in place: "dog " is not another class than "dog". */
static char *trimmed(char *text) {
  text += strspn(text, " \t");
  for (size_t n = strlen(text); n && strchr(" \t", text[n - 1]); n--) text[n - 1] = 0;
  return text;
}

/* ---- classes ---- */

bool gh_is_synset(const char *word) {
  return word[0] == 'n' && strlen(word) == 9 && strspn(word + 1, "0123456789") == 8;
}

/* "n01440764 tench, Tinca tinca": the first word is the class, the first name its text. map_clsloc.txt's lines are
 * "n02119789 1 kit_fox". */
static gh_status add_synset(gh_error *err, gh_class_list *list, char *line, size_t number, size_t rows) {
  char *rest = line + strcspn(line, " "), *middle;
  *rest++ = 0;
  int64_t value;
  const bool numbered = list->numbers != NULL, first = !list->names.count;
  const size_t word = strcspn(rest, " ");
  middle = rest[word] ? gh_format(err, "%.*s", (int)word, rest) : gh_strdup(err, "");
  if (!middle) return GH_ERROR_MEMORY;
  if (to_number(middle, &value) && !strchr(rest + word + 1, ' ')) {
    rest += word + 1;
    for (char *c = rest; *c; c++) *c = *c == '_' ? ' ' : *c;
    if (!list->numbers) list->numbers = gh_alloc(err, rows, sizeof *list->numbers);
    if (list->numbers) list->numbers[list->names.count] = value;
  } else {
    rest[strcspn(rest, ",")] = 0;
    value = -1;
  }
  free(middle);
  if (value >= 0 && !list->numbers) return GH_ERROR_MEMORY;
  if ((!first && numbered != (value >= 0)) || !gh_is_synset(line) || !*rest)
    return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: expected a synset and its name, as in the other lines",
                   list->path, number);
  gh_status status = gh_strings_add(err, &list->names, line);
  return status ? status : gh_strings_add(err, &list->texts, rest);
}

static bool is_class_header(const gh_strings *fields) {
  static const char *const classes[] = {"class", "classes", "label", "synset", "wnid", "id", "class_id", "category"};
  static const char *const texts[] = {"text", "name", "class_name", "prompt", "description", "label", "words"};
  return fields->count == 2 && is_one_of(classes, GH_COUNT(classes), fields->items[0]) &&
         is_one_of(texts, GH_COUNT(texts), fields->items[1]);
}

/* One field that begins as a synset's line does. */
static bool is_synset_line(const gh_strings *fields) {
  const char *line = fields->items[0];
  return fields->count == 1 && line[0] == 'n' && strspn(line + 1, "0123456789") == 8 && line[9] == ' ';
}

gh_status gh_class_list_read(gh_error *err, gh_class_list *list, const char *path) {
  gh_csv csv = {0};
  list->path = path;
  gh_status status = gh_csv_read(err, &csv, path, separator_of(path));
  const size_t head = !status && csv.count > 1 && is_class_header(&csv.rows[0].fields);
  for (size_t i = head; i < csv.count && !status; i++) {
    const gh_strings *f = &csv.rows[i].fields;
    if (is_synset_line(f)) {
      status = add_synset(err, list, f->items[0], csv.rows[i].line, csv.count);
      continue;
    }
    char *name = f->count == 2 ? trimmed(f->items[0]) : NULL, *text = name ? trimmed(f->items[1]) : NULL;
    if (!name || !*name || !*text)
      status = gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: expected a class and its text", path, csv.rows[i].line);
    if (!status) status = gh_strings_add(err, &list->names, name);
    if (!status) status = gh_strings_add(err, &list->texts, text);
  }
  gh_csv_free(&csv);
  return status;
}

void gh_class_list_free(gh_class_list *list) {
  gh_strings_free(&list->names);
  gh_strings_free(&list->texts);
  free(list->numbers);
  *list = (gh_class_list){0};
}

/* ---- labels ---- */

typedef struct gh_labelling {
  gh_strings *images, *classes;
  const char *folder, *path;
  const gh_class_list *list;
  gh_stems stems; /* of the folder, once they are needed */
  bool listed;
} gh_labelling;

static gh_status list_stems(gh_error *err, gh_labelling *l) {
  if (l->listed) return GH_OK;
  l->listed = true;
  return gh_stems_list(err, &l->stems, l->folder);
}

static bool is_in_folder(const char *folder, const char *name) {
  char *path = gh_path_join(NULL, folder, name);
  bool there = path && gh_path_is_file(path);
  free(path);
  return there;
}

/* The name as given, or with the ending of the picture that has this stem. */
static gh_status add_image(gh_error *err, gh_labelling *l, const char *name, size_t line) {
  if (!gh_path_stays_inside(name))
    return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: \"%.200s\" is outside the folder", l->path, line, name);
  const char *found = NULL;
  gh_status status = GH_OK;
  if (gh_name_kind_of(name) == GH_NAME_OTHER && !is_in_folder(l->folder, name)) {
    status = list_stems(err, l);
    if (!status) found = gh_stems_find(&l->stems, name);
  }
  return status ? status : gh_dataset_add_joined(err, l->images, l->folder, found ? found : name);
}

/* A number stands for a class of the list: by its line, from 0, or by map_clsloc.txt's numbers. */
static gh_status add_numbered(gh_error *err, gh_labelling *l, const char *class, bool by_line, size_t line) {
  int64_t number;
  if (!to_number(class, &number)) return gh_strings_add(err, l->classes, class);
  const gh_class_list *list = l->list;
  for (size_t i = 0; i < list->names.count; i++) /* a class that is named by a number */
    if (!strcmp(list->names.items[i], class)) return gh_strings_add(err, l->classes, class);
  if (by_line ? !list->path : !list->numbers)
    return gh_fail(err, GH_ERROR_FORMAT,
                   "%s, line %zu: \"%.40s\" is a number; --classes must name the list that says which class it is%s",
                   l->path, line, class, by_line ? "" : ": map_clsloc.txt of ImageNet's development kit");
  for (size_t i = 0; i < list->names.count; i++)
    if (by_line ? (int64_t)i == number : list->numbers[i] == number)
      return gh_strings_add(err, l->classes, list->names.items[i]);
  return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: %s has no class number %lld", l->path, line, list->path,
                 (long long)number);
}

/* Lines of two fields, perhaps below a header. Solutions of ImageNet's challenge: the class, then boxes. */
static gh_status read_pairs(gh_error *err, gh_labelling *l, const gh_csv *csv) {
  static const char *const words[] = {"image", "images", "filename", "file",     "file_name", "name",
                                      "path",  "id",     "imageid",  "image_id", "img"};
  const gh_strings *first = &csv->rows[0].fields;
  const char *word = first->items[0];
  const bool solution = first->count == 2 && !strcmp(word, "ImageId") && !strcmp(first->items[1], "PredictionString");
  const bool next_is_image = csv->count > 1 && gh_name_kind_of(csv->rows[1].fields.items[0]) == GH_NAME_IMAGE;
  const size_t head = gh_name_kind_of(word) == GH_NAME_OTHER && csv->count > 1 && !is_in_folder(l->folder, word) &&
                      (next_is_image || is_one_of(words, GH_COUNT(words), word));
  gh_status status = GH_OK;
  for (size_t i = head; i < csv->count && !status; i++) {
    const gh_strings *f = &csv->rows[i].fields;
    const size_t line = csv->rows[i].line;
    char *class = f->count == 2 ? trimmed(f->items[1]) : NULL;
    if (!class || !f->items[0][0] || !*class)
      return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: expected an image name and a class", l->path, line);
    if (solution) class[strcspn(class, " ")] = 0;
    status = add_image(err, l, f->items[0], line);
    if (!status && l->list->path) status = add_numbered(err, l, class, true, line);
    if (!status && !l->list->path) status = gh_strings_add(err, l->classes, class);
  }
  return status;
}

/* Lines "NAME CLASS" or "CLASS": the latter for the folder's pictures in the order of their names. */
static gh_status read_words(gh_error *err, gh_labelling *l, const gh_csv *csv) {
  const bool bare = !strchr(csv->rows[0].fields.items[0], ' ');
  gh_status status = bare ? list_stems(err, l) : GH_OK;
  if (!status && bare && l->stems.names.count != csv->count)
    return gh_fail(err, GH_ERROR_FORMAT, "%s: %zu labels, one a line, for the %zu images in %s", l->path, csv->count,
                   l->stems.names.count, l->folder);
  for (size_t i = 0; i < csv->count && !status; i++) {
    const gh_strings *f = &csv->rows[i].fields;
    const size_t line = csv->rows[i].line;
    char *class = f->items[0], *blank = strrchr(class, ' ');
    if (f->count != 1 || !blank != bare || (blank && (blank == class || !blank[1])))
      return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: expected %s", l->path, line,
                     bare ? "a class" : "an image name and a class");
    const char *name = bare ? l->stems.names.items[i] : class;
    if (blank) *blank = 0, class = blank + 1;
    status = bare ? gh_dataset_add_joined(err, l->images, l->folder, name) : add_image(err, l, name, line);
    if (!status) status = add_numbered(err, l, class, !bare, line);
  }
  return status;
}

gh_status gh_labels_read(gh_error *err, gh_strings *images, gh_strings *classes, const char *folder, const char *path,
                         const gh_class_list *list) {
  gh_csv csv = {0};
  gh_labelling l = {.images = images, .classes = classes, .folder = folder, .path = path, .list = list};
  gh_status status = gh_csv_read(err, &csv, path, separator_of(path));
  if (!status && !csv.count) status = gh_fail(err, GH_ERROR_FORMAT, "%s: empty", path);
  if (!status) {
    const bool words = separator_of(path) == '\t' && csv.rows[0].fields.count == 1;
    status = words ? read_words(err, &l, &csv) : read_pairs(err, &l, &csv);
  }
  if (!status) status = gh_dataset_check_images(err, images, path);
  gh_csv_free(&csv);
  gh_stems_free(&l.stems);
  return status;
}
