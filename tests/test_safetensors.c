/* Safetensors: the official package's file, hostile files, sharded sets, and our own output. */
#include "support/check.h"

#include "base/file.h"
#include "io/safetensors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define MIXED GH_FIXTURES "/safetensors/mixed.safetensors"

/* ---- reading ---- */

static void test_official_file(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *file;
  check_ok(gh_safetensors_open(&err, &file, MIXED));
  assert_int_equal(gh_safetensors_count(file), 11);
  for (size_t i = 1; i < gh_safetensors_count(file); i++)
    assert_true(strcmp(gh_safetensors_at(file, i - 1)->name, gh_safetensors_at(file, i)->name) < 0);
  assert_string_equal(gh_safetensors_metadata(file, "note"), "caf\xc3\xa9 \"quoted\"");
  assert_null(gh_safetensors_metadata(file, "absent"));
  assert_int_equal(gh_safetensors_metadata_count(file), 1);
  const char *key, *value;
  gh_safetensors_metadata_at(file, 0, &key, &value);
  assert_string_equal(gh_safetensors_metadata(file, key), value);

  static const struct {
    const char *name;
    float third; /* 1/3 in that dtype */
  } floats[] = {{"f64", 0.33333334f}, {"f32", 0.33333334f}, {"f16", 0.33325195f}, {"bf16", 0.33398438f}};
  const int64_t shape[] = {2, 3};
  for (size_t i = 0; i < GH_COUNT(floats); i++) {
    float x[6];
    check_ok(gh_safetensors_load_f32(&err, file, floats[i].name, 2, shape, x));
    assert_true(x[0] == 0 && x[1] == 1 && x[2] == -2.5f && x[3] == floats[i].third && x[5] == -6.103515625e-05f);
    assert_true(x[4] == (i == 3 ? 65536.0f : 65504.0f));
    check_ok(gh_st_read_f32(&err, gh_safetensors_find(file, floats[i].name), 2, 2, x)); /* a slice */
    assert_true(x[0] == -2.5f && x[1] == floats[i].third && x[2] == -2.5f);
  }
  static const struct {
    const char *name;
    int64_t values[3];
  } integers[] = {{"i64", {-1, 0, INT64_C(1) << 40}},
                  {"i32", {-7, INT32_MAX}},
                  {"i16", {-300, 300}},
                  {"u8", {0, 255, 7}},
                  {"bool", {1, 0, 1}}};
  for (size_t i = 0; i < GH_COUNT(integers); i++) {
    int64_t x[3];
    const gh_st_tensor *t = gh_safetensors_find(file, integers[i].name);
    check_ok(gh_st_read_i64(&err, t, 0, t->elements, x));
    for (int64_t j = 0; j < t->elements; j++) assert_true(x[j] == integers[i].values[j]);
  }
  const gh_st_tensor *scalar = gh_safetensors_find(file, "scalar"), *empty = gh_safetensors_find(file, "empty");
  assert_int_equal(scalar->rank, 0);
  assert_int_equal(scalar->elements, 1);
  assert_int_equal(empty->elements, 0);
  assert_int_equal(empty->bytes, 0);
  gh_safetensors_close(file);
}

static void test_expect(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *file;
  const gh_st_tensor *t;
  float x[9];
  const int64_t any[] = {-1, 3}, wrong[] = {3, 2}, list[] = {3};
  check_ok(gh_safetensors_open(&err, &file, MIXED));
  check_ok(gh_safetensors_expect(&err, file, "f32", 2, any, &t));
  assert_string_equal(t->name, "f32");
  check_fails(gh_safetensors_expect(&err, file, "f32", 2, wrong, &t), GH_ERROR_FORMAT,
              "mixed.safetensors: tensor \"f32\" is F32 of shape 2x3, expected floats of shape 3x2");
  check_fails(gh_safetensors_expect(&err, file, "f32", 1, list, &t), GH_ERROR_FORMAT, "expected floats of shape 3");
  check_fails(gh_safetensors_expect(&err, file, "u8", 1, list, &t), GH_ERROR_FORMAT, "\"u8\" is U8 of shape 3");
  check_fails(gh_safetensors_expect(&err, file, "scaler", 0, NULL, &t), GH_ERROR_FORMAT,
              "no tensor \"scaler\" (the nearest is \"scalar\")");
  check_fails(gh_safetensors_expect(&err, file, "vision_model.weight", 0, NULL, &t), GH_ERROR_FORMAT, "among its 11");
  check_fails(gh_safetensors_load_f32(&err, file, "f32", 2, any, x), GH_ERROR_ARGUMENT, "an unknown size");
  t = gh_safetensors_find(file, "f32");
  check_fails(gh_st_read_f32(&err, t, 4, 3, x), GH_ERROR_ARGUMENT, "elements 4 + 3 of 6");
  check_fails(gh_st_read_f32(&err, t, -1, 3, x), GH_ERROR_ARGUMENT, "elements -1");
  int64_t n[3];
  check_fails(gh_st_read_i64(&err, t, 0, 3, n), GH_ERROR_FORMAT, "is F32, expected integers");
  check_fails(gh_st_read_f32(&err, gh_safetensors_find(file, "i64"), 0, 1, x), GH_ERROR_FORMAT, "expected floats");
  gh_safetensors_close(file);
}

