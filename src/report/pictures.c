#include "report/pictures.h"
#include "backend/registry.h"
#include "base/log.h"
#include "eval/score.h"
#include "io/resize.h"
#include "method/redraw.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THUMB      112 /* pixels per side of a neighbour */
#define NEIGHBOURS 4
#define QUERIES    5

/* The results that the two sections compute. */
typedef struct gh_gallery {
  const gh_report_options *options;
  gh_device *device;
  gh_redraw run;
  gh_source *source;
  bool trained;               /* the snapshot is from stage 2: there is a before and an after */
  gh_reconstruction pool[2];  /* before (if trained), after: the same images */
  gh_reconstruction drawn[2]; /* some of them, drawn */
} gh_gallery;

/* Anything that the user names must exist; for things that only the run names, the page reports what is missing. */
static gh_status open_named(gh_error *err, gh_gallery *g) {
  const gh_report_options *o = g->options;
  gh_snapshot snapshot = {0};
  gh_status status = o->snapshot ? gh_run_snapshot(err, o->run, o->snapshot, &snapshot) : GH_OK;
  if (!status && o->images && (status = gh_source_open(err, &g->source, o->images))) gh_fail_in(err, "--images");
  if (!status && o->device) status = gh_device_open(err, o->device, &g->device);
  gh_snapshot_free(&snapshot);
  return status;
}

static gh_status open_gallery(gh_error *err, gh_gallery *g) {
  const gh_report_options *o = g->options;
  const gh_run_names names = {.model = o->model, .autoencoder = o->autoencoder};
  gh_status status = gh_redraw_open_named(err, &g->run, o->run, o->snapshot, &names);
  if (!status && !o->images && !g->run.config.data.images.count)
    status = gh_fail(err, GH_ERROR_FILE, "%s: no images to draw", o->run);
  if (!status && !g->source)
    status = gh_source_open_keys(err, &g->source, g->run.config.data.images.items[0], &g->run.config.data.keys);
  if (!status && !g->device) status = gh_device_open(err, g->run.config.device, &g->device);
  g->run.device = g->device;
  g->trained = g->run.snapshot.adapter || g->run.snapshot.encoder;
  return status;
}

static void close_gallery(gh_gallery *g) {
  for (int k = 0; k < 2; k++) {
    gh_reconstruction_free(&g->pool[k]);
    gh_reconstruction_free(&g->drawn[k]);
  }
  gh_source_free(g->source);
  gh_device_close(g->device);
  gh_redraw_close(&g->run);
}

/* `count` of the pool's images, evenly spread over it. */
static gh_status choose(gh_error *err, gh_reconstruction *out, const gh_reconstruction *pool, int64_t count) {
  int64_t plane = 3 * pool->side * pool->side;
  *out = (gh_reconstruction){.places = count, .count = count, .side = pool->side, .width = pool->width};
  out->originals = gh_alloc(err, (size_t)(count * plane), sizeof(float));
  out->images = gh_alloc(err, (size_t)(count * plane), sizeof(float));
  out->conditions = gh_alloc(err, (size_t)(count * pool->width), sizeof(float));
  if (!out->originals || !out->images || !out->conditions) return GH_ERROR_MEMORY;
  for (int64_t i = 0; i < count; i++) {
    int64_t from = i * pool->count / count;
    memcpy(out->originals + i * plane, pool->originals + from * plane, (size_t)plane * sizeof(float));
    memcpy(out->conditions + i * pool->width, pool->conditions + from * pool->width,
           (size_t)pool->width * sizeof(float));
    if (gh_strings_add(err, &out->names, pool->names.items[from])) return err->status;
  }
  return GH_OK;
}

