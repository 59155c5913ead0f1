/* JSON: rejected input, exact numbers, printing. */
#include "support/check.h"

#include "base/file.h"
#include "base/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static gh_status parse(gh_error *err, gh_json **out, const char *text) {
  return gh_json_parse(err, out, "doc", text, strlen(text), GH_JSON_MAX_BYTES);
}

static const struct {
  const char *text, *piece;
} refused[] = {
    {"", "the text ends where a value was expected"},
    {"{\"a\":1,\"a\":2}", "duplicate key \"a\""},
    {"[{\"x\":{\"b\":1,\"c\":0,\"b\":1}}]", "duplicate key \"b\""},
    {"{\"a\":1}x", "text after the end"},
    {"{\"a\":1,}", "expected a string in double quotes"},
    {"[1,]", "expected a value"},
    {"[1 2]", "expected ',' or ']'"},
    {"{\"a\" 1}", "expected ':'"},
    {"{'a':1}", "double quotes"},
    {"NaN", "expected a value"},
    {"\xEF\xBB\xBF{}", "a byte order mark"},
    {"[Infinity]", "line 1, column 2: expected a value"},
    {"[-Infinity]", "expected a digit"},
    {"1e999", "beyond the range"},
    {"[\n 01]", "line 2, column 3: a number cannot start with 0"},
    {"+1", "expected a value"},
    {"1.", "expected a digit"},
    {".5", "expected a value"},
    {"1e", "expected a digit"},
    {"0x10", "text after the end"},
    {"1000000000000000000000000000000000000000000000000000000000000000", "longer than 63 characters"},
    {"\"\\u0000\"", "a zero character"},
    {"\"\\ud800\"", "a lone surrogate"},
    {"\"\\ud800\\u0041\"", "a lone surrogate"},
    {"\"\\udc00\"", "a lone surrogate"},
    {"\"\\u12g4\"", "four hexadecimal digits"},
    {"\"\\x\"", "unknown escape"},
    {"\"a\nb\"", "a control character"},
    {"\"abc", "an unterminated string"},
    {"\"\xff\"", "not UTF-8"},
    {"{\"\xc0\x80\":1}", "not UTF-8"},
    {"tru", "expected a value"},
    {"[", "the text ends where a value was expected"},
    {"{", "expected a string in double quotes"},
};

static void test_refused(void **state) {
  (void)state;
  gh_error err;
  gh_json *root;
  for (size_t i = 0; i < GH_COUNT(refused); i++) {
    check_fails(parse(&err, &root, refused[i].text), GH_ERROR_FORMAT, refused[i].piece);
    assert_true(gh_starts_with(err.text, "doc: "));
    assert_null(root);
  }
  static const char zero[] = "{\"a\"\0:1}";
  check_fails(gh_json_parse(&err, &root, "doc", zero, sizeof zero - 1, 100), GH_ERROR_FORMAT, "expected ':'");
  check_fails(gh_json_parse(&err, &root, "doc", "1\0", 2, 100), GH_ERROR_FORMAT, "text after");
  check_fails(gh_json_parse(&err, &root, "doc", "\"a\0\"", 4, 100), GH_ERROR_FORMAT, "a zero byte");
  check_fails(gh_json_parse(&err, &root, "doc", "[1, 2]", 6, 5), GH_ERROR_FORMAT, "exceed the limit of 5");
}

static void test_depth(void **state) {
  (void)state;
  gh_error err = {0};
  gh_json *root;
  char text[2 * (GH_JSON_MAX_DEPTH + 1) + 1];
  for (int depth = GH_JSON_MAX_DEPTH; depth <= GH_JSON_MAX_DEPTH + 1; depth++) {
    memset(text, '[', (size_t)depth);
    memset(text + depth, ']', (size_t)depth);
    text[2 * depth] = 0;
    if (depth == GH_JSON_MAX_DEPTH)
      check_ok(parse(&err, &root, text));
    else
      check_fails(parse(&err, &root, text), GH_ERROR_FORMAT, "deeper than 64");
    gh_json_free(root);
  }
}

