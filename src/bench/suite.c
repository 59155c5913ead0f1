#include "bench/suite.h"
#include "backend/registry.h"
#include "base/build.h"
#include "base/file.h"
#include "base/log.h"
#include "bench/suite_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- devices ---- */

static gh_status add_device(gh_error *err, gh_suite *s, const char *id, size_t length) {
  if (s->device_count == GH_SUITE_DEVICES)
    return gh_fail(err, GH_ERROR_ARGUMENT, "bench suite: more than %d devices", GH_SUITE_DEVICES);
  gh_suite_device *d = &s->devices[s->device_count];
  *d = (gh_suite_device){.device = NULL};
  snprintf(d->id, sizeof d->id, "%.*s", (int)GH_MIN(length, sizeof d->id), id);
  gh_device *opened = NULL;
  gh_status status = gh_suite_open(err, s, s->device_count, &opened);
  if (status) return status;
  snprintf(d->id, sizeof d->id, "%s", opened->info.id); /* of "auto", a UUID or an address */
  for (int i = 0; i < s->device_count; i++)
    if (!strcmp(s->devices[i].id, d->id)) status = GH_ERROR_ARGUMENT;
  s->device_count++;
  return status ? gh_fail(err, status, "bench suite: %s is listed twice", d->id) : GH_OK;
}

/* Each device; a CPU in each shape of kernels that it has. */
static gh_status add_all(gh_error *err, gh_suite *s) {
  static gh_device_info infos[GH_SUITE_DEVICES];
  char notes[1024], joined[1024], id[48];
  const int count = GH_MIN(gh_device_list(infos, GH_SUITE_DEVICES, notes, sizeof notes), GH_SUITE_DEVICES);
  gh_join_notes(notes, joined, sizeof joined);
  if (!count) return gh_fail(err, GH_ERROR_DEVICE, "no device: %s", joined);
  gh_status status = GH_OK;
  for (int i = 0; i < count && !status; i++) {
    static const char *const shapes[] = {"/cpu", "/gpu"};
    if (!infos[i].is_cpu) status = add_device(err, s, infos[i].id, strlen(infos[i].id));
    for (size_t k = 0; k < GH_COUNT(shapes) && infos[i].is_cpu && !status; k++) {
      snprintf(id, sizeof id, "%s%s", infos[i].id, shapes[k]);
      status = add_device(err, s, id, strlen(id));
      if (status != GH_ERROR_UNSUPPORTED) continue;
      gh_info("%s is left out: %s", id, err->text);
      status = GH_OK;
    }
  }
  return status;
}

static gh_status add_devices(gh_error *err, gh_suite *s, const char *list) {
  if (!strcmp(list, "all")) return add_all(err, s);
  gh_status status = GH_OK;
  while (*list && !status) {
    const size_t n = strcspn(list, ",");
    status = add_device(err, s, list, n);
    list += n + (list[n] == ',');
  }
  return status;
}

/* ---- going on ---- */

/* What a later call measures again. */
static bool is_open(const gh_result *row, const void *user) {
  (void)user;
  return gh_result_is(row, GH_RESULT_STATUS, "skipped") || gh_result_is(row, GH_RESULT_STATUS, "error");
}

/* Results of one folder must be comparable: the same program, with the same choice of providers, and, for a device's
 * name, the same device. */
static gh_status check_earlier(gh_error *err, gh_suite *s, const gh_result *row, const gh_result *now) {
  const char *then = gh_result_text(row, GH_RESULT_CONFIGURATION), *here = gh_result_text(now, GH_RESULT_CONFIGURATION);
  if (strcmp(then, here))
    return gh_fail(err, GH_ERROR_ARGUMENT,
                   "%s has results with \"%s\" in the environment, and this is \"%s\": choose another --out",
                   s->options->out, then, here);
  if (strcmp(gh_result_text(row, GH_RESULT_COMMIT), gh_build_commit))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s has results of commit %s, and this is %s: choose another --out",
                   s->options->out, gh_result_text(row, GH_RESULT_COMMIT), gh_build_commit);
  for (int i = 0; i < s->device_count; i++) {
    const gh_device_info *info = &s->devices[i].device->info;
    if (!gh_result_is(row, GH_RESULT_DEVICE, info->id)) continue;
    if (!gh_result_is(row, GH_RESULT_DRIVER, info->driver) || !gh_result_is(row, GH_RESULT_DEVICE_NAME, info->name) ||
        !gh_result_is(row, GH_RESULT_PLATFORM, info->platform))
      return gh_fail(err, GH_ERROR_ARGUMENT,
                     "%s has results of %s as %s (%s %s), which is now %s (%s %s): choose another --out",
                     s->options->out, info->id, gh_result_text(row, GH_RESULT_DEVICE_NAME),
                     gh_result_text(row, GH_RESULT_PLATFORM), gh_result_text(row, GH_RESULT_DRIVER), info->name,
                     info->platform, info->driver);
  }
  return GH_OK;
}

