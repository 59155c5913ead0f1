/* What a terminal can show: its width at this moment, and colours. */
#ifndef GH_BASE_TERMINAL_H
#define GH_BASE_TERMINAL_H

#include <stdbool.h>
#include <stddef.h>

/* Whether fd is a terminal that obeys escape sequences: TERM is neither empty nor "dumb". */
bool gh_terminal_is(int fd);

/* Columns of the terminal behind fd, asked anew at every call; $COLUMNS where it does not say, else 80. */
int gh_terminal_width(int fd);

/* Whether text to fd may be coloured: a terminal, and NO_COLOR is absent or empty (https://no-color.org). */
bool gh_terminal_colours(int fd);

#define GH_TERMINAL_CLEAR  "\r\033[K" /* empties the line that the cursor is in */
#define GH_TERMINAL_RED    "\033[31m"
#define GH_TERMINAL_GREEN  "\033[32m"
#define GH_TERMINAL_YELLOW "\033[33m"
#define GH_TERMINAL_PLAIN  "\033[0m"

#endif