/* ---- hostile files ---- */

/* Writes a file: the header's length, this header text, and data_bytes zeros. */
static char *make_file(const char *folder, const char *name, const char *header, size_t data_bytes) {
  char bytes[4096] = {0}, *path = check_path(folder, name);
  size_t length = strlen(header);
  assert_true(8 + length + data_bytes <= sizeof bytes);
  for (int i = 0; i < 8; i++) bytes[i] = (char)(length >> 8 * i);
  memcpy(bytes + 8, header, length);
  check_write(path, bytes, 8 + length + data_bytes);
  return path;
}

/* A tensor with scales per row or block: as a whole, and in pieces that begin and end anywhere. */
static void compare_grid(const gh_safetensors *file, const char *name) {
  gh_error err;
  char narrow[40], wide[40];
  snprintf(narrow, sizeof narrow, "%s.weight", name);
  snprintf(wide, sizeof wide, "want.%s", name);
  const gh_st_tensor *t = gh_safetensors_find(file, narrow), *w = gh_safetensors_find(file, wide);
  float *got = malloc((size_t)t->elements * sizeof *got), *want = malloc((size_t)t->elements * sizeof *want);
  assert_true(got && want && w->elements == t->elements);
  check_ok(gh_st_read_f32(&err, w, 0, w->elements, want));
  check_ok(gh_st_read_f32(&err, t, 0, t->elements, got));
  assert_memory_equal(got, want, (size_t)t->elements * sizeof *got);
  for (int64_t at = 0, n = 1; at < t->elements; at += n, n = GH_MIN(3 * n + 2, t->elements - at)) {
    check_ok(gh_st_read_f32(&err, t, at, n, got));
    assert_memory_equal(got, want + at, (size_t)n * sizeof *got);
  }
  free(got);
  free(want);
}

/* All 256 values of both formats, times their scales, as in torch. */
static void test_weights_of_8_bits(void **state) {
  (void)state;
  static const char *const names[] = {"e4m3", "e5m2", "e4m3.plain"};
  gh_error err;
  gh_safetensors *file;
  const int64_t shape[2] = {16, 16};
  check_ok(gh_safetensors_open(&err, &file, GH_FIXTURES "/float8/values.safetensors"));
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char name[40];
    float got[256], want[256];
    snprintf(name, sizeof name, "%s.weight", names[i]);
    check_ok(gh_safetensors_load_f32(&err, file, name, 2, shape, got));
    assert_true(gh_st_dtype_is_float8(gh_safetensors_find(file, name)->dtype));
    snprintf(name, sizeof name, "want.%s", names[i]);
    check_ok(gh_safetensors_load_f32(&err, file, name, 2, shape, want));
    for (int k = 0; k < 256; k++)
      if (isnan(got[k]) != isnan(want[k]) || (!isnan(got[k]) && memcmp(&got[k], &want[k], sizeof *got)))
        fail_msg("%s, byte %d: %g, expected %g", names[i], k, (double)got[k], (double)want[k]);
  }
  static const char *const grids[] = {"rows", "blocks", "groups", "ends", "flat"};
  for (size_t i = 0; i < GH_COUNT(grids); i++) compare_grid(file, grids[i]);
  assert_true(gh_safetensors_find(file, "rows.comfy_quant")->applied);
  assert_true(gh_safetensors_find(file, "ends.weight_scale_inv")->applied);
  assert_true(gh_safetensors_find(file, "e4m3.weight_scale")->applied);
  assert_true(gh_safetensors_find(file, "e5m2.scale_weight")->applied);
  assert_true(gh_safetensors_find(file, "e4m3.input_scale")->applied);
  assert_true(gh_safetensors_find(file, "scaled_fp8")->applied);
  assert_false(gh_safetensors_find(file, "e4m3.weight")->applied);
  gh_safetensors_close(file);
}