static gh_status read_earlier(gh_error *err, gh_suite *s) {
  char *path = gh_path_join(err, s->options->out, "rows.jsonl");
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status && gh_path_exists(path)) {
    status = gh_results_read(err, &s->results, path);
    gh_results_drop(&s->results, is_open, NULL);
    gh_result now;
    gh_result_init(&now);
    if (!status) status = gh_result_place(err, &now, NULL, GH_CLOCK_WALL);
    for (size_t i = 0; i < s->results.count && !status; i++) status = check_earlier(err, s, &s->results.items[i], &now);
    gh_result_free(&now);
    if (!status) status = gh_results_write(err, &s->results, s->options->out); /* without those rows, and whole lines */
  }
  free(path);
  return status;
}

/* Peaks are the device's, whatever the shape of the kernels. */
static bool is_on(const gh_result *row, const gh_task *task, const char *device) {
  const char *of_row = gh_result_text(row, GH_RESULT_DEVICE);
  const size_t n = strcspn(device, "/");
  if (strcmp(task->title.kind, "peak")) return !strcmp(of_row, device);
  return strcspn(of_row, "/") == n && !strncmp(of_row, device, n);
}

static bool matches(const gh_result *row, const gh_task *task, const char *device) {
  const gh_result_title *t = &task->title;
  const struct {
    gh_result_field field;
    const char *text;
  } texts[] = {
      {GH_RESULT_KIND, t->kind}, {GH_RESULT_OP, t->op}, {GH_RESULT_SHAPE, t->shape}, {GH_RESULT_DTYPE, t->dtype}};
  for (size_t i = 0; i < GH_COUNT(texts); i++)
    if (texts[i].text && !gh_result_is(row, texts[i].field, texts[i].text)) return false;
  if (!is_on(row, task, device)) return false;
  return !t->batch || gh_result_number(row, GH_RESULT_BATCH) == (double)t->batch;
}

static const char *device_of(const gh_suite *s, const gh_task *task) {
  return task->device == GH_SUITE_HOST ? "host" : s->devices[task->device].id;
}

static void mark_done(gh_suite *s, gh_task *task) {
  for (size_t i = 0; i < s->results.count && !task->done; i++)
    task->done = matches(&s->results.items[i], task, device_of(s, task));
}

/* ---- estimates ---- */

/* Arithmetic per second, as far as it is known. */
static double rate_of(const gh_suite *s, const gh_task *task) {
  double best = 0;
  for (size_t i = 0; i < s->results.count; i++)
    if (gh_result_is(&s->results.items[i], GH_RESULT_KIND, "peak") &&
        gh_result_is(&s->results.items[i], GH_RESULT_DEVICE, device_of(s, task)))
      best = fmax(best, gh_result_number(&s->results.items[i], GH_RESULT_GFLOPS));
  return best > 0 ? 1e9 * best : 1e11;
}

static double *seen_of(gh_suite *s, const gh_task *task) {
  return &s->devices[task->device].seen[task->kind - gh_suite_kind(0)];
}

static double estimate(gh_suite *s, gh_task *task) {
  if (task->kind->trains && task->device != GH_SUITE_HOST && s->devices[task->device].device->info.unfit) return 0;
  if (task->flops == 0 && task->step.arch && task->device != GH_SUITE_HOST) {
    gh_budget budget;
    gh_error ignored;
    task->flops = 1;
    if (!gh_bench_plan(&ignored, s->devices[task->device].device, &task->step, &budget)) task->flops = budget.flops;
  }
  const double rate = 0.3 * rate_of(s, task), seen = task->device == GH_SUITE_HOST ? 0 : *seen_of(s, task);
  const double seconds = task->kind->fixed + task->flops / rate * (s->options->repeats + task->kind->repeats);
  return seen > 0 ? seconds * seen : seconds;
}

