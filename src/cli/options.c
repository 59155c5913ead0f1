/* Options of a command: parsing with getopt_long from its table and the common one, defaults, checks, help. */
#include "cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_OPTIONS 48
#define HELP_WIDTH  80 /* columns of --help */

const gh_option gh_common_options[] = {
    {"device", "ID", GH_OPTION_TEXT, .help = "device; `genhance devices` lists them", .initial = "auto"},
    {"json", "FILE", GH_OPTION_TEXT, .help = "also write the results to FILE as JSON; - is standard output"},
    {"quiet", NULL, GH_OPTION_FLAG, .letter = 'q',
     .help = "no notes and no line per update; warnings and a terminal's status line remain"},
    {"verbose", NULL, GH_OPTION_FLAG, .letter = 'v', .help = "print every detail, and notes for debugging"},
    {"help", NULL, GH_OPTION_FLAG, .letter = 'h', .help = "print this help and exit"},
    {0},
};

struct gh_option_value {
  const gh_option *option; /* NULL: the end */
  const char *text;        /* as given, else the default */
  int64_t number;
  double real;
  bool given;
  gh_strings list;
};

/* ---- access ---- */

static const struct gh_option_value *value_of(const gh_args *args, const char *name) {
  const struct gh_option_value *v = args->own;
  while (v->option && strcmp(v->option->name, name)) v++;
  assert(v->option && "the option is not in the command's table");
  return v;
}

const char *gh_args_text(const gh_args *args, const char *name) { return value_of(args, name)->text; }
int64_t gh_args_int(const gh_args *args, const char *name) { return value_of(args, name)->number; }
double gh_args_real(const gh_args *args, const char *name) { return value_of(args, name)->real; }
bool gh_args_flag(const gh_args *args, const char *name) { return value_of(args, name)->given; }
bool gh_args_given(const gh_args *args, const char *name) { return value_of(args, name)->given; }
const gh_strings *gh_args_list(const gh_args *args, const char *name) { return &value_of(args, name)->list; }

void gh_args_drop(const gh_args *args, const char *name) {
  struct gh_option_value *v = args->own;
  while (v != value_of(args, name)) v++;
  v->text = NULL;
  v->given = false;
}

/* ---- parsing ---- */

/* "--out DIR"; "--quiet, -q"; "FILE" for a bare word. */
static int option_text(char *out, size_t size, const gh_option *o) {
  if (o->bare) return snprintf(out, size, "%s", o->argument);
  if (o->letter) return snprintf(out, size, "--%s, -%c", o->name, o->letter);
  return snprintf(out, size, "--%s%s%s", o->name, o->argument ? " " : "", o->argument ? o->argument : "");
}

static gh_status fill_table(gh_error *err, gh_args *args) {
  args->own = gh_alloc(err, MAX_OPTIONS + 1, sizeof *args->own);
  if (!args->own) return GH_ERROR_MEMORY;
  int n = 0;
  const gh_option *tables[] = {args->command->options, gh_common_options};
  for (size_t t = 0; t < GH_COUNT(tables); t++)
    for (const gh_option *o = tables[t]; o && o->name; o++) {
      assert(n < MAX_OPTIONS);
      args->own[n++].option = o;
    }
  return GH_OK;
}

static gh_status ambiguous(gh_error *err, const gh_args *args, const char *const *names, size_t count,
                           const char *plain) {
  char list[256] = "";
  size_t used = 0;
  for (size_t i = 0; i < count && used < sizeof list; i++)
    if (gh_starts_with(names[i], plain))
      used += (size_t)snprintf(list + used, sizeof list - used, "%s--%s", used ? ", " : "", names[i]);
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --%s is ambiguous: %s", args->command->name, plain, list);
}

static gh_status unknown_option(gh_error *err, const gh_args *args, const char *word) {
  const char *names[MAX_OPTIONS];
  size_t n = 0;
  int matches = 0;
  char plain[64];
  snprintf(plain, sizeof plain, "%s", word + strspn(word, "-"));
  plain[strcspn(plain, "=")] = 0;
  for (const struct gh_option_value *v = args->own; v->option; v++) {
    if (v->option->bare) continue;
    names[n++] = v->option->name;
    matches += gh_starts_with(v->option->name, plain) && word[0] == '-' && word[1] == '-';
    if (!strcmp(v->option->name, plain)) /* getopt found it but rejected an argument */
      return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --%s takes no argument", args->command->name, plain);
  }
  if (matches > 1 && *plain) return ambiguous(err, args, names, n, plain);
  const char *nearest = gh_nearest(plain, names, n);
  if (nearest)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: unknown option %s; did you mean --%s?", args->command->name, word,
                   nearest);
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: unknown option %s; `genhance %s --help` lists them", args->command->name,
                 word, args->command->name);
}

