/* The table of commands, and what they share: dispatch, options, the JSON file. */
#include "base/build.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/ranks.h"
#include "train/made_by.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order of --help: the order in which a user needs them. */
// clang-format off
const gh_command *const gh_commands[] = {
    &gh_command_devices,
    &gh_command_selftest,
    &gh_command_init,
    &gh_command_tune,
    &gh_command_train,
    &gh_command_probe,
    &gh_command_compare,
    &gh_command_encode,
    &gh_command_reconstruct,
    &gh_command_eval_mmvp,
    &gh_command_eval_zeroshot,
    &gh_command_eval_retrieval,
    &gh_command_eval_spectrum,
    &gh_command_eval_reconstruction,
    &gh_command_eval_attributes,
    &gh_command_experiment,
    &gh_command_report,
    &gh_command_export,
    &gh_command_convert,
    &gh_command_scenes,
    &gh_command_pretrain_autoencoder,
    &gh_command_pretrain_vqgan,
    &gh_command_pretrain_clip,
    &gh_command_bench_ops,
    &gh_command_bench_step,
    &gh_command_bench_plan,
    &gh_command_bench_suite,
    &gh_command_bench_compare,
    &gh_command_bench_portability,
    &gh_command_bench_scaling,
    NULL,
};
// clang-format on

#define MAX_COMMANDS 64

static bool is_help(const char *word) { return !strcmp(word, "--help") || !strcmp(word, "-h"); }

/* "bench ops" belongs to the family "bench". */
static bool of_family(const gh_command *command, const char *family) {
  size_t length = strlen(family);
  return !strncmp(command->name, family, length) && command->name[length] == ' ';
}

static bool is_family(const char *word) {
  for (int i = 0; gh_commands[i]; i++)
    if (of_family(gh_commands[i], word)) return true;
  return false;
}

/* Prints the commands of a family; all if NULL. */
static void print_help(const char *family) {
  int width = 0;
  for (int i = 0; gh_commands[i]; i++) width = GH_MAX(width, (int)strlen(gh_commands[i]->name));
  printf("genhance %s: post-trains CLIP vision encoders with GenHancer's method\n\n", GH_VERSION);
  printf("usage: genhance %s%s [options]\n\ncommands:\n", family ? family : "COMMAND", family ? " KIND" : "");
  for (int i = 0; gh_commands[i]; i++)
    if (!family || of_family(gh_commands[i], family))
      printf("  %-*s  %s\n", width, gh_commands[i]->name, gh_commands[i]->summary);
  printf("\n`genhance COMMAND --help` lists a command's options.\n"
         "Every command accepts --device ID, --json FILE, -q and -v.\n"
         "\nenvironment:\n"
         "  GH_LOG=LEVEL      quiet, warning, info (default) or debug\n"
         "  GH_CACHE_DIR=DIR  cache of compiled kernels and tuning results\n"
         "  NO_COLOR=1        no colours on a terminal\n"
         "\nexit codes:\n"
         "  0      success\n"
         "  1      failure; standard error has one line with the reason\n"
         "  2      usage error\n"
         "  75     stopped by a signal, state saved; --resume continues\n"
         "  128+N  stopped by signal N, nothing saved\n");
}

/* The command named by argv[1], or by argv[1] and argv[2] if its name has two words; *first is the index of its first
 * option. */
static const gh_command *find_command(int argc, char **argv, int *first) {
  for (int i = 0; gh_commands[i]; i++) {
    const char *name = gh_commands[i]->name, *space = strchr(name, ' ');
    size_t n = space ? (size_t)(space - name) : strlen(name);
    if (strlen(argv[1]) != n || strncmp(argv[1], name, n)) continue;
    if (space && (argc < 3 || strcmp(argv[2], space + 1))) continue;
    *first = space ? 3 : 2;
    return gh_commands[i];
  }
  return NULL;
}

static gh_status unknown_command(gh_error *err, int argc, char **argv) {
  const char *names[MAX_COMMANDS];
  char kinds[256] = "";
  size_t n = 0, used = 0;
  for (int i = 0; gh_commands[i] && n < MAX_COMMANDS; i++) {
    const char *name = names[n++] = gh_commands[i]->name;
    if (!of_family(gh_commands[i], argv[1]) || used >= sizeof kinds) continue;
    used += (size_t)snprintf(kinds + used, sizeof kinds - used, "%s%s", used ? ", " : "", strchr(name, ' ') + 1);
  }
  if (used && argc < 3)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: a kind is missing; expected one of: %s", argv[1], kinds);
  if (used) return gh_fail(err, GH_ERROR_ARGUMENT, "%s: unknown kind %s; expected one of: %s", argv[1], argv[2], kinds);
  const char *nearest = gh_nearest(argv[1], names, n);
  if (nearest) return gh_fail(err, GH_ERROR_ARGUMENT, "unknown command %s; did you mean %s?", argv[1], nearest);
  return gh_fail(err, GH_ERROR_ARGUMENT, "unknown command %s; `genhance --help` lists them", argv[1]);
}

/* ---- --json - ---- */

static bool is_standard_output(const char *path) { return path && !strcmp(path, "-"); }

/* Standard output is then the JSON alone: what the command prints for people goes to standard error. Returns the
 * descriptor that standard output was; below 0 after a failure. */
static int set_output_aside(gh_error *err) {
  fflush(stdout);
  int aside = dup(STDOUT_FILENO);
  if (aside >= 0 && dup2(STDERR_FILENO, STDOUT_FILENO) >= 0) return aside;
  gh_fail(err, GH_ERROR_FILE, "--json -: %s", strerror(errno));
  if (aside >= 0) close(aside);
  return -1;
}

