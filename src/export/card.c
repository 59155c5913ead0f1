#include "export/card.h"
#include "base/build.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "models/family.h"

#include <ctype.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CARD  "README.md"
#define MARK  "<!-- Written by genhance export, which replaces this file as long as this line is in it. -->"
#define LIMIT ((size_t)1 << 22)

/* The text under construction; the first failure is kept. */
typedef struct gh_card {
  gh_error err;
  char *text;
  const gh_json *config; /* of the run */
  const struct gh_card_base *base;
} gh_card;

static void add(gh_card *c, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(gh_card *c, const char *format, ...) {
  char line[1024];
  va_list args;
  va_start(args, format);
  vsnprintf(line, sizeof line, format, args);
  va_end(args);
  if (c->err.status) return;
  char *longer = gh_format(&c->err, "%s%s", c->text ? c->text : "", line);
  if (!longer) return;
  free(c->text);
  c->text = longer;
}

typedef struct gh_shown {
  char text[160];
} gh_shown;

/* Names from files, without what Markdown, HTML or YAML would read. */
static gh_shown shown(const char *text) {
  gh_shown out;
  snprintf(out.text, sizeof out.text, "%s", text);
  gh_text_show(out.text);
  for (char *at = out.text; *at; at++)
    if (strchr("<>|`\"\\[]*\n\r", *at)) *at = '_';
  return out;
}

static const char *text_at(const gh_json *node, const char *path, const char *fallback) {
  const char *text = fallback;
  gh_error ignored;
  gh_json_opt_string(&ignored, node, path, &text);
  return text;
}

static double number_at(const gh_json *node, const char *path) {
  double value = NAN;
  gh_error ignored;
  gh_json_opt_double(&ignored, node, path, &value);
  return value;
}

/* ---- what the base model says of itself ---- */

typedef struct gh_card_base {
  gh_shown name;    /* that transformers wrote into config.json, else the folder's */
  char licence[48]; /* of its README.md; "": it says none */
} gh_card_base;

/* "license: mit" between the two lines of dashes that begin a model card. */
static void find_licence(const char *text, char *out, size_t size) {
  const char *end = gh_starts_with(text, "---\n") ? strstr(text + 4, "\n---") : NULL, *at = strstr(text, "\nlicense:");
  size_t n = 0;
  if (!end || !at || at > end) return;
  at += strlen("\nlicense:");
  at += strspn(at, " \t\"'");
  while (at[n] && n + 1 < size && (isalnum((unsigned char)at[n]) || strchr("-._+", at[n]))) n++;
  snprintf(out, size, "%.*s", (int)n, at);
}

/* The folder may be gone: an adapter is exported without it. */
static gh_status read_base(gh_error *err, gh_card_base *base, const char *clip) {
  char *card = gh_path_join(err, clip, CARD), *path = gh_path_join(err, clip, "config.json"), *text = NULL;
  gh_json *config = NULL;
  size_t size = 0;
  gh_status status = card && path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(card)) status = gh_file_read(err, card, LIMIT, &text, &size);
  if (!status && gh_path_exists(path)) status = gh_json_read_file(err, &config, path, GH_JSON_MAX_BYTES);
  if (text) find_licence(text, base->licence, sizeof base->licence);
  base->name = shown(text_at(config, "_name_or_path", gh_path_name(clip)));
  gh_json_free(config);
  free(text);
  free(card);
  free(path);
  return status;
}

/* ---- the parts ---- */

static void put_head(gh_card *c, gh_export_format format) {
  const char *licence = c->base->licence;
  add(c, "---\nlicense: %s\nbase_model: \"%s\"\n", *licence ? licence : "unknown", c->base->name.text);
  add(c, "base_model_relation: %s\n", format == GH_EXPORT_PEFT ? "adapter" : "finetune");
  add(c, "library_name: %s\n", format == GH_EXPORT_PEFT ? "peft" : "transformers");
  add(c, "pipeline_tag: %s\n", format == GH_EXPORT_HF ? "zero-shot-image-classification" : "image-feature-extraction");
  add(c, "tags:\n- clip\n- genhancer\n- genhance\n---\n" MARK "\n\n");
}

static void put_stage(gh_card *c, int stage) {
  char path[48];
  const char *names[] = {"steps", "batch", "optimizer.lr"};
  double values[GH_COUNT(names)];
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    snprintf(path, sizeof path, "stage%d.%s", stage, names[i]);
    values[i] = number_at(c->config, path);
  }
  if (!(values[0] > 0)) return;
  add(c, "- Stage %d: %.0f updates of %.0f images, learning rate %g. ", stage, values[0], values[1], values[2]);
  if (stage == 1) {
    add(c, "Trains the denoiser; the encoder is frozen.\n");
  } else if (gh_json_type_of(gh_json_at(c->config, "stage2.lora")) == GH_JSON_OBJECT) {
    add(c, "Trains the encoder through LoRA of rank %.0f, alpha %g.\n", number_at(c->config, "stage2.lora.rank"),
        number_at(c->config, "stage2.lora.alpha"));
  } else {
    add(c, "Trains the encoder directly.\n");
  }
}

