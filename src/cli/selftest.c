/* genhance selftest: checks every op against known answers on the user's device. */
#include "backend/pci.h"
#include "backend/registry.h"
#include "cli/cli.h"
#include "ops/check/check.h"
#include "ops/ops.h"

#include <stdio.h>
#include <string.h>

#define MAX_OPS 128

typedef struct gh_op_row {
  const gh_op *op;
  int results, failures;
  double error, tolerance; /* of the result closest to its tolerance, or furthest beyond it */
  char note[160];          /* of the first failure */
  bool used;
} gh_op_row;

typedef struct gh_tally {
  gh_op_row rows[MAX_OPS];
  int count;
} gh_tally;

static gh_op_row *row_of(gh_tally *tally, const char *op) {
  for (int i = 0; i < tally->count; i++)
    if (!strcmp(tally->rows[i].op->name, op)) return &tally->rows[i];
  return NULL;
}

static void on_result(void *context, const gh_check_result *r) {
  gh_op_row *row = row_of(context, r->op);
  if (!row) return;
  if (!row->results++ || !(r->error * row->tolerance <= row->error * r->tolerance)) {
    row->error = r->error;
    row->tolerance = r->tolerance;
  }
  if (r->passed || row->failures++) return;
  snprintf(row->note, sizeof row->note, "%s%s%s%s%s", r->test, *r->tensor ? " " : "", r->tensor, *r->note ? ": " : "",
           r->note);
}

static void on_used(void *context, const gh_op *op) {
  gh_op_row *row = row_of(context, op->name);
  if (row) row->used = true;
}

/* An op that no case launched has no known answer, which counts as a failure. */
static bool passed(const gh_op_row *row) { return !row->failures && (row->results || row->used); }

/* Ran only as part of other ops' cases, as gradients do. */
static bool inside(const gh_op_row *row) { return !row->results && row->used; }

static gh_status add_row(gh_error *err, const gh_op_row *row, gh_strings *cells) {
  const char *note = row->results ? row->note : "no known answer";
  bool good = passed(row);
  if (gh_cell(err, cells, "%s", row->op->name) || gh_cell(err, cells, "%d", row->results) ||
      gh_cell(err, cells, "%.1e", row->error) || gh_cell(err, cells, "%.1e", row->tolerance) ||
      gh_cell(err, cells, "%s%s", good ? "PASS" : "FAIL  ", good ? "" : note))
    return err->status;
  return GH_OK;
}

static gh_status put_row(gh_error *err, const gh_op_row *row, gh_json *list) {
  gh_json *o = gh_json_put_object(err, list, NULL);
  if (!o || gh_json_put_string(err, o, "op", row->op->name) || gh_json_put_int(err, o, "results", row->results) ||
      gh_json_put_int(err, o, "failures", row->failures) || gh_json_put_bool(err, o, "passed", passed(row)) ||
      gh_json_put_bool(err, o, "tested_indirectly", inside(row)) ||
      gh_json_put_renamed(err, o, "tested_indirectly", "inside_others") ||
      gh_json_put_string(err, o, "note", row->note))
    return err->status;
  bool finite = row->error - row->error == 0; /* JSON has no NaN */
  if (!finite) return gh_json_put_null(err, o, "worst_error");
  if (gh_json_put_double(err, o, "worst_error", row->error)) return err->status;
  return gh_json_put_double(err, o, "tolerance", row->tolerance);
}

static void print_inside(const gh_tally *tally) {
  int column = printf("\ntested as part of these:");
  for (int i = 0; i < tally->count; i++) {
    if (!inside(&tally->rows[i])) continue;
    if (column + strlen(tally->rows[i].op->name) > 96) column = printf("\n ");
    column += printf(" %s", tally->rows[i].op->name);
  }
  printf("\n");
}

static gh_status report(gh_error *err, const gh_args *args, const gh_tally *tally, const gh_device_info *device,
                        double seconds) {
  static const char *const heads[] = {"op", "answers", "worst error", "tolerance", "result"};
  gh_strings cells = {0};
  int failed = 0;
  gh_json *list = gh_json_put_array(err, args->result, "ops");
  gh_status status = list ? gh_json_put_string(err, args->result, "device", device->id) : err->status;
  if (!status) status = gh_json_put_double(err, args->result, "seconds", seconds);
  for (int i = 0; i < tally->count && !status; i++) {
    failed += !passed(&tally->rows[i]);
    status = inside(&tally->rows[i]) ? GH_OK : add_row(err, &tally->rows[i], &cells);
    if (!status) status = put_row(err, &tally->rows[i], list);
  }
  if (!status) {
    printf("%s: %s (%s)\n\n", device->id, device->name, device->platform);
    gh_print_table(heads, "lrrrl", (int)GH_COUNT(heads), &cells);
    print_inside(tally);
    printf("\n%d ops, %d failed, %.1f s\n", tally->count, failed, seconds);
  }
  gh_strings_free(&cells);
  if (!status && failed)
    status = gh_fail(err, GH_ERROR_DEVICE, "self-test: %d of %d ops give wrong results on %s%s%s", failed, tally->count,
                     device->id, device->is_cpu ? "" : "; known driver faults are in ",
                     device->is_cpu ? "" : gh_vendor_page((unsigned)device->identity.vendor_id));
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_tally tally = {0};
  gh_device *device = NULL;
  for (; gh_ops[tally.count] && tally.count < MAX_OPS; tally.count++) tally.rows[tally.count].op = gh_ops[tally.count];
  gh_status status = gh_device_open(err, gh_args_text(args, "device"), &device);
  if (status) return status;
  const gh_check_listener listener = {.context = &tally, .result = on_result, .used = on_used};
  const gh_check_options how = {.brief = true, .sabotage = gh_args_flag(args, "sabotage")};
  double started = gh_now();
  status = gh_check_embedded(err, device, how, &listener);
  gh_check_drawn(device, how, &listener);
  if (!status) status = report(err, args, &tally, &device->info, gh_now() - started);
  gh_device_close(device);
  return status;
}

static const gh_option options[] = {
    {"sabotage", NULL, GH_OPTION_FLAG, .help = "add an error of 1 % to every result: every op must then fail"},
    {0},
};

const gh_command gh_command_selftest = {
    .name = "selftest",
    .summary = "check every op against known answers on your device",
    .details =
        "The answers were computed by PyTorch in float64. Errors are relative L2 errors per tensor, for values and "
        "gradients.",
    .run = run,
    .ranks = GH_RANKS_EACH,
    .options = options,
};