static void test_other_scales_are_named(void **state) {
  (void)state;
  gh_error err;
  gh_safetensors *file;
  char *folder = check_folder();
#define A       "{\"a\":{\"dtype\":\"F8_E4M3\",\"shape\":[2],\"data_offsets\":[0,2]},"
#define B       "{\"b.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[4,6],\"data_offsets\":[0,24]},"
#define F32(at) "{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":" at "}"
  static const struct {
    const char *header, *says;
    gh_status status;
    size_t bytes;
  } cases[] = {
      {A "\"a_scale\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[2,10]}}",
       "\"a\" of shape 2 has 2 scales, \"a_scale\" of shape 2; supported is one per", GH_ERROR_UNSUPPORTED, 10},
      {B "\"b.weight_scale\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[24,36]}}", "supported is one per",
       GH_ERROR_UNSUPPORTED, 36},
      {B "\"b.weight_scale\":{\"dtype\":\"F32\",\"shape\":[2,5],\"data_offsets\":[24,64]}}", "supported is one per",
       GH_ERROR_UNSUPPORTED, 64},
      {B "\"b.weight_scale\":{\"dtype\":\"F32\",\"shape\":[0,1],\"data_offsets\":[24,24]}}", "supported is one per",
       GH_ERROR_UNSUPPORTED, 24},
      {B "\"b.weight_scale\":{\"dtype\":\"U8\",\"shape\":[2,1],\"data_offsets\":[24,26]}}", "expected floats",
       GH_ERROR_FORMAT, 26},
      {B "\"b.comfy_quant\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[24,26]}}", "b.comfy_quant",
       GH_ERROR_FORMAT, 26},
      /* 192 rows in two blocks: of 96, or of 128 and 64? */
      {"{\"b.weight\":{\"dtype\":\"F8_E4M3\",\"shape\":[192,1],\"data_offsets\":[0,192]},\"b.weight_scale_inv\":{"
       "\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[192,200]}}",
       "supported is one per", GH_ERROR_UNSUPPORTED, 200},
      {A "\"a_scale\":" F32("[2,6]") "}", "the scale \"a_scale\" is 0", GH_ERROR_FORMAT, 6},
      {A "\"a_scale\":{\"dtype\":\"I32\",\"shape\":[],\"data_offsets\":[2,6]}}", "expected floats", GH_ERROR_FORMAT, 6},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char *path = make_file(folder, "x.safetensors", cases[i].header, cases[i].bytes);
    check_fails(gh_safetensors_open(&err, &file, path), cases[i].status, cases[i].says);
    free(path);
  }
  check_folder_done(folder);
}

