/* genhance experiment: a table of runs. Its steps are commands of this program, run one after another in this process;
 * what they print goes to the experiment's log. */
#include "report/experiment.h"
#include "base/file.h"
#include "cli/cli.h"
#include "dist/comm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct gh_job {
  const gh_args *args;
  gh_experiment x;
  gh_experiment_steps steps;
  char *page, *tsv, *markdown, *log, *lock; /* paths below the output */
} gh_job;

/* ---- standard output ---- */

/* Sends standard output to the end of a file; *aside keeps the place where it went. */
static gh_status redirect(gh_error *err, const char *path, int *aside) {
  fflush(stdout);
  const int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  *aside = file >= 0 ? dup(STDOUT_FILENO) : -1;
  const bool done = *aside >= 0 && dup2(file, STDOUT_FILENO) >= 0;
  const int code = errno;
  if (file >= 0) close(file);
  if (done) return GH_OK;
  if (*aside >= 0) close(*aside);
  return gh_fail(err, GH_ERROR_FILE, "%s: %s", path, strerror(code));
}

static void restore(int aside) {
  fflush(stdout);
  dup2(aside, STDOUT_FILENO);
  close(aside);
}

/* ---- one step ---- */

static void print_words(const gh_experiment_step *step) {
  printf("genhance");
  for (size_t i = 0; i < step->words.count; i++) {
    const char *word = step->words.items[i];
    printf(strpbrk(word, " {}[]\"'") ? " '%s'" : " %s", word);
  }
  printf("\n");
}

/* The command as main would call it, with what this call was given for all. */
static gh_status call(gh_error *err, const gh_job *job, const gh_experiment_step *step) {
  const bool device = gh_args_given(job->args, "device");
  size_t argc = 0;
  char **argv = gh_alloc(err, step->words.count + 4, sizeof *argv);
  if (!argv) return GH_ERROR_MEMORY;
  char *device_option[] = {"--device", (char *)(uintptr_t)gh_args_text(job->args, "device")};
  argv[argc++] = "genhance";
  for (size_t i = 0; i < step->words.count; i++) argv[argc++] = step->words.items[i];
  for (size_t i = 0; i < 2 && device; i++)
    if (step->kind != GH_STEP_PREPARE || !strcmp(step->words.items[0], "pretrain")) argv[argc++] = device_option[i];
  const gh_log_level level = gh_log_get_level();
  gh_status status = gh_cli_main(err, (int)argc, argv);
  gh_log_set_level(level);
  gh_log_keep_status(gh_args_flag(job->args, "quiet"));
  free(argv);
  return status;
}

static gh_status clear(gh_error *err, const gh_experiment_step *step) {
  if (!step->unfinished || !step->begun || !gh_path_exists(step->unfinished)) return GH_OK;
  return gh_path_is_folder(step->unfinished) ? gh_folder_remove(err, step->unfinished)
                                             : gh_file_remove(err, step->unfinished);
}

/* A folder that is there before the step began is the user's: the command itself refuses it. */
static gh_status take(gh_error *err, const gh_job *job, gh_experiment_step *step) {
  int aside = -1;
  gh_status status = clear(err, step);
  const bool strange = step->unfinished && gh_path_exists(step->unfinished);
  step->begun = true;
  if (!status && !strange) status = gh_experiment_record(err, step);
  if (!status) status = redirect(err, job->log, &aside);
  if (status) return status;
  const double began = gh_now();
  print_words(step);
  status = call(err, job, step);
  restore(aside);
  step->seconds = gh_now() - began;
  step->done = !status;
  return status ? status : gh_experiment_record(err, step);
}

/* ---- all of them ---- */

static gh_status write_pages(gh_error *err, const gh_job *job) {
  gh_experiment_results results = {0};
  gh_status status = gh_experiment_collect(err, &results, &job->x, &job->steps);
  if (!status) status = gh_report_experiment(err, job->page, &results, &job->steps);
  if (!status) status = gh_report_experiment_tables(err, job->tsv, job->markdown, &results);
  gh_experiment_results_free(&results);
  return status;
}

static void announce(const gh_job *job, size_t at) {
  const gh_experiment_steps *s = &job->steps;
  bool known;
  const double left = gh_experiment_left(s, &known);
  char estimate[64] = "";
  if (left > 0)
    snprintf(estimate, sizeof estimate, ", %s %.0f min left", known ? "about" : "more than", left < 60 ? 1 : left / 60);
  gh_info("%zu of %zu: %s%s", at + 1, s->count, s->items[at].name, estimate);
}

/* Whatever a signal interrupted, the same command continues it. */
static gh_status stopped(gh_error *err, const gh_experiment_step *step) {
  return gh_fail(err, GH_ERROR_STOPPED, "stopped at \"%s\"; the same command goes on from there", step->name);
}

static gh_status run_steps(gh_error *err, gh_job *job) {
  gh_experiment_steps *s = &job->steps;
  gh_status status = GH_OK;
  for (size_t i = 0; i < s->count && !status; i++) {
    gh_experiment_step *step = &s->items[i];
    if (step->done) continue;
    if (gh_stop_requested()) return stopped(err, step);
    announce(job, i);
    status = take(err, job, step);
    if (status == GH_ERROR_STOPPED || status == GH_ERROR_INTERRUPTED) return stopped(err, step);
    if (status) gh_fail_in(err, "%s", step->name);
    const bool last =
        i + 1 == s->count || s->items[i + 1].kind == GH_STEP_STAGE1 || s->items[i + 1].kind == GH_STEP_STAGE2;
    if (!status && step->result && last) status = write_pages(err, job);
  }
  return status ? status : write_pages(err, job);
}