static void test_accessors(void **state) {
  (void)state;
  gh_error err = {0};
  gh_json *root;
  double d = 5;
  int64_t i = 5;
  bool b = false;
  const char *s = NULL;
  check_ok(parse(&err, &root,
                 "{\"a\":{\"b\":[1,{\"c\":2.5}]},\"big\":9007199254740991,\"bigger\":9007199254740993,\"n\":null,"
                 "\"t\":true,\"s\":\"\\u00e9\\ud83d\\ude00\",\"x.y\":7,\"A\":8, \"neg\": -3, \"half\":0.5}"));
  check_ok(gh_json_get_double(&err, root, "a.b[1].c", &d));
  assert_true(d == 2.5);
  check_ok(gh_json_get_int(&err, root, "big", &i));
  assert_true(i == GH_JSON_MAX_INTEGER);
  check_ok(gh_json_get_int(&err, root, "A", &i)); /* keys are case-sensitive: "A" is not "a" */
  assert_int_equal(i, 8);
  check_ok(gh_json_get_int(&err, root, "neg", &i));
  assert_int_equal(i, -3);
  check_ok(gh_json_get_bool(&err, root, "t", &b));
  assert_true(b);
  check_ok(gh_json_get_string(&err, root, "s", &s));
  assert_string_equal(s, "\xc3\xa9\xf0\x9f\x98\x80");
  assert_non_null(gh_json_member(root, "x.y"));
  assert_null(gh_json_at(root, "x.y"));
  assert_null(gh_json_at(root, "a.b[2]"));
  assert_null(gh_json_at(root, "a[0]"));
  check_fails(gh_json_get_int(&err, root, "bigger", &i), GH_ERROR_FORMAT, "bigger: ");
  check_fails(gh_json_get_int(&err, root, "half", &i), GH_ERROR_FORMAT, "half: expected an integer, found 0.5");
  check_fails(gh_json_get_double(&err, root, "a.b", &d), GH_ERROR_FORMAT, "a.b: expected a number, found an array");
  check_fails(gh_json_get_string(&err, root, "n", &s), GH_ERROR_FORMAT, "n: expected a string, found null");
  check_fails(gh_json_get_bool(&err, root, "A", &b), GH_ERROR_FORMAT, "A: expected true or false, found a number");
  check_fails(gh_json_get_double(&err, root, "a.z", &d), GH_ERROR_FORMAT, "a.z: missing");
  d = 11;
  check_ok(gh_json_opt_double(&err, root, "a.z", &d));
  check_ok(gh_json_opt_double(&err, root, "n", &d));
  assert_true(d == 11);
  check_fails(gh_json_opt_double(&err, root, "t", &d), GH_ERROR_FORMAT, "t: expected a number");
  assert_int_equal(gh_json_count(root), 10);
  assert_string_equal(gh_json_key(gh_json_first(root)), "a");
  assert_null(gh_json_first(gh_json_member(root, "s")));
  gh_json_free(root);
}

static void test_numbers_round_trip(void **state) {
  (void)state;
  static const double values[] = {0.1,
                                  1e-8,
                                  1.3333333,
                                  3.0,
                                  -0.0,
                                  1e300,
                                  DBL_MIN,
                                  DBL_MAX,
                                  4.9e-324,
                                  1.0 / 3,
                                  123456789012345680.0,
                                  9007199254740991.0,
                                  (double)0.1f,
                                  2e-5};
  gh_error err = {0};
  uint64_t random = 1;
  for (size_t i = 0; i < GH_COUNT(values) + 2000; i++) {
    double value = i < GH_COUNT(values) ? values[i] : ldexp((double)check_random(&random) / 3, (int)i % 600 - 300);
    gh_json *array = gh_json_array(&err), *back;
    char *text;
    double read;
    check_ok(gh_json_put_double(&err, array, NULL, value));
    check_ok(gh_json_print(&err, &text, NULL, array, false));
    check_ok(parse(&err, &back, text));
    check_ok(gh_json_get_double(&err, back, "[0]", &read));
    if (memcmp(&read, &value, sizeof read)) fail_msg("%a became %a through %s", value, read, text);
    free(text);
    gh_json_free(back);
    gh_json_free(array);
  }
}