/* How the estimates of a kind have turned out on a device: a moving mean. */
static void learn(gh_suite *s, const gh_task *task, double estimated, double taken) {
  if (task->device == GH_SUITE_HOST || !(estimated > 0)) return;
  double *seen = seen_of(s, task);
  const double now = fmin(10, fmax(0.05, taken / estimated));
  *seen = *seen > 0 ? *seen * (0.7 + 0.3 * now) : now;
  *seen = fmin(20, fmax(0.02, *seen));
}

/* ---- running ---- */

static gh_status append(gh_error *err, gh_suite *s, gh_results *added) {
  char *path = gh_path_join(err, s->options->out, "rows.jsonl");
  gh_status status = path ? gh_results_append(err, path, added->items, added->count) : GH_ERROR_MEMORY;
  free(path);
  return status ? status : gh_results_move(err, &s->results, added);
}

/* A row in place of a result. */
static gh_status add_without(gh_error *err, gh_suite *s, const gh_task *task, const char *status, const char *reason,
                             gh_results *to) {
  gh_result place;
  gh_status placed = gh_task_place(err, s, task, &place);
  gh_result *row = placed ? NULL : gh_result_begin(err, to, &place, &task->title);
  gh_status done = placed ? placed : row ? gh_result_without(err, row, task->kind->unit, status, reason) : err->status;
  if (!placed) gh_result_free(&place);
  return done;
}

/* What does not fit, is not implemented, or cannot be trained (an encoder whose pictures the autoencoder does not take)
 * is unsupported there; other failures are errors, and the suite goes on. */
static const char *status_name(gh_status status) {
  return status == GH_ERROR_UNSUPPORTED || status == GH_ERROR_MEMORY || status == GH_ERROR_CONFIG ? "unsupported"
                                                                                                  : "error";
}

static gh_status run_task(gh_error *err, gh_suite *s, gh_task *task) {
  gh_results added = {0};
  gh_error failure = {0};
  const char *unfit = task->device == GH_SUITE_HOST ? NULL : s->devices[task->device].device->info.unfit;
  gh_status status = GH_OK;
  if (task->kind->trains && unfit)
    status = add_without(err, s, task, "unsupported", unfit, &added);
  else
    failure.status = task->kind->run(&failure, s, task, &added);
  const bool ended = failure.status == GH_ERROR_STOPPED; /* by a signal, or because the time is over */
  s->stopped |= gh_stop_requested();
  if (failure.status && !ended) {
    gh_results_free(&added);
    gh_warn("%s, %s on %s: %s", task->title.op, task->shape, device_of(s, task), failure.text);
    status = add_without(err, s, task, status_name(failure.status), failure.text, &added);
  }
  if (!status && !ended) status = append(err, s, &added);
  gh_results_free(&added);
  task->done = !ended;
  return status;
}

static double left(const gh_suite *s) {
  return s->options->minutes > 0 ? 60 * s->options->minutes - (gh_now() - s->began) : INFINITY;
}

static double estimate_rest(gh_suite *s) {
  double total = 0;
  for (size_t i = 0; i < s->count; i++)
    if (!s->tasks[i].done) total += estimate(s, &s->tasks[i]);
  return total;
}

static void tell_estimate(gh_suite *s, size_t done) {
  const double rest = estimate_rest(s);
  gh_info("%zu of %zu tasks on %d device%s are done; the rest takes about %.0f minutes%s", done, s->count,
          s->device_count, s->device_count == 1 ? "" : "s", ceil(rest / 60),
          rest > left(s) ? ", more than --minutes leaves: the most telling come first" : "");
}

static gh_status run_tasks(gh_error *err, gh_suite *s) {
  gh_progress progress;
  size_t done = 0;
  bool told = false;
  gh_status status = GH_OK;
  for (size_t i = 0; i < s->count; i++) {
    mark_done(s, &s->tasks[i]);
    done += s->tasks[i].done;
  }
  gh_progress_start(&progress, "suite", "tasks", (uint64_t)s->count, (uint64_t)done);
  for (size_t i = 0; i < s->count && !status && !s->stopped; i++) {
    gh_task *task = &s->tasks[i];
    if (!task->done) mark_done(s, task); /* another shape of the same device may have measured it */
    if (task->done) continue;
    if (!told && task->rank > 1) { /* the peaks are known */
      tell_estimate(s, done);
      told = true;
    }
    const double seconds = estimate(s, task), began = gh_now();
    if (seconds > left(s) && task->rank) continue; /* without the peaks, no other number can be judged */
    gh_bench_until(task->rank ? began + left(s) : INFINITY);
    status = run_task(err, s, task);
    gh_bench_until(INFINITY);
    learn(s, task, seconds, gh_now() - began);
    if (!task->done) continue;
    gh_progress_update(&progress, (uint64_t)++done, task->title.op);
  }
  gh_progress_end(&progress);
  return status;
}