static void test_hostile_headers(void **state) {
  (void)state;
  static const struct {
    const char *header;
    size_t data;
    const char *piece;
  } cases[] = {
      {"", 0, "x.safetensors: begins with 8 zero bytes (an incomplete download?)"},
      {" ", 0, "x.safetensors: line 1, column 2: the text ends"},
      {"[]", 0, "header: expected an object, found an array"},
      {"{\"a\":1}", 0, "tensor \"a\": expected an object, found a number"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"a\":{\"dtype\":\"F32\",\"shape\":[2],"
       "\"data_offsets\":[0,8]}}",
       8, "duplicate key \"a\""},
      {"{\"a\":{\"dtype\":\"F7\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor \"a\": unknown dtype \"F7\""},
      {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "tensor \"a\": dtype: missing"},
      {"{\"a\":{\"dtype\":3,\"shape\":[2],\"data_offsets\":[0,8]}}", 8, "dtype: expected a string"},
      {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", 8, "shape: expected an array, found nothing"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-2],\"data_offsets\":[0,8]}}", 8, "negative dimension -2"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.5],\"data_offsets\":[0,8]}}", 8, "expected an integer"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,8]}}", 8, "64 bits"},
      {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2251799813685248,2048],\"data_offsets\":[0,8]}}", 8, "64 bits"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,2],\"data_offsets\":[0,8]}}", 8, "more than 8 dim"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets: expected an array of two"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", 8,
       "data_offsets: expected an array of two"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[-8,0]}}", 8, "[-8, 0] are outside the 8 bytes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,0]}}", 8, "[8, 0] are outside"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 7,
       "outside the 7 bytes of data (an incomplete download"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[18446744073709551608,0]}}", 8,
       "exceeds the largest exact integer"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,9007199254740991]}}", 8, "outside the 8 bytes"},
      {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,8]}}", 8,
       "8 bytes of data, but F32 of shape 3 takes 12"},
      {"{\"a\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],"
       "\"data_offsets\":[7,9]}}",
       9, "tensors \"a\" and \"b\" overlap"},
      {"{\"__metadata__\":[]}", 0, "__metadata__: expected an object, found an array"},
      {"{\"__metadata__\":{\"k\":1}}", 0, "__metadata__.k: expected a string, found a number"},
  };
  gh_error err;
  gh_safetensors *file;
  char *folder = check_folder();
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    char *path = make_file(folder, "x.safetensors", cases[i].header, cases[i].data);
    check_fails(gh_safetensors_open(&err, &file, path), GH_ERROR_FORMAT, cases[i].piece);
    assert_true(gh_starts_with(err.text, path));
    assert_null(file);
    free(path);
  }
  check_folder_done(folder);
}

static void test_hostile_lengths(void **state) {
  (void)state;
  static const struct {
    unsigned char bytes[12];
    size_t size;
    gh_status status;
    const char *piece;
  } cases[] = {
      {{0}, 0, GH_ERROR_FORMAT, "empty (an incomplete download?)"},
      {{2, 0, 0, 0, 0, 0, 0}, 7, GH_ERROR_FORMAT, "7 bytes are too short"},
      {{5, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, GH_ERROR_FORMAT, "header of 5 bytes is longer than the file (10 bytes"},
      {{0, 0, 0, 6, 0, 0, 0, 0, '{', '}'}, 10, GH_ERROR_FORMAT, "exceeds the limit of 100000000"},
      {{255, 255, 255, 255, 255, 255, 255, 255, '{', '}'}, 10, GH_ERROR_FORMAT, "header of 18446744073709551615 bytes"},
      {{2, 0, 0, 0, 0, 0, 0, 0, '{', '}'}, 10, GH_OK, ""},
  };
  gh_error err;
  gh_safetensors *file;
  char *folder = check_folder(), *path = check_path(folder, "x.safetensors");
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    check_write(path, cases[i].bytes, cases[i].size);
    if (cases[i].status)
      check_fails(gh_safetensors_open(&err, &file, path), cases[i].status, cases[i].piece);
    else
      check_ok(gh_safetensors_open(&err, &file, path));
    gh_safetensors_close(file);
  }
  check_fails(gh_safetensors_open(&err, &file, "/nonexistent/a.safetensors"), GH_ERROR_FILE, "/nonexistent/a.saf");
  check_fails(gh_safetensors_open(&err, &file, "/dev/null"), GH_ERROR_FILE, "/dev/null: not a regular file");
  char *pipe_path = check_path(folder, "pipe.safetensors");
  assert_int_equal(mkfifo(pipe_path, 0600), 0); /* nothing ever writes to it */
  check_fails(gh_safetensors_open(&err, &file, pipe_path), GH_ERROR_FILE, "not a regular file");
  free(pipe_path);
  free(path);
  check_folder_done(folder);
}

/* ---- sets ---- */

#define TENSOR(name) "{\"" name "\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}"

static void open_index(gh_error *err, gh_status *status, const char *folder, const char *index) {
  gh_safetensors *file;
  char *path = check_path(folder, "model.safetensors.index.json");
  check_write(path, index, strlen(index));
  *err = (gh_error){0};
  *status = gh_safetensors_open(err, &file, folder);
  if (!*status) {
    assert_int_equal(gh_safetensors_count(file), 2);
    assert_non_null(gh_safetensors_find(file, "a"));
    assert_non_null(strstr(gh_safetensors_find(file, "b")->file, "2.safetensors"));
  }
  gh_safetensors_close(file);
  free(path);
}