static void test_print(void **state) {
  (void)state;
  gh_error err = {0};
  gh_json *root = gh_json_object(&err), *list = gh_json_put_array(&err, root, "list");
  char *text;
  size_t size;
  check_ok(gh_json_put_int(&err, list, NULL, 3));
  check_ok(gh_json_put_double(&err, list, NULL, 1e-8));
  check_ok(gh_json_put_string(&err, root, "s", "a\"\\\n\x01\xc3\xa9\xc2\x9b\xe2\x80\xae\xf3\xa0\x81\x81"));
  check_ok(gh_json_put_bool(&err, root, "b", true));
  check_ok(gh_json_put_null(&err, root, "n"));
  assert_non_null(gh_json_put_object(&err, root, "o"));
  check_ok(gh_json_put_int(&err, root, "b", 4)); /* replaces in place */
  check_ok(gh_json_print(&err, &text, &size, root, false));
  assert_string_equal(text, "{\"list\":[3,1e-08],\"s\":\"a\\\"\\\\\\n\\u0001\xc3\xa9\\u009b\\u202e\\udb40\\udc41\","
                            "\"b\":4,\"n\":null,\"o\":{}}");
  assert_int_equal(size, strlen(text));
  free(text);
  check_ok(gh_json_print(&err, &text, NULL, root, true));
  assert_string_equal(text, "{\n  \"list\": [\n    3,\n    1e-08\n  ],\n  \"s\": "
                            "\"a\\\"\\\\\\n\\u0001\xc3\xa9\\u009b\\u202e\\udb40\\udc41\",\n  \"b\": 4,\n"
                            "  \"n\": null,\n  \"o\": {}\n}\n");
  gh_json *back;
  check_ok(parse(&err, &back, text));
  assert_true(gh_json_equal(root, back));
  check_ok(gh_json_put_int(&err, back, "b", 5));
  assert_false(gh_json_equal(root, back));
  free(text);
  gh_json_free(back);
  check_fails(gh_json_put_double(&err, root, "loss", NAN), GH_ERROR_NUMERIC, "loss: ");
  check_fails(gh_json_put_int(&err, root, "i", GH_JSON_MAX_INTEGER + 1), GH_ERROR_ARGUMENT, "i: ");
  check_fails(gh_json_put_string(&err, root, "s", "\xff"), GH_ERROR_FORMAT, "not UTF-8");
  check_fails(gh_json_put_int(&err, list, "key", 1), GH_ERROR_ARGUMENT, "cannot put the key key into an array");
  check_ok(gh_json_put_at(&err, root, "p.q.r", gh_json_array(&err)));
  assert_non_null(gh_json_at(root, "p.q.r"));
  check_fails(gh_json_put_at(&err, root, "s.q", gh_json_array(&err)), GH_ERROR_ARGUMENT, "a string");
  gh_json_free(root);
}

static void test_lists(void **state) {
  (void)state;
  gh_error err = {0};
  gh_json *root = gh_json_object(&err);
  gh_strings names = {0};
  check_ok(gh_strings_add(&err, &names, "a"));
  check_ok(gh_json_put_doubles(&err, root, "d", (double[]){0.5, -2}, 2));
  check_ok(gh_json_put_ints(&err, root, "i", (int64_t[]){7, 8, 9}, 3));
  check_ok(gh_json_put_ints(&err, root, "none", NULL, 0));
  check_ok(gh_json_put_strings(&err, root, "s", &names));
  char *text;
  check_ok(gh_json_print(&err, &text, NULL, root, false));
  assert_string_equal(text, "{\"d\":[0.5,-2],\"i\":[7,8,9],\"none\":[],\"s\":[\"a\"]}");
  free(text);
  check_fails(gh_json_put_doubles(&err, root, "d", (double[]){NAN}, 1), GH_ERROR_NUMERIC, "");
  gh_strings_free(&names);
  gh_json_free(root);
}

static void test_renamed(void **state) {
  (void)state;
  gh_error err = {0};
  gh_json *o = gh_json_object(&err);
  assert_int_equal(gh_json_put_double(&err, o, "flop_per_step", 2.5), GH_OK);
  assert_int_equal(gh_json_put_renamed(&err, o, "flop_per_step", "flop_a_step"), GH_OK);
  double value = 0;
  assert_int_equal(gh_json_get_double(&err, o, "flop_a_step", &value), GH_OK);
  assert_true(value == 2.5);
  gh_json *list = gh_json_put_array(&err, o, "sizes"); /* arrays and objects are copied whole */
  assert_int_equal(gh_json_put_int(&err, list, NULL, 7), GH_OK);
  assert_int_equal(gh_json_put_renamed(&err, o, "sizes", "old_sizes"), GH_OK);
  assert_true(gh_json_equal(gh_json_member(o, "old_sizes"), list));
  gh_json_free(o);
}

