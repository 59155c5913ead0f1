/* Manual pages in the man(7) macros. */
#include "documents.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

typedef struct row {
  const char *name, *text;
} row;

static const row exit_codes[] = {
    {"0", "Success."},
    {"1", "Failure. The reason is one line on standard error."},
    {"2", "Wrong usage: an unknown command, option or value."},
    {"75", "A signal stopped the command, and its state is saved; `--resume` continues from it."},
    {"128 + N", "Signal N stopped the command, and no state is saved."},
    {0}};

static const row variables[] = {
    {"GH_CACHE_DIR", "Folder for compiled kernels and tuning results; by default `$XDG_CACHE_HOME/genhance`, else "
                     "`~/.cache/genhance`."},
    {"GH_DRIVER_WAIT", "Seconds to wait for an OpenCL driver that is asked for its devices; 20 by default."},
    {"NO_COLOR", "Not empty: no colours on a terminal."},
    {"GH_LOG", "What is printed to standard error: `quiet`, `warning`, `info` or `debug`."},
    {"GH_RETRY_SECONDS", "How long reading a picture, a shard or a cached target is tried again after a failure of the "
                         "machine: 3 by default, 0 to 3600."},
    {"GH_CUDA_LIBRARIES",
     "Folders, separated by colons, to search for NVIDIA's libraries; an empty item means the usual places."},
    {"GH_KERNEL_SHAPE", "`cpu` or `gpu`: the shape of kernels, instead of the one for the device's kind."},
    {"GH_MAX_BUFFER_MIB", "Upper limit of one device buffer, in MiB."},
    {"GH_GEMM, GH_ATTENTION, GH_FFT", "Force one implementation of an operation, for comparisons. A run cannot resume "
                                      "with another one than its plan records, except with `--replan`."},
    {"OCL_ICD_VENDORS", "Folder of the OpenCL implementations that the ICD loader offers."},
    {0}};

/* Writes text with roff's special characters escaped. Words between backticks are bold. *bold carries over from call to
 * call. */
static void put_part(FILE *out, const char *text, size_t length, bool *bold) {
  for (const char *c = text; c < text + length; c++) {
    if (*c == '`') {
      *bold = !*bold;
      fputs(*bold ? "\\fB" : "\\fR", out);
    } else if (*c == '\\') {
      fputs("\\e", out);
    } else if (*c == '-') {
      fputs("\\-", out);
    } else if ((*c == '.' || *c == '\'') && c == text) {
      fprintf(out, "\\&%c", *c);
    } else {
      fputc(*c, out);
    }
  }
}

static void put_text(FILE *out, const char *text, bool *bold) { put_part(out, text, strlen(text), bold); }

static void put_line(FILE *out, const char *text) {
  bool bold = false;
  put_text(out, text, &bold);
  fputc('\n', out);
}

static void put_rows(FILE *out, const row *rows) {
  for (; rows->name; rows++) {
    fputs(".TP\n.B ", out);
    put_line(out, rows->name);
    put_line(out, rows->text);
  }
}

static void put_heading(FILE *out, const char *page, const char *summary) {
  fputs(".\\\" made by tools/documents from the command tables\n.TH ", out);
  for (const char *c = page; *c; c++) fputc(toupper((unsigned char)*c), out);
  fprintf(out, " 1 \"\" \"genhance %s\" \"User Commands\"\n.SH NAME\n", GH_VERSION);
  put_line(out, page);
  fputs("\\- ", out);
  put_line(out, summary);
}

/* Formats a command's details, which --help prints unchanged: lines that begin with spaces form a table, an empty line
 * starts a new paragraph, all other lines are filled. */
static void put_details(FILE *out, const char *text) {
  bool bold = false, table = false;
  while (*text) {
    size_t length = strcspn(text, "\n");
    bool was_table = table;
    if (table != (*text == ' ')) fputs(table ? ".fi\n.PP\n" : ".PP\n.nf\n", out);
    table = *text == ' ';
    put_part(out, text, length, &bold);
    if (length) fputc('\n', out);
    if (!length && text[1] && !was_table) fputs(".PP\n", out);
    text += length + (text[length] == '\n');
  }
  if (table) fputs(".fi\n", out);
}

