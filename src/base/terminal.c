#include "base/terminal.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define USUAL_WIDTH 80

bool gh_terminal_is(int fd) {
  const char *kind = getenv("TERM");
  return isatty(fd) && kind && *kind && strcmp(kind, "dumb") != 0;
}

int gh_terminal_width(int fd) {
  struct winsize size;
  if (!ioctl(fd, TIOCGWINSZ, &size) && size.ws_col) return size.ws_col;
  const char *columns = getenv("COLUMNS");
  long width = columns ? strtol(columns, NULL, 10) : 0;
  return width > 0 && width < 10000 ? (int)width : USUAL_WIDTH;
}

bool gh_terminal_colours(int fd) {
  const char *unwanted = getenv("NO_COLOR");
  return gh_terminal_is(fd) && (!unwanted || !*unwanted);
}