static gh_status compute(gh_error *err, gh_gallery *g) {
  const gh_report_options *o = g->options;
  gh_status status = GH_OK;
  for (int k = g->trained ? 0 : 1; k < 2 && !status; k++) {
    const char *encoder = k ? NULL : g->run.config.clip;
    int64_t limit = g->trained ? GH_MAX(o->pool, o->pictures) : o->pictures;
    status = gh_redraw_gather(err, &g->run, &g->pool[k], g->source, encoder, limit, o->batch);
    if (!status) status = choose(err, &g->drawn[k], &g->pool[k], GH_MIN(o->pictures, g->pool[k].count));
    if (!status) status = gh_redraw_sample(err, &g->run, &g->drawn[k], &(gh_drawing_how){.seed = o->seed}, o->batch);
  }
  return status;
}

/* ---- drawing it on the page ---- */

static void add_picture(gh_page *p, const float *planes, int64_t side, int64_t thumb, const char *alt) {
  gh_image image = {0}, small = {0};
  if (p->err.status || gh_image_from_floats(&p->err, &image, planes, (int)side, (int)side)) return;
  if (thumb && thumb < side) {
    if (!gh_image_resize(&p->err, &small, &image, thumb, thumb, GH_FILTER_BICUBIC, NULL)) gh_page_image(p, &small, alt);
  } else {
    gh_page_image(p, &image, alt);
  }
  gh_image_free(&image);
  gh_image_free(&small);
}

static void draw_grid(const gh_report_view *v, const gh_gallery *g) {
  const gh_reconstruction *after = &g->drawn[1];
  int64_t plane = 3 * after->side * after->side;
  gh_report_open(v, "Reconstructions",
                 g->trained
                     ? "Left: the image. Middle and right: drawn by the run's denoiser from the one token of the "
                       "encoder before and after training, with the same noise. The number is the PSNR."
                     : "Left: the image. Right: drawn by the run's denoiser from the encoder's one token. The number "
                       "is the PSNR.");
  gh_page_add(v->page, "<div class=\"grid\">\n");
  for (int64_t i = 0; i < after->count; i++) {
    gh_page_add(v->page, "<figure class=\"row\"><div>");
    add_picture(v->page, after->originals + i * plane, after->side, 0, after->names.items[i]);
    gh_page_add(v->page, "<small>image</small></div>");
    for (int k = g->trained ? 0 : 1; k < 2; k++) {
      gh_page_add(v->page, "<div>");
      add_picture(v->page, g->drawn[k].images + i * plane, after->side, 0, k ? "drawn after" : "drawn before");
      gh_page_add(v->page, "<small>%s, %.1f&nbsp;dB</small></div>",
                  !g->trained ? "from its token"
                  : k         ? "token after"
                              : "token before",
                  gh_reconstruction_psnr(&g->drawn[k], i));
    }
    gh_page_add(v->page, "<figcaption>");
    gh_page_text(v->page, after->names.items[i]);
    gh_page_add(v->page, "</figcaption></figure>\n");
  }
  gh_page_add(v->page, "</div>\n");
  gh_report_close(v);
}

/* Every image's neighbours under both encoders. */
typedef struct gh_near {
  int64_t n, k;
  int64_t *rows[2];        /* (n, k) */
  double *similarities[2]; /* (n, k) */
} gh_near;

static void free_near(gh_near *near) {
  for (int s = 0; s < 2; s++) {
    free(near->rows[s]);
    free(near->similarities[s]);
  }
}

static gh_status find_near(gh_error *err, gh_near *near, const gh_gallery *g) {
  *near = (gh_near){.n = g->pool[1].count, .k = GH_MIN(NEIGHBOURS, g->pool[1].count - 1)};
  size_t cells = (size_t)(near->n * near->k);
  gh_status status = GH_OK;
  for (int s = 0; s < 2 && !status; s++) {
    const gh_reconstruction *r = &g->pool[s];
    near->rows[s] = gh_alloc(err, cells, sizeof *near->rows[s]);
    near->similarities[s] = gh_alloc(err, cells, sizeof *near->similarities[s]);
    status = near->rows[s] && near->similarities[s]
                 ? gh_neighbours(err, near->rows[s], near->similarities[s], r->conditions, near->n, r->width, near->k)
                 : GH_ERROR_MEMORY;
  }
  return status;
}

