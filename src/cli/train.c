/* genhance train: stage 1, then stage 2. */
#include "base/log.h"
#include "cli/ranks.h"
#include "cli/run_options.h"
#include "train/trainer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_status put_best(gh_error *err, gh_json *stage, const gh_best *b) {
  gh_json *best = gh_json_put_object(err, stage, "best");
  if (!best || gh_json_put_string(err, best, "score", b->score) || gh_json_put_double(err, best, "start", b->start) ||
      gh_json_put_bool(err, best, "stopped_by_guard", b->stopped))
    return err->status;
  if (!b->snapshot[0]) return GH_OK;
  if (gh_json_put_string(err, best, "snapshot", b->snapshot) || gh_json_put_double(err, best, "value", b->value) ||
      gh_json_put_bool(err, best, "within_guard", b->within))
    return err->status;
  return GH_OK;
}

static gh_status put_report(gh_error *err, gh_json *result, int number, const gh_stage_report *r) {
  gh_json *stage = gh_json_put_object(err, result, number == 1 ? "stage1" : "stage2");
  if (!stage || gh_json_put_int(err, stage, "updates", r->updates) ||
      gh_json_put_double(err, stage, "first_loss", r->first_loss) ||
      gh_json_put_double(err, stage, "last_loss", r->last_loss) ||
      gh_json_put_int(err, stage, "skipped_images", (int64_t)r->skipped) ||
      gh_json_put_double(err, stage, "seconds", r->seconds))
    return err->status;
  return r->evaluated ? put_best(err, stage, &r->best) : GH_OK;
}

static void print_best(const gh_best *b) {
  if (b->stopped) printf("stage 2: stopped by the guard after update %lld\n", (long long)b->stopped_at);
  if (b->snapshot[0])
    gh_print_line("stage 2: best snapshot %s, %s %.2f (%.2f at the start)%s", b->snapshot, b->score, b->value, b->start,
                  b->within ? "" : "; every snapshot is below the guard");
}

static gh_train_options options_of(const gh_args *args) {
  gh_train_options options = gh_run_options(args);
  options.comm = args->comm;
  options.quiet |= !gh_cli_writes(args);
  options.ranks = (int)gh_args_int(args, "ranks");
  options.resplit = gh_args_flag(args, "resplit");
  options.rank_timeout = gh_args_real(args, "rank-timeout");
  return options;
}

static gh_status choose_device(gh_error *err, const gh_args *args, char **device) {
  char *own = NULL;
  const char *named = gh_args_given(args, "device") ? gh_args_text(args, "device") : *device;
  if (!args->comm && !strchr(named, '=')) return gh_run_device(err, args, device);
  gh_status status = gh_cli_device(err, args, *device, &own);
  if (status) return status;
  free(*device);
  *device = own;
  return GH_OK;
}

static gh_status train(gh_error *err, const gh_args *args, const gh_config *config, const gh_train_options *options,
                       gh_stage_report reports[2]) {
  gh_status status = gh_train(err, config, options, reports);
  for (int i = 0; i < 2; i++) {
    gh_error second = {0}; /* that a stage does not fit is the reason to report */
    if (reports[i].plan && gh_json_put(&second, args->result, i ? "stage2" : "stage1", reports[i].plan) && !status) {
      *err = second;
      status = second.status;
    }
  }
  return status;
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_config config = {0};
  gh_stage_report reports[2] = {0};
  const gh_strings *sets = gh_args_list(args, "set");
  const gh_train_options options = options_of(args);
  gh_status status =
      gh_config_read(err, &config, gh_args_text(args, "config"), (const char *const *)sets->items, sets->count);
  if (status) return status;
  status = choose_device(err, args, &config.device);
  gh_stop_install();
  if (!status) status = train(err, args, &config, &options, reports);
  for (int i = 0; i < 2 && !status; i++) {
    if (!reports[i].updates) continue;
    printf("stage %d: loss %.4f at the start, %.4f at the end (%lld update%s, %.1f s)\n", i + 1, reports[i].first_loss,
           reports[i].last_loss, (long long)reports[i].updates, reports[i].updates == 1 ? "" : "s", reports[i].seconds);
    if (reports[i].skipped)
      printf("stage %d: %llu broken images skipped\n", i + 1, (unsigned long long)reports[i].skipped);
    if (reports[i].evaluated) print_best(&reports[i].best);
    status = put_report(err, args->result, i + 1, &reports[i]);
  }
  if (!status && !options.dry_run) gh_print_line("results in %s", config.output);
  gh_config_free(&config);
  return status;
}

static const gh_option options[] = {
    {"config", "RUN.json", GH_OPTION_TEXT, .help = "the run's configuration", .required = true},
    {"set", "KEY=VALUE", GH_OPTION_LIST, .help = "override a key, for example stage1.optimizer.lr=1e-3"},
    GH_RUN_OPTIONS,
    {"resplit", NULL, GH_OPTION_FLAG, .help = "with --resume and mpirun: measure the ranks' speeds again"},
    {"rank-timeout", "SECONDS", GH_OPTION_REAL, .initial = "300", .most = 86400,
     .help = "with mpirun: end the job where a rank keeps an update waiting for so long"},
    {"dry-run", NULL, GH_OPTION_FLAG,
     .help = "print whether each stage fits, how long it takes and what would help, and exit"},
    {"ranks", "N", GH_OPTION_INT, .least = 1, .most = 4096,
     .help = "with --dry-run: plan for N processes, as with mpirun"},
    {0},
};

const gh_command gh_command_train = {
    .name = "train",
    .summary = "train stage 1 (denoiser), then stage 2 (encoder)",
    .details =
        "Stage 1 trains the denoiser and its projectors, stage 2 the encoder. Prints one line per update; "
        "metrics.jsonl in the output folder has the same numbers as JSON. SIGINT, SIGTERM, "
        "SIGUSR1, SIGXCPU and a closed terminal save the state and exit with code 75; --resume then continues "
        "to the same bits. SIGKILL "
        "loses the updates since the last saved state.\n"
        "`mpirun -n N genhance train` divides every update's batch among N processes; docs/clusters.md says how to "
        "choose their devices.",
    .run = run,
    .ranks = GH_RANKS_SHARE,
    .options = options,
};