static void test_sharded(void **state) {
  (void)state;
  static const struct {
    const char *index, *piece;
  } cases[] = {
      {"{\"metadata\":{},\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", NULL},
      {"{\"weight_map\":{\"a\":\"../1.safetensors\"}}", "shard \"../1.safetensors\" is outside the folder"},
      {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "is outside the folder"},
      {"{\"weight_map\":{\"a\":3}}", "weight_map: a: expected a string"},
      {"{}", "weight_map: expected an object, found nothing"},
      {"{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"2.safetensors\"}}", "tensor \"a\" is not in 2.safetensors"},
      {"{\"weight_map\":{\"a\":\"1.safetensors\",\"c\":\"2.safetensors\"}}", "tensor \"c\" is not in 2.safetensors"},
  };
  gh_error err = {0};
  gh_status status;
  char *folder = check_folder();
  free(make_file(folder, "1.safetensors", TENSOR("a"), 4));
  free(make_file(folder, "2.safetensors", TENSOR("b"), 4));
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    open_index(&err, &status, folder, cases[i].index);
    if (cases[i].piece)
      check_failure(status, &err, GH_ERROR_FORMAT, cases[i].piece, __FILE__, __LINE__);
    else
      assert_int_equal(status, GH_OK);
  }
  open_index(&err, &status, folder, "{\"weight_map\":{\"a\":\"9.safetensors\"}}");
  check_failure(status, &err, GH_ERROR_FILE, "9.safetensors: No such file", __FILE__, __LINE__);
  free(make_file(folder, "3.safetensors", TENSOR("a"), 4));
  open_index(&err, &status, folder, "{\"weight_map\":{\"a\":\"1.safetensors\",\"x\":\"3.safetensors\"}}");
  check_failure(status, &err, GH_ERROR_FORMAT, "tensor \"a\" is both in ", __FILE__, __LINE__);
  check_folder_done(folder);
}

static void test_folders(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *file;
  char *folder = check_folder();
  check_fails(gh_safetensors_open(&err, &file, folder), GH_ERROR_FILE, "no .safetensors file in the folder");
  free(make_file(folder, "vae.safetensors", TENSOR("a"), 4));
  check_ok(gh_safetensors_open(&err, &file, folder));
  gh_safetensors_close(file);
  free(make_file(folder, "other.safetensors", TENSOR("b"), 4));
  check_fails(gh_safetensors_open(&err, &file, folder), GH_ERROR_FILE, "name one");
  free(make_file(folder, "model.safetensors", TENSOR("m"), 4));
  check_ok(gh_safetensors_open(&err, &file, folder));
  assert_non_null(gh_safetensors_find(file, "m"));
  gh_safetensors_close(file);
  check_folder_done(folder);
}

/* ---- writing ---- */

static gh_status write_sample(gh_error *err, const char *path) {
  static const float x[6] = {0, 1, -2.5f, 0.333333343f, 65504, 1e-3f};
  static const int64_t shape[] = {2, 3}, none[] = {0, 4}, ids[] = {3};
  static const int64_t integers[3] = {1, -2, 3};
  gh_safetensors_writer *writer = NULL;
  gh_status status = gh_safetensors_writer_new(err, &writer, path);
  if (!status) status = gh_safetensors_writer_metadata(err, writer, "format", "pt");
  if (!status) status = gh_safetensors_writer_metadata(err, writer, "names", "[\"\xc3\xa9.png\"]");
  if (!status) status = gh_safetensors_writer_declare(err, writer, "f32", GH_ST_F32, 2, shape);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "none", GH_ST_F32, 2, none);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "f16", GH_ST_F16, 2, shape);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "bf16", GH_ST_BF16, 2, shape);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "f64", GH_ST_F64, 2, shape);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "ids", GH_ST_I64, 1, ids);
  if (!status) status = gh_safetensors_writer_declare(err, writer, "scalar", GH_ST_F32, 0, NULL);
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "f32", x, 2); /* in pieces */
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "f32", x + 2, 4);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "f16", x, 6);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "bf16", x, 6);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "f64", x, 6);
  if (!status) status = gh_safetensors_writer_write(err, writer, "ids", integers, sizeof integers);
  if (!status) status = gh_safetensors_writer_write_f32(err, writer, "scalar", x + 1, 1);
  if (!status) status = gh_safetensors_writer_finish(err, writer);
  gh_safetensors_writer_free(writer);
  return status;
}

