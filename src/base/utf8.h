/* UTF-8, and text that is safe to show: names in files and of files come from strangers, and terminals and browsers
 * obey some characters instead of drawing them. */
#ifndef GH_BASE_UTF8_H
#define GH_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes of the character at text, 0 if it is invalid: overlong forms, surrogates, codes above U+10FFFF. left >= 1.
 * *code is set if it is valid. */
size_t gh_utf8_read(const char *text, size_t left, uint32_t *code);
bool gh_utf8_valid(const char *text, size_t size);

/* Whether a character acts on its surroundings or is invisible: controls (C0, DEL, C1: U+009B starts a terminal's
 * commands), separators of lines and paragraphs, marks and overrides of direction, zero-width and other
 * default-ignorable characters. Variation selectors, which follow emoji, are none. */
bool gh_code_is_hidden(uint32_t code);

/* Replaces every such character, and every byte outside a valid sequence, by '?'. The result is valid UTF-8 and not
 * longer. */
void gh_text_show(char *text);

#endif
