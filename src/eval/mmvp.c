/* MMVP-VLM: a folder, as published or as people keep it, into pairs of images and statements. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "eval/dataset_internal.h"
#include "eval/score.h"
#include "io/csv.h"

#define QUESTIONS "Questions.csv"
#define PICTURES  "MLLM_VLM Images"
#define MMVP_HINT "expected the MMVP_VLM folder, with " QUESTIONS " and \"" PICTURES "/TYPE/ID.jpg\""

static bool to_id(const char *text, int64_t *out) {
  char *end = NULL;
  errno = 0;
  *out = strtoll(text, &end, 10);
  end += strspn(end, " \t");
  return !errno && end != text && !*end && *out >= 0;
}

static bool is_blank(const char *text) { return !text[strspn(text, " \t\r")]; }

/* The published images are .jpg, which is also the name to report; any other ending is taken where that one is not. */
static gh_status find_image(gh_error *err, gh_mmvp_data *d, const char *folder, const char *type, int64_t id) {
  char *place = gh_format(err, "%s/" PICTURES "/%s", folder, type), *stem = gh_format(err, "%lld", (long long)id);
  char *usual = place && stem ? gh_format(err, "%s/%s.jpg", place, stem) : NULL;
  gh_stems stems = {0};
  const char *other = NULL;
  gh_status status = usual ? GH_OK : GH_ERROR_MEMORY;
  if (!status && !gh_path_is_file(usual) && gh_path_is_folder(place)) {
    status = gh_stems_list(err, &stems, place);
    if (!status) other = gh_stems_find(&stems, stem);
  }
  if (!status)
    status = other ? gh_dataset_add_joined(err, &d->images, place, other) : gh_strings_add(err, &d->images, usual);
  gh_stems_free(&stems);
  free(usual);
  free(stem);
  free(place);
  return status;
}

static gh_status add_question(gh_error *err, gh_mmvp_data *d, const char *folder, const gh_csv_row *row,
                              const char *type, int64_t id) {
  const char *statement = row->fields.items[2];
  char *prompt = gh_format(err, "a photo of %s", statement);
  gh_status status = prompt ? find_image(err, d, folder, type, id) : GH_ERROR_MEMORY;
  if (!status) status = gh_strings_add(err, &d->statements, statement);
  if (!status) status = gh_strings_add(err, &d->types, type);
  if (!status) status = gh_strings_add(err, &d->prompts, prompt);
  free(prompt);
  return status;
}

/* *type: without blanks at its ends, which belong to no folder's name; the caller frees. */
static gh_status check_row(gh_error *err, const char *path, const gh_csv_row *row, int64_t *id, char **type) {
  size_t count = row->fields.count;
  while (count > 3 && is_blank(row->fields.items[count - 1])) count--; /* a table's empty columns */
  if (count != 3)
    return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: %zu fields; expected id, type, statement", path, row->line,
                   count);
  if (!to_id(row->fields.items[0], id))
    return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: \"%.100s\" is not an id", path, row->line,
                   row->fields.items[0]);
  if (!(*type = gh_trimmed(err, row->fields.items[1]))) return GH_ERROR_MEMORY;
  if (!gh_path_stays_inside(*type))
    return gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: \"%.100s\" is not a folder of images", path, row->line, *type);
  return GH_OK;
}

static gh_status read_pairs(gh_error *err, gh_mmvp_data *d, const char *folder, const char *path, const gh_csv *csv,
                            size_t head) {
  gh_status status = GH_OK;
  char *type = NULL, *folder_of_pair = NULL;
  for (size_t i = head; i < csv->count && !status; i++) {
    size_t at = i - head;
    status = check_row(err, path, &csv->rows[i], &d->ids[at], &type);
    if (!status && at % 2 && (d->ids[at] - d->ids[at - 1]) % 2 == 0)
      status =
          gh_fail(err, GH_ERROR_FORMAT, "%s, line %zu: the ids of a pair are %lld and %lld; exactly one must be odd",
                  path, csv->rows[i].line, (long long)d->ids[at - 1], (long long)d->ids[at]);
    if (at % 2 == 0) {
      free(folder_of_pair);
      folder_of_pair = type;
      type = NULL;
    }
    if (!status) status = add_question(err, d, folder, &csv->rows[i], folder_of_pair, d->ids[at]);
    free(type);
    type = NULL;
  }
  free(folder_of_pair);
  return status;
}

/* Rows of nothing but blanks, as spreadsheets leave them. */
static void drop_blank_rows(gh_csv *csv) {
  size_t kept = 0;
  for (size_t i = 0; i < csv->count; i++) {
    bool blank = true;
    for (size_t f = 0; f < csv->rows[i].fields.count; f++) blank = blank && is_blank(csv->rows[i].fields.items[f]);
    if (blank)
      gh_strings_free(&csv->rows[i].fields);
    else
      csv->rows[kept++] = csv->rows[i];
  }
  csv->count = kept;
}

static gh_status read_questions(gh_error *err, gh_mmvp_data *d, const char *folder, const char *path, gh_csv *csv) {
  int64_t id;
  drop_blank_rows(csv);
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
  return status ? status : gh_dataset_check_images(err, &d->images, path);
}

gh_status gh_mmvp_read(gh_error *err, gh_mmvp_data *out, const char *given) {
  *out = (gh_mmvp_data){0};
  gh_csv csv = {0};
  char *folder = NULL, *path = NULL, *pictures = NULL;
  gh_status status = gh_dataset_folder(err, &folder, given);
  if (!status && (!(path = gh_path_join(err, folder, QUESTIONS)) || !(pictures = gh_path_join(err, folder, PICTURES))))
    status = GH_ERROR_MEMORY;
  if (!status && !gh_path_is_file(path)) status = gh_dataset_refuse_parquet(err, folder);
  if (!status && !gh_path_is_file(path))
    status = gh_fail(err, GH_ERROR_FILE, "%s: no " QUESTIONS "; " MMVP_HINT, folder);
  if (!status && !gh_path_is_folder(pictures))
    status = gh_fail(err, GH_ERROR_FILE, "%s: no folder \"" PICTURES "\"; " MMVP_HINT, folder);
  if (!status) status = gh_csv_read(err, &csv, path, ',');
  if (!status) status = read_questions(err, out, folder, path, &csv);
  gh_csv_free(&csv);
  free(path);
  free(pictures);
  free(folder);
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