static void test_write(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *file;
  char *folder = check_folder(), *path = check_path(folder, "out.safetensors");
  check_ok(write_sample(&err, path));
  check_ok(gh_safetensors_open(&err, &file, path));
  assert_int_equal(gh_safetensors_count(file), 7);
  assert_string_equal(gh_safetensors_metadata(file, "names"), "[\"\xc3\xa9.png\"]");
  static const struct {
    const char *name;
    float third, thousandth;
  } cases[] = {{"f32", 0.333333343f, 1e-3f},
               {"f64", 0.333333343f, 1e-3f},
               {"f16", 0.33325195f, 0x1.064p-10f},
               {"bf16", 0.33398438f, 0x1.06p-10f}};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    float x[6];
    check_ok(gh_safetensors_load_f32(&err, file, cases[i].name, 2, (const int64_t[]){2, 3}, x));
    assert_true(x[1] == 1 && x[2] == -2.5f && x[3] == cases[i].third && x[5] == cases[i].thousandth);
  }
  assert_int_equal((uintptr_t)gh_safetensors_find(file, "f32")->data % 8, 0);
  gh_safetensors_close(file);
  free(path);
  check_folder_done(folder);
}

static void test_write_misuse(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors_writer *writer;
  const int64_t two[] = {2}, negative[] = {-1}, huge[] = {INT64_MAX / 2, 8};
  const float x[3] = {1, 2, 3};
  char *folder = check_folder(), *path = check_path(folder, "out.safetensors");
  check_ok(gh_safetensors_writer_new(&err, &writer, path));
  check_ok(gh_safetensors_writer_declare(&err, writer, "a", GH_ST_F32, 1, two));
  check_ok(gh_safetensors_writer_declare(&err, writer, "b", GH_ST_U8, 1, two));
  check_fails(gh_safetensors_writer_declare(&err, writer, "a", GH_ST_F32, 1, two), GH_ERROR_ARGUMENT, "declared twice");
  check_fails(gh_safetensors_writer_declare(&err, writer, "c", GH_ST_F32, 1, negative), GH_ERROR_ARGUMENT, "negative");
  check_fails(gh_safetensors_writer_declare(&err, writer, "c", GH_ST_F32, 2, huge), GH_ERROR_ARGUMENT, "too large");
  check_fails(gh_safetensors_writer_write(&err, writer, "a", x, 8), GH_ERROR_ARGUMENT, "before the header");
  check_fails(gh_safetensors_writer_finish(&err, writer), GH_ERROR_ARGUMENT, "before it was begun");
  check_ok(gh_safetensors_writer_begin(&err, writer));
  check_fails(gh_safetensors_writer_declare(&err, writer, "d", GH_ST_F32, 1, two), GH_ERROR_ARGUMENT,
              "after the header");
  check_fails(gh_safetensors_writer_write(&err, writer, "b", x, 2), GH_ERROR_ARGUMENT, "written where \"a\" is next");
  check_fails(gh_safetensors_writer_write(&err, writer, "a", x, 12), GH_ERROR_ARGUMENT, "more bytes than its shape");
  check_ok(gh_safetensors_writer_write(&err, writer, "a", x, 8));
  check_fails(gh_safetensors_writer_write_f32(&err, writer, "b", x, 2), GH_ERROR_ARGUMENT, "declared U8");
  check_fails(gh_safetensors_writer_finish(&err, writer), GH_ERROR_ARGUMENT, "\"b\" was not written completely");
  assert_false(gh_path_exists(path)); /* nothing before finish */
  gh_safetensors_writer_free(writer);
  check_fails(gh_safetensors_open(&err, &(gh_safetensors *){NULL}, folder), GH_ERROR_FILE, "no .safetensors file");
  free(path);
  check_folder_done(folder);
}

