/* Completion scripts for bash and zsh. Both complete commands, options, and the values of options. */
#include "documents.h"
#include "models/family.h"

#include <string.h>

/* The first word of a command's name: "bench" of "bench ops". */
static size_t first_word(const gh_command *command) { return strcspn(command->name, " "); }

/* Whether an earlier command has the same first word. */
static bool seen(int at) {
  size_t n = first_word(gh_commands[at]);
  for (int i = 0; i < at; i++)
    if (first_word(gh_commands[i]) == n && !strncmp(gh_commands[i]->name, gh_commands[at]->name, n)) return true;
  return false;
}

static bool has_kinds(const gh_command *command) { return command->name[first_word(command)] == ' '; }

/* The second words of the commands that share gh_commands[at]'s first one. */
static void put_kinds(FILE *out, int at) {
  size_t n = first_word(gh_commands[at]);
  const char *gap = "";
  for (int i = at; gh_commands[i]; i++) {
    if (first_word(gh_commands[i]) != n || strncmp(gh_commands[i]->name, gh_commands[at]->name, n)) continue;
    fprintf(out, "%s%s", gap, gh_commands[i]->name + n + 1);
    gap = " ";
  }
}

static void put_archs(FILE *out) {
  const char *gap = "";
  for (const gh_family *const *f = gh_families; *f; f++)
    for (const gh_arch *a = (*f)->archs; a->name; a++) {
      fprintf(out, "%s%s", gap, a->name);
      gap = " ";
    }
}

/* ---- bash ---- */

/* " VARIABLE='--a --b'": the options of a command whose values are of that kind. */
static void put_bash_list(FILE *out, const gh_command *command, const char *variable, gh_value value) {
  const gh_option *tables[] = {command->options, gh_common_options};
  bool any = false;
  for (size_t t = 0; t < GH_COUNT(tables); t++)
    for (const gh_option *o = tables[t]; o && o->name; o++) {
      if (o->bare || !o->argument || gh_value_of(o) != value) continue;
      fprintf(out, any ? " --%s" : " %s='--%s", any ? o->name : variable, o->name);
      any = true;
    }
  if (any) fputs("'", out);
}

static void put_bash_command(FILE *out, const gh_command *command) {
  const gh_option *tables[] = {command->options, gh_common_options};
  fprintf(out, has_kinds(command) ? "    '%s')\n      options='" : "    '%s '*)\n      options='", command->name);
  const char *gap = "";
  bool bare = false; /* whether it takes a file without an option */
  for (size_t t = 0; t < GH_COUNT(tables); t++)
    for (const gh_option *o = tables[t]; o && o->name; o++) {
      bare = bare || o->bare;
      if (o->bare) continue;
      fprintf(out, "%s--%s", gap, o->name);
      gap = " ";
    }
  fputs(bare ? "' bare=yes\n     " : "'\n     ", out);
  put_bash_list(out, command, "files", GH_VALUE_FILE);
  put_bash_list(out, command, "folders", GH_VALUE_FOLDER);
  put_bash_list(out, command, "devices", GH_VALUE_DEVICE);
  put_bash_list(out, command, "archs", GH_VALUE_ARCH);
  put_bash_list(out, command, "others", GH_VALUE_ANY);
  fputs(" ;;\n", out);
}

static const char bash_head[] =
    "# bash completion of genhance; made by tools/documents from the command tables\n"
    "_genhance() {\n"
    "  local words word before options='' files='' folders='' devices='' archs='' others='' bare='' colons\n"
    "  # Bash splits words at colons, which device names contain, so the line itself is read.\n"
    "  read -ra words <<<\"${COMP_LINE:0:COMP_POINT}\"\n"
    "  [[ ${COMP_LINE:0:COMP_POINT} != *[[:space:]] ]] || words+=('')\n"
    "  [ ${#words[@]} -ge 2 ] || return 0\n"
    "  word=${words[-1]} before=${words[-2]} COMPREPLY=()\n";

static const char bash_tail[] = "    *) return 0 ;;\n"
                                "  esac\n"
                                "  case $before in\n"
                                "    --*) ;;\n"
                                "    *) before='' ;;\n"
                                "  esac\n"
                                "  if [ -n \"$before\" ] && [[ \" $files \" == *\" $before \"* ]]; then\n"
                                "    compopt -o filenames 2>/dev/null\n"
                                "    mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
                                "  elif [ -n \"$before\" ] && [[ \" $folders \" == *\" $before \"* ]]; then\n"
                                "    compopt -o filenames 2>/dev/null\n"
                                "    mapfile -t COMPREPLY < <(compgen -d -- \"$word\")\n"
                                "  elif [ -n \"$before\" ] && [[ \" $devices \" == *\" $before \"* ]]; then\n"
                                "    mapfile -t COMPREPLY < <(compgen -W \"auto $(\"${words[0]}\" devices 2>/dev/null "
                                "| sed -n 's/^\\([a-z]*:[0-9][0-9]*\\)  *[CG]PU "
                                ".*/\\1/p')\" -- \"$word\")\n"
                                "    colons=${word%\"${word##*:}\"}\n"
                                "    [[ $COMP_WORDBREAKS != *:* ]] || COMPREPLY=(\"${COMPREPLY[@]#\"$colons\"}\")\n"
                                "  elif [ -n \"$before\" ] && [[ \" $archs \" == *\" $before \"* ]]; then\n"
                                "    mapfile -t COMPREPLY < <(compgen -W '";

