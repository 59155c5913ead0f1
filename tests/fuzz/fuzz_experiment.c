/* Tables of runs: an experiment or a sweep file. An accepted one has runs, and everything has a name. */
#include "experiment/plan.h"
#include "fuzz.h"

const char *const fuzz_words[] = {"\"runs\": [{",
                                  "\"name\": \"a\"",
                                  "\"config\": \"c.json\"",
                                  "\"set\": [\"seed=1\"]",
                                  "\"paper\": 31.9",
                                  "\"evaluate\": [{\"kind\": \"mmvp\", \"data\": \"d\"}]",
                                  "\"prepare\": [",
                                  "\"command\": [\"scenes\"]",
                                  "\"seeds\": [0, 1]",
                                  "\"baseline\": \"a\"",
                                  "\"output\": \"o\"",
                                  "\"snapshot\": \"best\"",
                                  "\"options\": [\"--limit\", \"64\"]",
                                  "\t",
                                  "\n#",
                                  "\t-\n",
                                  NULL};

/* The first byte: which of the two kinds. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  gh_error err = {0};
  gh_experiment x;
  const gh_strings none = {0};
  const gh_experiment_options options = {.output = "o", .sets = &none};
  if (!size) return 0;
  const char *path = fuzz_file(data[0] % 2 ? "x.tsv" : "x.json", data + 1, size - 1);
  if (gh_experiment_read(&err, &x, path, &options)) {
    FUZZ_CHECK(err.text[0]);
  } else {
    FUZZ_CHECK(x.run_count && x.seeds.count && x.baseline < x.run_count);
    for (size_t i = 0; i < x.run_count; i++) FUZZ_CHECK(x.runs[i].name && x.runs[i].name[0] && x.runs[i].config);
    for (size_t i = 0; i < x.evaluation_count; i++) FUZZ_CHECK(x.evaluations[i].kind && x.evaluations[i].name);
  }
  gh_experiment_free(&x);
  fuzz_clear();
  return 0;
}