/* "--out DIR"; "--quiet, -q"; "FILE" for a bare word. */
static void put_usage(FILE *out, const gh_option *o) {
  bool bold = false;
  if (!o->bare) {
    fputs("\\fB\\-\\-", out);
    put_text(out, o->name, &bold);
    fputs(o->argument ? "\\fR " : "\\fR", out);
  }
  if (o->letter) fprintf(out, ", \\fB\\-%c\\fR", o->letter);
  if (!o->argument) return;
  fputs("\\fI", out);
  put_text(out, o->argument, &bold);
  fputs("\\fR", out);
}

static void put_option(FILE *out, const gh_option *o) {
  bool bold = false;
  fputs(".TP\n", out);
  put_usage(out, o);
  fputc('\n', out);
  put_text(out, o->help, &bold);
  fputs(".\n", out);
  if (o->required) fputs("Required.\n", out);
  if (o->least || o->most) fprintf(out, "A whole number from %lld to %lld.\n", (long long)o->least, (long long)o->most);
  if (o->initial) {
    fputs("Default: ", out);
    put_text(out, o->initial, &bold);
    fputs(".\n", out);
  }
  if (o->kind == GH_OPTION_LIST) fputs("May be repeated.\n", out);
}

static void put_options(FILE *out, const gh_option *options) {
  for (const gh_option *o = options; o && o->name; o++) put_option(out, o);
}

/* Writes the required options, in the order of the table, then [options]. */
static void put_synopsis(FILE *out, const gh_command *command) {
  bool bold = false;
  fputs(".SH SYNOPSIS\n\\fBgenhance ", out);
  put_text(out, command->name, &bold);
  fputs("\\fR", out);
  for (const gh_option *o = command->options; o && o->name; o++) {
    if (!o->required) continue;
    fputc(' ', out);
    put_usage(out, o);
  }
  fputs(" [\\fIoptions\\fR]\n", out);
}

bool gh_write_command_page(FILE *out, const gh_command *command) {
  char page[GH_PAGE_NAME_SIZE], *details;
  gh_error err;
  if (gh_command_details(&err, command, &details)) {
    fprintf(stderr, "%s\n", err.text);
    return false;
  }
  gh_page_name(page, command->name);
  put_heading(out, page, command->summary);
  put_synopsis(out, command);
  if (*details) {
    fputs(".SH DESCRIPTION\n", out);
    put_details(out, details + strspn(details, "\n"));
  }
  free(details);
  fputs(".SH OPTIONS\n", out);
  put_options(out, command->options);
  put_options(out, gh_common_options);
  fputs(".SH EXIT STATUS\n", out);
  put_rows(out, exit_codes);
  fputs(".SH SEE ALSO\n.BR genhance (1)\n", out);
  return true;
}

void gh_write_main_page(FILE *out) {
  char page[GH_PAGE_NAME_SIZE];
  put_heading(out, "genhance", "post-train CLIP vision encoders on any OpenCL or CUDA device");
  fputs(".SH SYNOPSIS\n\\fBgenhance\\fR \\fICOMMAND\\fR [\\fIoptions\\fR]\n.PP\n"
        "\\fBgenhance\\fR [\\fB\\-\\-help\\fR | \\fB\\-\\-version\\fR]\n.SH DESCRIPTION\n",
        out);
  put_line(out, "genhance improves the vision encoder of a CLIP or SigLIP model with GenHancer's two-stage method. In "
                "stage 1 a small denoiser learns to draw pictures from the encoder's one global token. In stage 2 the "
                "encoder learns, directly or through LoRA, what that drawing lacks.");
  fputs(".PP\n", out);
  put_line(out, "`genhance devices` lists the devices, `genhance selftest` checks every operation on one of them, and "
                "`genhance train --config RUN.json` runs both stages.");
  fputs(".SH COMMANDS\n", out);
  for (int i = 0; gh_commands[i]; i++) {
    gh_page_name(page, gh_commands[i]->name);
    fputs(".TP\n.BR ", out);
    for (const char *c = page; *c; c++) fprintf(out, *c == '-' ? "\\-" : "%c", *c);
    fputs(" (1)\n", out);
    put_line(out, gh_commands[i]->summary);
  }
  fputs(".SH OPTIONS\nEvery command has these options besides its own.\n", out);
  put_options(out, gh_common_options);
  fputs(".SH EXIT STATUS\n", out);
  put_rows(out, exit_codes);
  fputs(".SH ENVIRONMENT\n", out);
  put_rows(out, variables);
  fputs(".SH FILES\n.TP\n.I share/genhance/configs\n", out);
  put_line(out, "Run configurations, one per published setting, below the installation's prefix.");
}