static gh_status print_plan(gh_error *err, const gh_job *job) {
  const gh_experiment_steps *s = &job->steps;
  size_t done = 0;
  bool known;
  for (size_t i = 0; i < s->count; i++) {
    const gh_experiment_step *step = &s->items[i];
    done += step->done;
    gh_print_line("%3zu  %-5s %s", i + 1, step->done ? "done" : step->begun ? "begun" : "", step->name);
    if (gh_log_get_level() >= GH_LOG_INFO) print_words(step);
  }
  const double left = gh_experiment_left(s, &known);
  printf("\n%zu run%s, %zu seed%s: %zu steps, of which %zu are done; %zu stage%s 1 shared", job->x.run_count,
         job->x.run_count == 1 ? "" : "s", job->x.seeds.count, job->x.seeds.count == 1 ? "" : "s", s->count, done,
         s->shared, s->shared == 1 ? "" : "s");
  printf(left > 0 ? "; %s%.1f min left\n" : "\n", known ? "about " : "more than ", left / 60);
  if (gh_json_put_int(err, job->args->result, "steps", (int64_t)s->count) ||
      gh_json_put_int(err, job->args->result, "done", (int64_t)done))
    return err->status;
  return GH_OK;
}

/* ---- the command ---- */

static gh_status refuse_ranks(gh_error *err) {
  gh_comm *comm = NULL;
  gh_status status = gh_comm_open(err, &comm);
  if (!status && comm)
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "experiment: its steps run in one process: start it without mpirun");
  gh_comm_close(comm);
  return status;
}

/* The page and the tables are named after the experiment's file, so that several may share a folder. */
static gh_status name_files(gh_error *err, gh_job *job) {
  const char *name = gh_path_name(gh_args_text(job->args, "file")), *dot = strrchr(name, '.');
  const int length = (int)(dot && dot > name ? (size_t)(dot - name) : strlen(name));
  const char *out = job->x.output;
  job->page = gh_format(err, "%s/%.*s.html", out, length, name);
  job->tsv = gh_format(err, "%s/%.*s.tsv", out, length, name);
  job->markdown = gh_format(err, "%s/%.*s.md", out, length, name);
  job->log = gh_format(err, "%s/experiment.log", out);
  job->lock = gh_format(err, "%s/experiment.lock", out);
  return job->page && job->tsv && job->markdown && job->log && job->lock ? GH_OK : GH_ERROR_MEMORY;
}

static gh_status work(gh_error *err, gh_job *job) {
  gh_file_lock *lock = NULL;
  gh_status status = gh_folder_make(err, job->x.output);
  if (!status) status = gh_file_lock_take(err, &lock, job->lock, false);
  if (!status) status = run_steps(err, job);
  gh_file_lock_release(lock);
  if (status) return status;
  gh_print_line("results in %s, %s and %s", job->page, job->tsv, job->markdown);
  if (gh_json_put_int(err, job->args->result, "steps", (int64_t)job->steps.count) ||
      gh_json_put_string(err, job->args->result, "page", job->page) ||
      gh_json_put_string(err, job->args->result, "table", job->tsv))
    return err->status;
  return GH_OK;
}

static gh_status run(gh_error *err, const gh_args *args) {
  gh_job job = {.args = args};
  const gh_experiment_options options = {
      .output = gh_args_text(args, "out"), .seeds = gh_args_text(args, "seeds"), .sets = gh_args_list(args, "set")};
  gh_status status = refuse_ranks(err);
  if (status) return status;
  gh_stop_install();
  status = gh_experiment_read(err, &job.x, gh_args_text(args, "file"), &options);
  if (!status) status = gh_experiment_plan(err, &job.steps, &job.x);
  if (!status) status = gh_experiment_look(err, &job.steps);
  if (!status) status = name_files(err, &job);
  if (!status) status = gh_args_flag(args, "dry-run") ? print_plan(err, &job) : work(err, &job);
  gh_experiment_steps_free(&job.steps, &job.x);
  gh_experiment_free(&job.x);
  free(job.page);
  free(job.tsv);
  free(job.markdown);
  free(job.log);
  free(job.lock);
  return status;
}

static const gh_option options[] = {
    {"file", "FILE", GH_OPTION_TEXT, .help = "the experiment (.json), or a sweep file (.tsv)", .required = true,
     .bare = true},
    {"out", "DIR", GH_OPTION_TEXT, .help = "output folder, in place of the file's; a sweep file needs it"},
    {"seeds", "N,N", GH_OPTION_TEXT, .help = "seeds of every run, in place of the file's (default 0)"},
    {"set", "KEY=VALUE", GH_OPTION_LIST, .help = "override a key of every run's configuration"},
    {"dry-run", NULL, GH_OPTION_FLAG, .help = "list the steps with their commands, and exit"},
    {0},
};

const gh_command gh_command_experiment = {
    .name = "experiment",
    .summary = "train and score a table of runs with several seeds",
    .details =
        "Runs what prepares the experiment, then stage 1, stage 2 and the evaluations of every run and seed. Runs "
        "whose "
        "stage 1 has the same settings and seed share it, and they share caches of targets. The same command continues "
        "a stopped or killed experiment. DIR/NAME.html, called like FILE, has every score with its interval over "
        "seeds, "
        "before and after, and the difference from the baseline; NAME.tsv and NAME.md have the same as tables, "
        "experiment.log what the steps print. docs/experiments.md describes the file.",
    .run = run,
    .options = options,
};
