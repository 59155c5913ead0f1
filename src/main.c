/* The entry point: the only place that prints an error or ends the process. */
#include "base/log.h"
#include "cli/cli.h"
#include "io/mapping.h"

#include <signal.h>

int main(int argc, char **argv) {
  gh_error err = {0};
  signal(SIGXFSZ, SIG_IGN); /* a file at its size limit (ulimit -f) is then a failed write, not a dead process */
  signal(SIGPIPE, SIG_IGN); /* so is a closed pipe: `train | head` goes on, and its state is written */
  gh_mapping_take_faults();
  gh_status status = gh_cli_main(&err, argc, argv);
  if (!status) status = gh_mapping_check_all(&err);
  if (status) gh_print_failure("genhance", err.text);
  return gh_cli_exit_code(status);
}