static void test_write_full_disk(void **state) {
  (void)state;
  gh_error err = {0};
  char *folder = check_folder(), *path = check_path(folder, "out.safetensors");
  int writes = 0;
  for (;; writes++) {
    gh_write_fail_after(writes + 1);
    err = (gh_error){0};
    gh_status status = write_sample(&err, path);
    gh_write_fail_after(0);
    if (!status) break;
    check_failure(status, &err, GH_ERROR_FILE, "out.safetensors: no space left on the disk", __FILE__, __LINE__);
    assert_false(gh_path_exists(path));
  }
  assert_true(writes >= 8); /* three of the header, and the tensors */
  free(path);
  check_folder_done(folder);
}

/* ---- sweeps ---- */

static gh_status write_and_read(gh_error *err, void *state) {
  gh_safetensors *file = NULL, *fixture = NULL;
  float x[6];
  gh_status status = write_sample(err, state);
  if (!status) status = gh_safetensors_open(err, &file, state);
  if (!status) status = gh_safetensors_load_f32(err, file, "bf16", 2, (const int64_t[]){2, 3}, x);
  if (!status) status = gh_safetensors_open(err, &fixture, GH_FIXTURES "/safetensors");
  if (!status && gh_safetensors_expect(err, fixture, "scaler", 0, NULL, NULL) == GH_ERROR_MEMORY)
    status = GH_ERROR_MEMORY;
  gh_safetensors_close(file);
  gh_safetensors_close(fixture);
  return status;
}

static void test_allocation_failures(void **state) {
  (void)state;
  char *folder = check_folder(), *path = check_path(folder, "out.safetensors");
  check_allocation_failures(write_and_read, path);
  free(path);
  check_folder_done(folder);
}

static gh_status read_sharded(gh_error *err, void *state) {
  gh_safetensors *file;
  gh_status status = gh_safetensors_open(err, &file, state);
  gh_safetensors_close(file);
  return status;
}

static void test_sharded_allocation_failures(void **state) {
  (void)state;
  static const char index[] = "{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}";
  char *folder = check_folder(), *path = check_path(folder, "model.safetensors.index.json");
  free(make_file(folder, "1.safetensors", TENSOR("a"), 4));
  free(make_file(folder, "2.safetensors", TENSOR("b"), 4));
  check_write(path, index, sizeof index - 1);
  check_allocation_failures(read_sharded, folder);
  free(path);
  check_folder_done(folder);
}

/* Mutated files: rejected in one line that names the file, or every byte of every tensor is readable. */
static void test_mutations(void **state) {
  (void)state;
  char *folder = check_folder(), *path = check_path(folder, "x.safetensors"), *original;
  size_t size;
  uint64_t random = 11;
  int accepted = 0, refused = 0;
  volatile unsigned sum = 0;
  gh_error err = {0};
  check_ok(gh_file_read(&err, MIXED, 4096, &original, &size));
  for (int round = 0; round < 3000; round++) {
    char bytes[4096 + 64];
    gh_safetensors *file;
    memcpy(bytes, original, size);
    check_write(path, bytes, check_mutate(bytes, size, sizeof bytes, &random));
    err = (gh_error){0};
    gh_status status = gh_safetensors_open(&err, &file, path);
    if (status) {
      refused++;
      check_failure(status, &err, GH_ERROR_FORMAT, "x.safetensors: ", __FILE__, __LINE__);
      continue;
    }
    accepted++;
    for (size_t i = 0; i < gh_safetensors_count(file); i++) {
      const gh_st_tensor *t = gh_safetensors_at(file, i);
      for (size_t j = 0; j < t->bytes; j++) sum += ((const unsigned char *)t->data)[j];
      assert_true(gh_safetensors_find(file, t->name) == t);
    }
    gh_safetensors_close(file);
  }
  (void)sum;
  assert_true(accepted > 50 && refused > 1000);
  free(original), free(path);
  check_folder_done(folder);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_official_file),
      cmocka_unit_test(test_expect),
      cmocka_unit_test(test_hostile_headers),
      cmocka_unit_test(test_weights_of_8_bits),
      cmocka_unit_test(test_other_scales_are_named),
      cmocka_unit_test(test_hostile_lengths),
      cmocka_unit_test(test_sharded),
      cmocka_unit_test(test_folders),
      cmocka_unit_test(test_write),
      cmocka_unit_test(test_write_misuse),
      cmocka_unit_test(test_write_full_disk),
      cmocka_unit_test(test_allocation_failures),
      cmocka_unit_test(test_sharded_allocation_failures),
      cmocka_unit_test(test_mutations),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