static void take_output_back(int aside) {
  fflush(stdout);
  dup2(aside, STDOUT_FILENO);
  close(aside);
}

static gh_status print_json(gh_error *err, const gh_json *value) {
  char *text = NULL;
  size_t size = 0;
  gh_status status = gh_json_print(err, &text, &size, value, true);
  if (!status) fwrite(text, 1, size, stdout); /* gh_cli_main reports a failed write */
  free(text);
  return status;
}

/* Writes the results with "command", "ok" and, after a failure, "error". */
static gh_status write_json(gh_error *err, const gh_args *args, const char *path, gh_status status,
                            const gh_error *failure) {
  if (!gh_json_member(args->result, GH_MADE_BY) && gh_made_by_put(err, args->result, NULL, NULL, true))
    return err->status;
  if (gh_json_put_string(err, args->result, "command", args->command->name) ||
      gh_json_put_bool(err, args->result, "ok", status == GH_OK) ||
      (status && gh_json_put_string(err, args->result, "error", failure->text)))
    return err->status;
  return is_standard_output(path) ? print_json(err, args->result) : gh_json_write_file(err, path, args->result);
}

/* --json and --out must not be the same file: one would overwrite the other. */
static gh_status check_json(gh_error *err, const gh_args *args) {
  const char *json = gh_args_text(args, "json"), *out = NULL;
  for (const gh_option *o = args->command->options; o && o->name; o++)
    if (!strcmp(o->name, "out")) out = gh_args_text(args, "out");
  if (json && out && !strcmp(json, out))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --json and --out are both %s", args->command->name, out);
  return is_standard_output(json) ? GH_OK : gh_output_check(err, args, "json");
}

/* What -q and -v say of the log; GH_LOG otherwise. */
static gh_status apply_level(gh_error *err, const gh_args *args) {
  const bool quiet = gh_args_flag(args, "quiet"), verbose = gh_args_flag(args, "verbose");
  if (quiet && verbose)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --quiet and --verbose contradict each other", args->command->name);
  if (quiet && gh_log_get_level() > GH_LOG_WARNING) gh_log_set_level(GH_LOG_WARNING);
  if (verbose) gh_log_set_level(GH_LOG_DEBUG);
  gh_log_keep_status(quiet);
  return GH_OK;
}

static gh_status run_command(gh_error *err, const gh_command *command, int argc, char **argv, int first) {
  gh_args args;
  bool help = false;
  gh_status status = gh_args_parse(err, &args, command, argc, argv, first, &help);
  if (status || help) {
    if (help) status = gh_command_help(err, command);
    gh_args_free(&args);
    return status;
  }
  const char *path = gh_args_text(&args, "json");
  args.result = gh_json_object(err);
  status = args.result ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = apply_level(err, &args);
  if (!status) status = check_json(err, &args);
  int aside = !status && is_standard_output(path) ? set_output_aside(err) : STDOUT_FILENO;
  if (aside < 0) status = err->status;
  if (!status) {
    status = gh_cli_ranks_begin(err, &args);
    if (!status) status = gh_cli_ranks_end(err, &args, command->run(err, &args));
    if (aside != STDOUT_FILENO) take_output_back(aside);
    gh_error second = {0};              /* the command's own failure is the one to report */
    path = gh_args_text(&args, "json"); /* which the command may have dropped */
    if (path && write_json(&second, &args, path, status, err) && !status) {
      *err = second;
      status = second.status;
    }
  }
  gh_args_free(&args);
  return status;
}

/* Sets how much is logged on stderr, from GH_LOG in the environment. */
static gh_status choose_level(gh_error *err) {
  static const char *const names[] = {
      [GH_LOG_QUIET] = "quiet", [GH_LOG_WARNING] = "warning", [GH_LOG_INFO] = "info", [GH_LOG_DEBUG] = "debug"};
  const char *wanted = getenv("GH_LOG");
  if (!wanted || !*wanted) return GH_OK;
  for (size_t i = 0; i < GH_COUNT(names); i++)
    if (!strcmp(wanted, names[i])) {
      gh_log_set_level((gh_log_level)i);
      return GH_OK;
    }
  return gh_fail(err, GH_ERROR_ARGUMENT, "GH_LOG is \"%s\": it can be quiet, warning, info or debug", wanted);
}

gh_status gh_cli_main(gh_error *err, int argc, char **argv) {
  int first = 2;
  gh_status status = choose_level(err);
  if (status) return status;
  if (argc < 2) return gh_fail(err, GH_ERROR_ARGUMENT, "a command is missing; `genhance --help` lists them");
  const gh_command *command = find_command(argc, argv, &first);
  if (command)
    status = run_command(err, command, argc, argv, first);
  else if (is_help(argv[1]) || !strcmp(argv[1], "help"))
    print_help(NULL);
  else if (argc > 2 && is_help(argv[2]) && is_family(argv[1]))
    print_help(argv[1]);
  else if (!strcmp(argv[1], "--version"))
    printf("genhance %s\n", GH_VERSION);
  else
    status = unknown_command(err, argc, argv);
  errno = 0;
  if ((fflush(stdout) || ferror(stdout)) && !status)
    status = gh_fail(err, GH_ERROR_FILE, "standard output: %s", errno ? strerror(errno) : "write error");
  return status;
}

int gh_cli_exit_code(gh_status status) {
  return status == GH_OK                  ? 0
         : status == GH_ERROR_ARGUMENT    ? 2
         : status == GH_ERROR_STOPPED     ? 75
         : status == GH_ERROR_INTERRUPTED ? 128 + gh_stop_signal()
                                          : 1;
}