static void test_files(void **state) {
  (void)state;
  gh_error err = {0};
  char *folder = check_folder(), *path = check_path(folder, "a.json"), *text;
  gh_json *root, *back;
  check_ok(parse(&err, &root, "{\"a\":[1,2]}"));
  check_ok(gh_json_write_file(&err, path, root));
  check_ok(gh_json_read_file(&err, &back, path, 1000));
  assert_true(gh_json_equal(root, back));
  gh_json_free(back);
  check_ok(gh_file_remove(&err, path));
  check_ok(gh_json_append_line(&err, path, root));
  check_ok(gh_json_append_line(&err, path, root));
  check_ok(gh_file_read(&err, path, 1000, &text, NULL));
  assert_string_equal(text, "{\"a\":[1,2]}\n{\"a\":[1,2]}\n");
  free(text);
  check_fails(gh_json_read_file(&err, &back, path, 1000), GH_ERROR_FORMAT, "a.json: line 2, column 1: text after");
  gh_json_free(root), free(path);
  check_folder_done(folder);
}

static const char sample[] = "{\"model\":{\"hidden\":1024,\"eps\":1e-5,\"names\":[\"a\",\"b\\u00e9\",null,true]},"
                             "\"list\":[[],{},[1,-2.5,3e7]],\"s\":\"x\\n\\\"y\"}";

static gh_status parse_change_print(gh_error *err, void *state) {
  (void)state;
  gh_json *root = NULL, *copy = NULL;
  char *text = NULL;
  gh_status status = parse(err, &root, sample);
  if (!status) status = gh_json_put_string(err, root, "more", "text");
  if (!status) status = gh_json_put_at(err, root, "deep.er", gh_json_array(err));
  if (!status) status = gh_json_put_renamed(err, root, "more", "formerly");
  if (!status) status = gh_json_copy(err, &copy, root);
  if (!status) status = gh_json_print(err, &text, NULL, copy, true);
  free(text);
  gh_json_free(root);
  gh_json_free(copy);
  return status;
}

static void test_allocation_failures(void **state) {
  (void)state;
  check_allocation_failures(parse_change_print, NULL);
}

/* Every mutation of a document is rejected with one line, or accepted, printed and read back unchanged. */
static void test_mutations(void **state) {
  (void)state;
  uint64_t random = 7;
  int accepted = 0;
  for (int round = 0; round < 4000; round++) {
    char bytes[512];
    gh_error err = {0};
    gh_json *root, *back;
    memcpy(bytes, sample, sizeof sample - 1);
    size_t size = check_mutate(bytes, sizeof sample - 1, sizeof bytes, &random);
    char *exact = malloc(size ? size : 1); /* exact size: the sanitizer detects a read past the end */
    memcpy(exact, bytes, size);
    gh_status status = gh_json_parse(&err, &root, "doc", exact, size, sizeof bytes);
    free(exact);
    if (status) {
      assert_int_equal(status, GH_ERROR_FORMAT);
      assert_true(err.text[0] && !strchr(err.text, '\n'));
      continue;
    }
    char *text;
    accepted++;
    check_ok(gh_json_print(&err, &text, NULL, root, true));
    check_ok(parse(&err, &back, text));
    assert_true(gh_json_equal(root, back));
    free(text);
    gh_json_free(root), gh_json_free(back);
  }
  assert_true(accepted > 50); /* otherwise the loop would only test rejections */
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_refused),
      cmocka_unit_test(test_depth),
      cmocka_unit_test(test_accessors),
      cmocka_unit_test(test_numbers_round_trip),
      cmocka_unit_test(test_print),
      cmocka_unit_test(test_lists),
      cmocka_unit_test(test_renamed),
      cmocka_unit_test(test_files),
      cmocka_unit_test(test_allocation_failures),
      cmocka_unit_test(test_mutations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