void gh_write_bash(FILE *out) {
  fputs(bash_head, out);
  fputs("  if [ ${#words[@]} = 2 ]; then\n    mapfile -t COMPREPLY < <(compgen -W '", out);
  for (int i = 0; gh_commands[i]; i++)
    if (!seen(i)) fprintf(out, "%.*s ", (int)first_word(gh_commands[i]), gh_commands[i]->name);
  fputs("--help --version' -- \"$word\")\n    return 0\n  fi\n  case ${words[1]}:${#words[@]} in\n", out);
  for (int i = 0; gh_commands[i]; i++) {
    if (seen(i) || !has_kinds(gh_commands[i])) continue;
    fprintf(out, "    %.*s:3)\n      mapfile -t COMPREPLY < <(compgen -W '", (int)first_word(gh_commands[i]),
            gh_commands[i]->name);
    put_kinds(out, i);
    fputs("' -- \"$word\")\n      return 0 ;;\n", out);
  }
  fputs("  esac\n  case \"${words[1]} ${words[2]}\" in\n", out);
  for (int i = 0; gh_commands[i]; i++) put_bash_command(out, gh_commands[i]);
  fputs(bash_tail, out);
  put_archs(out);
  fputs("' -- \"$word\")\n"
        "  elif [ -z \"$before\" ] && [ -n \"$bare\" ] && [[ $word != -* ]]; then\n"
        "    compopt -o filenames 2>/dev/null\n"
        "    mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
        "  elif [ -z \"$before\" ] || [[ \" $others \" != *\" $before \"* ]]; then\n"
        "    mapfile -t COMPREPLY < <(compgen -W \"$options\" -- \"$word\")\n"
        "  fi\n}\ncomplete -F _genhance genhance\n",
        out);
}

/* ---- zsh ---- */

/* Inside single quotes, with the characters in `special` escaped. */
static void put_zsh_text(FILE *out, const char *text, const char *special) {
  for (const char *c = text; *c; c++) {
    if (*c == '\'')
      fputs("'\\''", out);
    else
      fprintf(out, strchr(special, *c) ? "\\%c" : "%c", *c);
  }
}

/* "'*--set[override a key]:KEY=VALUE: '" */
static void put_zsh_option(FILE *out, const gh_option *o) {
  static const char *const actions[] = {[GH_VALUE_ANY] = " ",
                                        [GH_VALUE_FILE] = "_files",
                                        [GH_VALUE_FOLDER] = "_files -/",
                                        [GH_VALUE_DEVICE] = "_genhance_devices"};
  if (o->bare) {
    fprintf(out, " \\\n        '%s:%s:%s'", o->kind == GH_OPTION_LIST ? "*" : "", o->argument, actions[gh_value_of(o)]);
    return;
  }
  fprintf(out, " \\\n        '%s--%s[", o->kind == GH_OPTION_LIST ? "*" : "", o->name);
  put_zsh_text(out, o->help, "[]\\");
  fputs("]", out);
  if (o->argument) {
    fputs(":", out);
    put_zsh_text(out, o->argument, ":\\");
    fputs(":", out);
    if (gh_value_of(o) == GH_VALUE_ARCH) {
      fputs("(", out);
      put_archs(out);
      fputs(")", out);
    } else {
      fputs(actions[gh_value_of(o)], out);
    }
  }
  fputs("'", out);
}

static void put_zsh_command(FILE *out, const gh_command *command) {
  const gh_option *tables[] = {command->options, gh_common_options};
  fprintf(out, "    ('%s')\n      _arguments", command->name);
  for (size_t t = 0; t < GH_COUNT(tables); t++)
    for (const gh_option *o = tables[t]; o && o->name; o++) put_zsh_option(out, o);
  fputs(" ;;\n", out);
}

/* "'NAME:SUMMARY'" for _describe. */
static void put_zsh_name(FILE *out, const char *name, int length, const char *summary) {
  fprintf(out, "      '%.*s:", length, name);
  put_zsh_text(out, summary, ":\\");
  fputs("'\n", out);
}

static const char zsh_head[] =
    "#compdef genhance\n"
    "# made by tools/documents from the command tables\n"
    "_genhance_devices() {\n"
    "  local -a ids\n"
    "  ids=(auto ${(f)\"$(genhance devices 2>/dev/null | sed -n 's/^\\([a-z]*:[0-9][0-9]*\\)  *[CG]PU .*/\\1/p')\"})\n"
    "  compadd -a ids\n"
    "}\n"
    "_genhance() {\n"
    "  local -a names\n"
    "  local command=$words[2]\n";

void gh_write_zsh(FILE *out) {
  fputs(zsh_head, out);
  fputs("  if (( CURRENT == 2 )); then\n    names=(\n", out);
  for (int i = 0; gh_commands[i]; i++) {
    if (seen(i)) continue;
    put_zsh_name(out, gh_commands[i]->name, (int)first_word(gh_commands[i]),
                 has_kinds(gh_commands[i]) ? "a family of commands" : gh_commands[i]->summary);
  }
  fputs("    )\n    _describe command names\n    return\n  fi\n  case $words[2] in\n", out);
  for (int i = 0; gh_commands[i]; i++) {
    if (seen(i) || !has_kinds(gh_commands[i])) continue;
    size_t n = first_word(gh_commands[i]);
    fprintf(out, "    (%.*s)\n      if (( CURRENT == 3 )); then\n        names=(", (int)n, gh_commands[i]->name);
    put_kinds(out, i);
    fputs(")\n        _describe kind names\n        return\n      fi\n      command=\"$words[2] $words[3]\"\n"
          "      shift words\n      (( CURRENT-- )) ;;\n",
          out);
  }
  fputs("  esac\n  shift words\n  (( CURRENT-- ))\n  case $command in\n", out);
  for (int i = 0; gh_commands[i]; i++) put_zsh_command(out, gh_commands[i]);
  fputs("  esac\n}\n_genhance \"$@\"\n", out);
}
