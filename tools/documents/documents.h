/* Manual pages and shell completions, generated from the tables that parse the command line, so that they describe what
 * the program accepts. `make_documents FOLDER` writes FOLDER/man/genhance*.1, FOLDER/genhance.bash and
 * FOLDER/_genhance. */
#ifndef GH_TOOLS_DOCUMENTS_H
#define GH_TOOLS_DOCUMENTS_H

#include "cli/cli.h"

#include <stdio.h>

void gh_write_main_page(FILE *out);                               /* genhance.1 */
bool gh_write_command_page(FILE *out, const gh_command *command); /* genhance-bench-ops.1 */
void gh_write_bash(FILE *out);
void gh_write_zsh(FILE *out);

/* How a shell completes an option's value, determined by the value's name in --help. */
typedef enum gh_value { GH_VALUE_ANY, GH_VALUE_FILE, GH_VALUE_FOLDER, GH_VALUE_DEVICE, GH_VALUE_ARCH } gh_value;
gh_value gh_value_of(const gh_option *option);

#define GH_PAGE_NAME_SIZE 80
void gh_page_name(char out[GH_PAGE_NAME_SIZE], const char *command); /* "bench ops" -> "genhance-bench-ops" */

#endif
