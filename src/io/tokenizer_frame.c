/* The marks around a line, where tokenizer.json has a template for them. */
#include "io/tokenizer_internal.h"

#include <string.h>

/* Sets the texts of the marks in front of a line and behind it; NULL: there is none. */
static gh_status read_template(gh_error *err, const gh_json *processor, const char *marks[2]) {
  const char *type = NULL;
  int place = 0; /* behind the line's own tokens: 1 */
  marks[0] = marks[1] = NULL;
  if (gh_json_type_of(processor) == GH_JSON_NULL) return GH_OK;
  gh_status status = gh_json_get_string(err, processor, "type", &type);
  if (!status && strcmp(type, "TemplateProcessing"))
    status = gh_fail(err, GH_ERROR_UNSUPPORTED, "a post_processor of type %.40s is not supported", type);
  const gh_json *item = status ? NULL : gh_json_first(gh_json_member(processor, "single"));
  for (; item && !status; item = gh_json_next(item)) {
    const gh_json *mark = gh_json_member(item, "SpecialToken");
    if (!mark) {
      place = 1;
    } else if (marks[place]) {
      status = gh_fail(err, GH_ERROR_UNSUPPORTED, "post_processor: two marks on one side are not supported");
    } else {
      status = gh_json_get_string(err, mark, "id", &marks[place]);
    }
  }
  return status;
}

static gh_status find_mark(gh_error *err, const gh_tokenizer *t, const char *text, int32_t *id) {
  *id = t->kind->find(t, text);
  for (size_t i = 0; i < t->added_count; i++)
    if (!strcmp(t->added[i].text, text)) *id = t->added[i].id;
  if (*id >= 0) return GH_OK;
  return gh_fail(err, GH_ERROR_FORMAT, "post_processor: %.40s is not a token", text);
}

gh_status gh_tokenizer_read_frame(gh_error *err, gh_tokenizer *t, const gh_json *tokenizer) {
  const char *marks[2];
  gh_status status = read_template(err, gh_json_member(tokenizer, "post_processor"), marks);
  t->begins = marks[0];
  t->ends = marks[1];
  if (!status && t->begins) status = find_mark(err, t, marks[0], &t->begin);
  if (!status && t->ends) status = find_mark(err, t, marks[1], &t->end);
  return status;
}

bool gh_template_begins(const gh_json *tokenizer) {
  const gh_json *single = gh_json_member(gh_json_member(tokenizer, "post_processor"), "single");
  return gh_json_member(gh_json_first(single), "SpecialToken") != NULL;
}