static gh_status read_number(gh_error *err, const gh_args *args, struct gh_option_value *v) {
  const gh_option *o = v->option;
  bool open = !o->least && !o->most;
  long long least = open ? 0 : o->least, most = open ? GH_JSON_MAX_INTEGER : o->most;
  char *end = NULL;
  errno = 0;
  long long number = strtoll(v->text, &end, 10);
  bool bad = errno || end == v->text || *end || number < least || number > most;
  v->number = number;
  if (!bad) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --%s is \"%s\"; expected a whole number from %lld to %lld",
                 args->command->name, o->name, v->text, least, most);
}

static gh_status read_real(gh_error *err, const gh_args *args, struct gh_option_value *v) {
  const gh_option *o = v->option;
  const double most = o->most ? (double)o->most : (double)GH_JSON_MAX_INTEGER;
  char *end = NULL;
  v->real = strtod(v->text, &end);
  if (end != v->text && !*end && v->real > 0 && v->real <= most) return GH_OK;
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --%s is \"%s\"; expected a number above 0, at most %g",
                 args->command->name, o->name, v->text, most);
}

/* Applies defaults, reads numbers and checks required options. */
static gh_status finish(gh_error *err, gh_args *args) {
  for (struct gh_option_value *v = args->own; v->option; v++) {
    const gh_option *o = v->option;
    char shown[64];
    option_text(shown, sizeof shown, o);
    if (!v->given && o->required)
      return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %s is missing", args->command->name, shown);
    shown[strcspn(shown, " ")] = 0;
    if (v->given && o->kind != GH_OPTION_FLAG && !*v->text)
      return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %s is empty", args->command->name, shown);
    if (!v->given) v->text = o->initial;
    if (v->text && o->kind == GH_OPTION_INT && read_number(err, args, v)) return err->status;
    if (v->text && o->kind == GH_OPTION_REAL && read_real(err, args, v)) return err->status;
  }
  return GH_OK;
}

static gh_status take(gh_error *err, gh_args *args, struct gh_option_value *v, const char *text) {
  if (v->given && v->option->kind != GH_OPTION_LIST && v->option->kind != GH_OPTION_FLAG)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: --%s is given twice", args->command->name, v->option->name);
  v->given = true;
  v->text = text;
  return v->option->kind == GH_OPTION_LIST ? gh_strings_add(err, &v->list, text) : GH_OK;
}

/* getopt's table. A bare word's option has no name there that could be typed. */
static void fill_getopt(const gh_args *args, struct option *longs) {
  int n = 0;
  for (int i = 0; args->own[i].option; i++) {
    const gh_option *o = args->own[i].option;
    if (o->bare) continue;
    longs[n++] =
        (struct option){.name = o->name, .has_arg = o->argument ? required_argument : no_argument, .val = 256 + i};
  }
}

/* ":" first: a missing argument is told apart from an unknown option. "+": a word without a name ends the options. */
static void fill_letters(const gh_args *args, char *letters) {
  letters += sprintf(letters, "+:");
  for (int i = 0; args->own[i].option; i++)
    if (args->own[i].option->letter) letters += sprintf(letters, "%c", args->own[i].option->letter);
}

static struct gh_option_value *value_of_letter(gh_args *args, int letter) {
  struct gh_option_value *v = args->own;
  while (v->option && v->option->letter != letter) v++;
  return v;
}

/* The option that a word without a name belongs to. */
static gh_status take_bare(gh_error *err, gh_args *args, const char *word) {
  for (struct gh_option_value *v = args->own; v->option; v++)
    if (v->option->bare && (!v->given || v->option->kind == GH_OPTION_LIST)) return take(err, args, v, word);
  return gh_fail(err, GH_ERROR_ARGUMENT, "%s: unexpected argument %s", args->command->name, word);
}