static void put_method(gh_card *c, const gh_snapshot *s) {
  const gh_json *kind = gh_json_at(c->config, "denoiser.kind");
  const char *name = "";
  if (kind) gh_json_to_string(NULL, kind, "denoiser.kind", &name);
  add(c, "The vision encoder of `%s`, post-trained with the two stages of\n", c->base->name.text);
  add(c,
      "[GenHancer](https://arxiv.org/abs/2503.19480) by genhance %s: a denoiser learns to reconstruct images from "
      "the\n",
      shown(text_at(c->config, GH_MADE_BY ".version", GH_VERSION)).text);
  add(c,
      "encoder's one global token; then the encoder learns to put into that token what the reconstruction lacks.\n\n");
  add(c, "## Method\n\n- Denoiser: %s\n", shown(name).text);
  for (int stage = 1; stage <= 2; stage++) put_stage(c, stage);
  add(c, "- Precision: %s, seed %.0f\n", shown(text_at(c->config, "precision", "float32")).text,
      number_at(c->config, "seed"));
  add(c, "- Snapshot: after update %lld of stage %d\n\n", (long long)s->update, s->stage);
}

/* The name of a source: a folder's own; of shards, also that of their folder: "cc3m/{00000..00331}.tar". */
static const char *source_name(const char *path) {
  const char *name = gh_path_name(path), *folder = name;
  if (!gh_ends_with(path, ".tar") || name == path) return name;
  for (folder--; folder > path && folder[-1] != '/';) folder--;
  return folder[0] == '.' || folder[0] == '/' ? name : folder;
}

static void put_data(gh_card *c) {
  add(c, "## Data\n\nImages without labels or captions, from:\n\n");
  for (const gh_json *item = gh_json_first(gh_json_at(c->config, "data.images")); item; item = gh_json_next(item)) {
    const char *path = NULL;
    gh_json_to_string(NULL, item, "data.images", &path);
    if (path) add(c, "- `%s`\n", shown(source_name(path)).text);
  }
  add(c,
      "\nTo fill in before publishing: where these images come from, how many they are, and under which licence.\n\n");
}

/* ---- scores ---- */

typedef struct gh_card_scores {
  int64_t update;       /* of the snapshot */
  gh_json *start, *end; /* lines of evaluations.jsonl: before stage 2, and of the snapshot */
} gh_card_scores;

static gh_status read_scores(gh_error *err, gh_card_scores *s, const char *run) {
  char *path = gh_path_join(err, run, "evaluations.jsonl"), *text = NULL, *rest = NULL;
  size_t size = 0;
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) status = gh_file_read(err, path, (size_t)1 << 28, &text, &size);
  for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line && !status; line = strtok_r(NULL, "\n", &rest)) {
    gh_json *row = NULL;
    int64_t update = -1;
    gh_error ignored; /* the last line of a run that goes on may be half written */
    if (gh_json_parse(&ignored, &row, path, line, strlen(line), LIMIT)) continue;
    gh_json_opt_int(&ignored, row, "update", &update);
    gh_json **place = update == 0 ? &s->start : update == s->update ? &s->end : NULL;
    if (place) {
      gh_json_free(*place);
      *place = row;
    } else {
      gh_json_free(row);
    }
  }
  free(text);
  free(path);
  return status;
}

/* "31.9 (95 %: 24.6 to 40.1)" */
static gh_shown score_text(const gh_json *row, const char *name) {
  gh_shown out = {"-"};
  const gh_json *interval = gh_json_member(gh_json_member(row, "intervals"), name);
  const gh_json *score = gh_json_member(gh_json_member(row, "scores"), name);
  const double low = number_at(interval, "low"), high = number_at(interval, "high");
  double value = NAN;
  gh_error ignored;
  if (score) gh_json_to_double(&ignored, score, name, &value);
  if (isnan(value)) return out;
  if (isnan(low) || isnan(high))
    snprintf(out.text, sizeof out.text, "%.1f", value);
  else
    snprintf(out.text, sizeof out.text, "%.1f (95 %%: %.1f to %.1f)", value, low, high);
  return out;
}