/* ---- the end ---- */

/* A "skipped" row for each task that was not run. */
static gh_status skip_rest(gh_error *err, gh_suite *s) {
  gh_status status = GH_OK;
  for (size_t i = 0; i < s->count && !status; i++) {
    gh_task *task = &s->tasks[i];
    char reason[160];
    if (task->done) continue;
    snprintf(reason, sizeof reason, s->stopped ? "stopped by a signal" : "no time left within %g minutes",
             s->options->minutes);
    status = add_without(err, s, task, "skipped", reason, &s->results);
  }
  return status;
}

static gh_status put_counts(gh_error *err, gh_suite *s, gh_json *result) {
  static const char *const names[] = {"ok", "unsupported", "skipped", "error"};
  size_t counts[GH_COUNT(names)] = {0}, noisy = 0;
  for (size_t i = 0; i < s->results.count; i++) {
    for (size_t k = 0; k < GH_COUNT(names); k++)
      counts[k] += gh_result_is(&s->results.items[i], GH_RESULT_STATUS, names[k]);
    noisy += gh_result_number(&s->results.items[i], GH_RESULT_NOISY) == 1;
  }
  gh_status status = gh_json_put_string(err, result, "folder", s->options->out);
  for (size_t k = 0; k < GH_COUNT(names) && !status; k++)
    status = gh_json_put_int(err, result, names[k], (int64_t)counts[k]);
  if (!status) status = gh_json_put_int(err, result, "noisy", (int64_t)noisy);
  printf("%s/rows.jsonl, rows.csv: %zu results, %zu of them noisy; %zu unsupported, %zu errors, %zu left out\n",
         s->options->out, counts[0], noisy, counts[1], counts[3], counts[2]);
  return status;
}

/* What was left out, by part. */
static gh_status put_left_out(gh_error *err, gh_suite *s, gh_json *result) {
  gh_json *list = gh_json_put_object(err, result, "left_out");
  const char *summary, *part;
  gh_status status = list ? GH_OK : err->status;
  for (int k = 0; (part = gh_suite_part(k, &summary)) && !status; k++) {
    int64_t n = 0;
    for (size_t i = 0; i < s->count; i++) n += !s->tasks[i].done && !strcmp(s->tasks[i].kind->part, part);
    if (!n) continue;
    printf("  left out of %s: %lld\n", part, (long long)n);
    status = gh_json_put_int(err, list, part, n);
  }
  return status;
}

static gh_status finish(gh_error *err, gh_suite *s, gh_json *result) {
  gh_status status = skip_rest(err, s);
  if (!status) status = gh_results_share(err, &s->results);
  if (!status) status = gh_results_write(err, &s->results, s->options->out);
  if (!status) status = put_counts(err, s, result);
  if (!status) status = put_left_out(err, s, result);
  if (!status && s->stopped)
    status = gh_fail(err, GH_ERROR_STOPPED, "bench suite: stopped; the same command goes on with %s", s->options->out);
  return status;
}

static gh_status run(gh_error *err, gh_suite *s, gh_json *result) {
  gh_status status = add_devices(err, s, s->options->devices);
  if (!status) status = read_earlier(err, s);
  if (!status) status = gh_suite_plan(err, s);
  if (!status) status = run_tasks(err, s);
  return status ? status : finish(err, s, result);
}

gh_status gh_suite_run(gh_error *err, const gh_suite_options *options, gh_json *result) {
  gh_file_lock *lock = NULL;
  gh_suite *s = gh_alloc(err, 1, sizeof *s);
  if (!s) return GH_ERROR_MEMORY;
  s->options = options;
  s->began = gh_now();
  gh_stop_install();
  gh_status status = gh_folder_make(err, options->out);
  char *path = status ? NULL : gh_path_join(err, options->out, ".lock");
  if (!status) status = path ? gh_file_lock_take(err, &lock, path, false) : GH_ERROR_MEMORY;
  if (!status) status = run(err, s, result);
  gh_suite_free_tasks(s);
  gh_results_free(&s->results);
  for (int i = 0; i < s->device_count; i++) gh_device_close(s->devices[i].device);
  gh_file_lock_release(lock);
  free(path);
  free(s);
  return status;
}
