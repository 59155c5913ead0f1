/* The command line: a table of commands, each with a table of options.
 *
 * A command's function fills `args->result`, which --json writes, prints readable text on stdout and returns a
 * status; nothing here exits. A usage error is GH_ERROR_ARGUMENT (exit code 2). */
#ifndef GH_CLI_CLI_H
#define GH_CLI_CLI_H

#include "base/json.h"
#include "base/log.h"
#include "base/text.h"

typedef enum gh_option_kind {
  GH_OPTION_FLAG, /* takes no argument */
  GH_OPTION_TEXT,
  GH_OPTION_INT,  /* a whole number of [least, most] */
  GH_OPTION_REAL, /* a number above 0, at most `most` */
  GH_OPTION_LIST  /* text that may be given several times */
} gh_option_kind;

typedef struct gh_option {
  const char *name;     /* "out" for --out */
  const char *argument; /* the placeholder of its value in --help: "DIR"; NULL for a flag */
  gh_option_kind kind;
  const char *help;    /* one line */
  bool required;       /* a usage error if absent */
  const char *initial; /* its default, as a user would type it; NULL: none */
  int64_t least, most; /* of numbers; both 0: from 0 to 2^53 - 1 */
  bool bare;           /* given as a word without --name; at most one option of a command */
  char letter;         /* of a flag: 'q' for -q; 0: none */
} gh_option;

typedef struct gh_args gh_args;

/* What a command does where mpirun started several processes. */
typedef enum gh_command_ranks {
  GH_RANKS_NONE, /* it refuses */
  GH_RANKS_EACH, /* each process does it by itself */
  GH_RANKS_SHARE /* they do it together (cli/ranks.h) */
} gh_command_ranks;

typedef struct gh_command {
  const char *name;    /* "devices"; two words for a command with a kind: "bench ops" */
  const char *summary; /* one line, for the list of commands */
  const char *details; /* paragraphs of its --help, or NULL; --help wraps the lines */
  gh_status (*run)(gh_error *err, const gh_args *args);
  gh_command_ranks ranks;
  const gh_option *options; /* ends with a null name; NULL: the common ones only */
  /* Adds lines to the details that other tables know: those of objectives and families. NULL: there are none. */
  gh_status (*more_details)(gh_error *err, gh_strings *lines);
} gh_command;

/* The parsed options of one call. Reading an option that is not in the command's table is a programming error. */
struct gh_args {
  const gh_command *command;
  gh_json *result;             /* an object, to be filled by the command */
  struct gh_comm *comm;        /* the ranks of a command that they share; NULL: this process alone */
  struct gh_option_value *own; /* options.c */
};

const char *gh_args_text(const gh_args *args, const char *name); /* NULL when absent and without default */
int64_t gh_args_int(const gh_args *args, const char *name);      /* 0 when absent and without default */
double gh_args_real(const gh_args *args, const char *name);      /* 0 when absent and without default */
bool gh_args_flag(const gh_args *args, const char *name);
bool gh_args_given(const gh_args *args, const char *name); /* on the command line, not by default */
const gh_strings *gh_args_list(const gh_args *args, const char *name);
/* Takes an option's text away, for a process whose results another one writes. */
void gh_args_drop(const gh_args *args, const char *name);

/* Checks, as far as possible in advance, that the file of this option can be written, so that a mistyped path does not
 * cost hours of work. */
gh_status gh_output_check(gh_error *err, const gh_args *args, const char *option);

/* The options of every command: --device, --json, --quiet, --verbose, --help. */
extern const gh_option gh_common_options[]; /* ends with a null name */

/* Parses argv[first..argc). With --help, sets *help and checks nothing else. */
gh_status gh_args_parse(gh_error *err, gh_args *args, const gh_command *command, int argc, char **argv, int first,
                        bool *help);
void gh_args_free(gh_args *args);

gh_status gh_command_help(gh_error *err, const gh_command *command); /* on stdout */
/* The details and, after an empty line, the lines of more_details: "" if there are none. The caller frees *out. */
gh_status gh_command_details(gh_error *err, const gh_command *command, char **out);

/* ---- output ---- */

/* Prints text with names from files on stdout, as gh_text_show (base/utf8.h) leaves it, and a newline. */
void gh_print_line(const char *format, ...) __attribute__((format(printf, 1, 2)));
/* Prints a table on stdout: `columns` heads, then the cells row by row, each column as wide as its widest cell. align
 * has one letter per column, 'l' or 'r'. */
void gh_print_table(const char *const *heads, const char *align, int columns, const gh_strings *cells);
/* Formats the next cell, as gh_text_show leaves it. */
gh_status gh_cell(gh_error *err, gh_strings *cells, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- the commands, one file each ---- */

extern const gh_command gh_command_bench_compare;
extern const gh_command gh_command_bench_ops;
extern const gh_command gh_command_bench_plan;
extern const gh_command gh_command_bench_portability;
extern const gh_command gh_command_bench_scaling;
extern const gh_command gh_command_bench_step;
extern const gh_command gh_command_bench_suite;
extern const gh_command gh_command_compare;
extern const gh_command gh_command_convert;
extern const gh_command gh_command_devices;
extern const gh_command gh_command_encode;
extern const gh_command gh_command_eval_attributes;
extern const gh_command gh_command_eval_mmvp;
extern const gh_command gh_command_eval_reconstruction;
extern const gh_command gh_command_eval_retrieval;
extern const gh_command gh_command_eval_spectrum;
extern const gh_command gh_command_eval_zeroshot;
extern const gh_command gh_command_experiment;
extern const gh_command gh_command_export;
extern const gh_command gh_command_init;
extern const gh_command gh_command_pretrain_autoencoder;
extern const gh_command gh_command_pretrain_vqgan;
extern const gh_command gh_command_pretrain_clip;
extern const gh_command gh_command_probe;
extern const gh_command gh_command_reconstruct;
extern const gh_command gh_command_report;
extern const gh_command gh_command_scenes;
extern const gh_command gh_command_selftest;
extern const gh_command gh_command_train;
extern const gh_command gh_command_tune;

extern const gh_command *const gh_commands[]; /* commands.c; ends with NULL */

/* The whole program except for the error line, which main prints. */
gh_status gh_cli_main(gh_error *err, int argc, char **argv);
int gh_cli_exit_code(gh_status status); /* 0, 1, 2 (usage), 75 (stopped by a signal, state saved), 128 + signal */

#endif