static void put_scores(gh_card *c, const char *run, const gh_snapshot *snapshot) {
  gh_card_scores s = {.update = snapshot->update};
  if (!c->err.status) read_scores(&c->err, &s, run);
  const gh_json *scores = gh_json_member(s.end, "scores");
  add(c, "## Scores\n\n");
  if (!gh_json_count(scores)) {
    add(c, "This snapshot was not evaluated during training.\n\n");
  } else {
    add(c, "Per cent; in brackets the 95 %% interval over the test data.\n\n| score | base model | this model |\n"
           "|---|---|---|\n");
    for (const gh_json *item = gh_json_first(scores); item; item = gh_json_next(item))
      add(c, "| %s | %s | %s |\n", shown(gh_json_key(item)).text, score_text(s.start, gh_json_key(item)).text,
          score_text(s.end, gh_json_key(item)).text);
    add(c, "\n");
  }
  gh_json_free(s.start);
  gh_json_free(s.end);
}

static void put_use(gh_card *c, const char *clip, gh_export_format format) {
  gh_vision_config config;
  const gh_family *family = NULL;
  if (format != GH_EXPORT_PEFT && !c->err.status && !gh_vision_config_read(&c->err, clip, &config))
    family = config.family;
  add(c, "## Use\n\n");
  if (format == GH_EXPORT_PEFT)
    add(c, "```python\nfrom peft import PeftModel\nmodel = PeftModel.from_pretrained(base_model, \"PATH\")\n```\n\n");
  else if (!family || !family->name)
    add(c, "```python\nimport open_clip\nmodel, _, preprocess = "
           "open_clip.create_model_and_transforms(\"local-dir:PATH\")\n```\n\n");
  else if (format == GH_EXPORT_VISION)
    add(c,
        "```python\nfrom transformers import %s\nmodel = %s.from_pretrained(\"PATH\")\n```\n\nIn LLaVA: "
        "`--vision_tower PATH` (or `mm_vision_tower` in its `config.json`).\n\n",
        family->vision_class, family->vision_class);
  else
    add(c, "```python\nfrom transformers import %s\nmodel = %s.from_pretrained(\"PATH\")\n```\n\n", family->model_class,
        family->model_class);
}

/* Without the host's name and paths, which are nobody's concern who reads the card. */
static void put_origin(gh_card *c) {
  static const struct {
    const char *key, *title;
  } parts[] = {{"version", "genhance"},
               {"commit", "commit"},
               {"device_name", "device"},
               {"driver", "driver"},
               {"configuration", "hash of the configuration"}};
  const gh_json *made = gh_json_member(c->config, GH_MADE_BY);
  add(c, "## Made by\n\n");
  for (size_t i = 0; i < GH_COUNT(parts); i++) {
    const char *text = text_at(made, parts[i].key, NULL);
    if (text) add(c, "- %s: %s\n", parts[i].title, shown(text).text);
  }
  add(c, "\n## Licence\n\n");
  if (*c->base->licence)
    add(c, "That of the base model: %s. Check that it allows publishing a changed model.\n", c->base->licence);
  else
    add(c, "The base model's folder does not say its licence: fill in `license` in the first lines of this file.\n");
}

/* ---- the whole ---- */

/* Whether OUT/README.md is absent or an earlier export's. */
static gh_status may_write(gh_error *err, const char *path, bool *out) {
  char *text = NULL;
  size_t size = 0;
  *out = true;
  if (!gh_path_exists(path)) return GH_OK;
  gh_status status = gh_file_read(err, path, LIMIT, &text, &size);
  if (!status) *out = strstr(text, MARK) != NULL;
  free(text);
  return status;
}

gh_status gh_model_card_write(gh_error *err, const char *out, const char *run, const char *clip,
                              const gh_snapshot *snapshot, gh_export_format format) {
  gh_card_base base = {.licence = ""};
  gh_card c = {.base = &base};
  gh_json *config = NULL;
  bool ours = false;
  char *path = gh_path_join(err, out, CARD);
  gh_status status = path ? may_write(err, path, &ours) : GH_ERROR_MEMORY;
  if (!status && !ours) gh_info("%s is not an export's and stays as it is", path);
  if (!status && ours) status = gh_run_config_json(err, run, &config);
  if (!status && ours) status = read_base(err, &base, clip);
  if (!status && ours) {
    c.config = config;
    put_head(&c, format);
    add(&c, "# %s\n\n", shown(gh_path_name(out)).text);
    put_method(&c, snapshot);
    put_data(&c);
    put_scores(&c, run, snapshot);
    put_use(&c, clip, format);
    put_origin(&c);
    if ((status = c.err.status)) *err = c.err;
    if (!status) status = gh_file_write(err, path, c.text, strlen(c.text));
  }
  gh_json_free(config);
  free(c.text);
  free(path);
  return status;
}
