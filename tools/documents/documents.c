#include "documents.h"

#include <string.h>
#include <sys/stat.h>

gh_value gh_value_of(const gh_option *option) {
  static const struct {
    const char *argument;
    gh_value value;
  } values[] = {{"DIR", GH_VALUE_FOLDER}, {"FILE", GH_VALUE_FILE},  {"PATH", GH_VALUE_FILE},
                {"ID", GH_VALUE_DEVICE},  {"A,B", GH_VALUE_DEVICE}, {"LIST", GH_VALUE_DEVICE}};
  if (!strcmp(option->name, "arch")) return GH_VALUE_ARCH;
  if (!option->argument) return GH_VALUE_ANY;
  for (size_t i = 0; i < GH_COUNT(values); i++)
    if (!strcmp(values[i].argument, option->argument)) return values[i].value;
  return strchr(option->argument, '.') ? GH_VALUE_FILE : GH_VALUE_ANY; /* "RUN.json" */
}

void gh_page_name(char out[GH_PAGE_NAME_SIZE], const char *command) {
  snprintf(out, GH_PAGE_NAME_SIZE, "genhance-%s", command);
  for (char *c = out; *c; c++)
    if (*c == ' ') *c = '-';
}

/* Prints a failure and returns NULL. */
static FILE *create(const char *folder, const char *name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  FILE *out = fopen(path, "w");
  if (!out) perror(path);
  return out;
}

static bool finish(FILE *out) {
  bool failed = ferror(out);
  return !(fclose(out) || failed);
}

static bool write_pages(const char *folder) {
  char name[GH_PAGE_NAME_SIZE], file[GH_PAGE_NAME_SIZE + 8];
  FILE *out = create(folder, "man/genhance.1");
  if (!out) return false;
  gh_write_main_page(out);
  if (!finish(out)) return false;
  for (int i = 0; gh_commands[i]; i++) {
    gh_page_name(name, gh_commands[i]->name);
    snprintf(file, sizeof file, "man/%s.1", name);
    if (!(out = create(folder, file))) return false;
    const bool written = gh_write_command_page(out, gh_commands[i]);
    if (!finish(out) || !written) return false;
  }
  return true;
}

static bool write_completion(const char *folder, const char *name, void (*write)(FILE *out)) {
  FILE *out = create(folder, name);
  if (!out) return false;
  write(out);
  return finish(out);
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: make_documents FOLDER   (which contains a folder man)\n");
    return 2;
  }
  bool done = write_pages(argv[1]) && write_completion(argv[1], "genhance.bash", gh_write_bash) &&
              write_completion(argv[1], "_genhance", gh_write_zsh);
  return done ? 0 : 1;
}