gh_status gh_args_parse(gh_error *err, gh_args *args, const gh_command *command, int argc, char **argv, int first,
                        bool *help) {
  *args = (gh_args){.command = command};
  *help = false;
  if (fill_table(err, args)) return err->status;
  struct option longs[MAX_OPTIONS + 1] = {{0}};
  char letters[MAX_OPTIONS + 3];
  fill_getopt(args, longs);
  fill_letters(args, letters);
  /* getopt keeps its position in globals: the word before the options serves as argv[0], and optind = 0 restarts it. */
  int c, at = 1, count = argc - first + 1;
  char **words = argv + first - 1;
  opterr = 0;
  optind = 0;
  while ((c = getopt_long(count, words, letters, longs, NULL)) != -1 || optind < count) {
    if (c == ':') return gh_fail(err, GH_ERROR_ARGUMENT, "%s: %s needs an argument", command->name, words[at]);
    if (c == '?') return unknown_option(err, args, words[at]);
    struct gh_option_value *v = c == -1 ? NULL : c < 256 ? value_of_letter(args, c) : &args->own[c - 256];
    if (v && v->option->letter == 'h') {
      *help = true;
      return GH_OK;
    }
    if (v ? take(err, args, v, optarg) : take_bare(err, args, words[optind++])) return err->status;
    at = optind;
  }
  return finish(err, args);
}

void gh_args_free(gh_args *args) {
  for (struct gh_option_value *v = args->own; v && v->option; v++) gh_strings_free(&v->list);
  free(args->own);
  gh_json_free(args->result);
  *args = (gh_args){0};
}

/* ---- help ---- */

/* How far the rest of a line hangs: "  NAME  text" goes on below its text. */
static size_t hanging(const char *text) {
  if (strncmp(text, "  ", 2)) return 0;
  const size_t line = strcspn(text, "\n");
  const char *gap = strstr(text + 2, "  ");
  if (!gap || gap >= text + line) return 0;
  return (size_t)(gap - text) + strspn(gap, " ");
}

/* Prints text, breaking lines longer than HELP_WIDTH at spaces. Every line but the first starts at column `indent`;
 * the first is already there. */
static void print_wrapped(const char *text, size_t indent) {
  size_t hang = hanging(text), left = indent; /* `left`: where this line begins */
  for (;;) {
    const size_t room = HELP_WIDTH - left;
    size_t line = strcspn(text, "\n"), n = line;
    if (line > room) {
      for (n = room; n > 0 && text[n] != ' ';) n--;
      if (!n) n = strcspn(text, " \n"); /* a word longer than the line */
    }
    printf("%.*s\n", (int)n, text);
    if (!text[n]) return;
    bool ended = text[n] == '\n';
    text += n + 1;
    if (ended) hang = hanging(text);
    left = ended ? indent : indent + hang;
    if (*text != '\n') printf("%*s", (int)left, "");
  }
}

static void print_options(const gh_option *options, int width) {
  for (const gh_option *o = options; o && o->name; o++) {
    char text[96], help[512];
    option_text(text, sizeof text, o);
    snprintf(help, sizeof help, "%s%s%s%s%s", o->help, o->initial ? " (default " : "", o->initial ? o->initial : "",
             o->initial ? ")" : "", o->kind == GH_OPTION_LIST ? " (may be repeated)" : "");
    printf("  %-*s  ", width, text);
    print_wrapped(help, (size_t)width + 4);
  }
}

/* A word of the usage line, on a new line if it does not fit. */
static void print_word(const char *word, int *column) {
  if (*column + 1 + (int)strlen(word) > HELP_WIDTH) *column = printf("\n      ") - 1;
  *column += printf(" %s", word);
}

gh_status gh_command_details(gh_error *err, const gh_command *command, char **out) {
  gh_strings lines = {0};
  gh_status status = command->more_details ? command->more_details(err, &lines) : GH_OK;
  *out = status ? NULL : gh_strdup(err, command->details ? command->details : "");
  for (size_t i = 0; i < lines.count && *out; i++) {
    char *longer = gh_format(err, "%s%s%s", *out, i ? "\n" : "\n\n", lines.items[i]);
    free(*out);
    *out = longer;
  }
  gh_strings_free(&lines);
  return status ? status : *out ? GH_OK : GH_ERROR_MEMORY;
}

gh_status gh_command_help(gh_error *err, const gh_command *command) {
  const gh_option *tables[] = {command->options, gh_common_options};
  char text[96], *details;
  gh_status status = gh_command_details(err, command, &details);
  if (status) return status;
  int width = 0, column = printf("usage: genhance %s", command->name);
  for (size_t t = 0; t < GH_COUNT(tables); t++)
    for (const gh_option *o = tables[t]; o && o->name; o++) {
      int n = option_text(text, sizeof text, o);
      width = GH_MAX(width, n);
      if (o->required) print_word(text, &column);
    }
  print_word("[options]", &column);
  printf("\n\n");
  print_wrapped(command->summary, 0);
  if (*details) {
    printf("\n");
    print_wrapped(details, 0);
  }
  free(details);
  printf("\noptions:\n");
  for (size_t t = 0; t < GH_COUNT(tables); t++) print_options(tables[t], width);
  return GH_OK;
}