static bool is_among(const int64_t *rows, int64_t k, int64_t row) {
  for (int64_t i = 0; i < k; i++)
    if (rows[i] == row) return true;
  return false;
}

/* How many of an image's neighbours before training are no longer among those after. */
static int count_changes(const gh_near *near, int64_t query) {
  int changes = 0;
  for (int64_t i = 0; i < near->k; i++)
    changes += !is_among(near->rows[1] + query * near->k, near->k, near->rows[0][query * near->k + i]);
  return changes;
}

static void draw_query(const gh_report_view *v, const gh_gallery *g, const gh_near *near, int64_t query) {
  const gh_reconstruction *r = &g->pool[1];
  int64_t plane = 3 * r->side * r->side, at = query * near->k;
  gh_page_add(v->page, "<figure class=\"near\"><div class=\"query\">");
  add_picture(v->page, r->originals + query * plane, r->side, THUMB, r->names.items[query]);
  gh_page_add(v->page, "<small>asked</small></div><div>");
  for (int s = 0; s < 2; s++) {
    gh_page_add(v->page, "<div class=\"strip\"><small>%s</small>", s ? "after" : "before");
    for (int64_t i = at; i < at + near->k; i++) {
      int64_t row = near->rows[s][i];
      gh_page_add(v->page, "<div%s>", is_among(near->rows[!s] + at, near->k, row) ? "" : " class=\"fresh\"");
      add_picture(v->page, r->originals + row * plane, r->side, THUMB, r->names.items[row]);
      gh_page_add(v->page, "<small>%.3f</small></div>", near->similarities[s][i]);
    }
    gh_page_add(v->page, "</div>");
  }
  gh_page_add(v->page, "</div></figure>\n");
}

/* The images whose neighbours changed most; ties in the pool's order. */
static int choose_queries(const gh_near *near, int64_t queries[QUERIES]) {
  int count = 0;
  for (int changes = (int)near->k; changes >= 0; changes--)
    for (int64_t q = 0; q < near->n && count < QUERIES; q++)
      if (count_changes(near, q) == changes) queries[count++] = q;
  return count;
}

static gh_status draw_neighbours(gh_error *err, const gh_report_view *v, const gh_gallery *g) {
  int64_t queries[QUERIES];
  gh_near near;
  char lead[240];
  if (!g->trained || g->pool[1].count < 3 || g->pool[0].count != g->pool[1].count) return GH_OK;
  gh_status status = find_near(err, &near, g);
  if (!status) {
    snprintf(lead, sizeof lead,
             "Among %lld images, by the cosine of the embeddings; shown are those whose neighbours changed most. A "
             "frame marks a neighbour that only this encoder finds.",
             (long long)near.n);
    gh_report_open(v, "Nearest neighbours", lead);
    int count = choose_queries(&near, queries);
    for (int q = 0; q < count; q++) draw_query(v, g, &near, queries[q]);
    gh_report_close(v);
  }
  free_near(&near);
  return status;
}

static void explain(const gh_report_view *v, const char *reason) {
  gh_report_open(v, "Pictures", NULL);
  gh_page_add(v->page, "<p class=\"missing\">Reconstructions and neighbours are left out: ");
  gh_page_text(v->page, reason);
  gh_page_add(v->page, "</p>\n");
  gh_report_close(v);
}

gh_status gh_report_pictures(gh_error *err, const gh_report_view *v, const gh_report_options *options) {
  gh_gallery g = {.options = options};
  gh_status status = open_named(err, &g);
  if (status) {
    close_gallery(&g);
    return status;
  }
  status = open_gallery(err, &g);
  if (!status) status = compute(err, &g);
  if (!status) {
    draw_grid(v, &g);
    status = draw_neighbours(err, v, &g);
  } else if (status != GH_ERROR_MEMORY && status != GH_ERROR_DEVICE) {
    gh_warn("no reconstructions and neighbours: %s", err->text);
    explain(v, err->text);
    status = GH_OK;
  }
  close_gallery(&g);
  return status;
}
