/* Files of torch.save: PyTorch's own in both containers, hostile ones, and the pickle machine's opcodes. */
#include "support/check.h"

#include "base/file.h"
#include "io/crc32.h"
#include "io/pickle.h"
#include "io/torch_file.h"
#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PICKLE GH_FIXTURES "/pickle/"

/* ---- checksums ---- */

static void test_crc(void **state) {
  (void)state;
  static const char text[] = "123456789";
  assert_int_equal(gh_crc32(0, text, 9), 0xCBF43926); /* the check value of CRC-32/ISO-HDLC */
  for (size_t i = 0; i <= 9; i++) assert_int_equal(gh_crc32(gh_crc32(0, text, i), text + i, 9 - i), 0xCBF43926);
}

/* ---- PyTorch's files ---- */

/* Reads the tensor by pieces of n elements and compares it with the expected one, bit for bit. */
static void compare_by_pieces(const gh_torch_tensor *t, const gh_st_tensor *want, int64_t n) {
  const size_t size = gh_st_dtype_bytes(t->st.dtype);
  char *bytes = malloc(t->st.bytes + 1);
  assert_non_null(bytes);
  for (int64_t at = 0; at < t->st.elements; at += n)
    gh_torch_read(t, at, GH_MIN(n, t->st.elements - at), bytes + (size_t)at * size);
  assert_memory_equal(bytes, want->data, want->bytes);
  free(bytes);
}

static void compare(const gh_torch_file *file, const gh_safetensors *want) {
  assert_int_equal(gh_torch_count(file), gh_safetensors_count(want));
  for (size_t i = 0; i < gh_torch_count(file); i++) {
    const gh_torch_tensor *t = gh_torch_at(file, i);
    const gh_st_tensor *w = gh_safetensors_at(want, i);
    assert_string_equal(t->st.name, w->name);
    assert_int_equal(t->st.dtype, w->dtype);
    assert_int_equal(t->st.rank, w->rank);
    assert_memory_equal(t->st.shape, w->shape, (size_t)w->rank * sizeof *w->shape);
    assert_int_equal(t->st.bytes, w->bytes);
    compare_by_pieces(t, w, INT32_MAX);
    compare_by_pieces(t, w, 1);
    compare_by_pieces(t, w, 3);
  }
}

static void test_containers(void **state) {
  (void)state;
  static const char *const names[] = {"new.pt",       "protocol3.pt", "protocol4.pt",
                                      "protocol5.pt", "legacy.pt",    "legacy4.pt"};
  gh_error err = {0};
  gh_safetensors *want;
  check_ok(gh_safetensors_open(&err, &want, PICKLE "expected.safetensors"));
  assert_int_equal(gh_safetensors_count(want), 22);
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *path = check_path(PICKLE, names[i]);
    gh_torch_file *file;
    size_t tied = 0;
    check_ok(gh_torch_open(&err, &file, path, NULL));
    compare(file, want);
    for (size_t k = 0; k < gh_torch_count(file); k++) check_ok(gh_torch_check(&err, file, gh_torch_at(file, k)));
    check_ok(gh_torch_tied(&err, file, &tied));
    assert_int_equal(tied, 2); /* "f32", "tied" and "transposed" are one storage */
    assert_int_equal(gh_torch_left_out_count(file), 0);
    gh_torch_close(file);
    free(path);
  }
  gh_safetensors_close(want);
}

/* As safetensors: contiguous tensors are in the mapped file, so two names of one tensor have one address. */
static void test_as_safetensors(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *want, *got;
  check_ok(gh_safetensors_open(&err, &want, PICKLE "expected.safetensors"));
  check_ok(gh_torch_open_weights(&err, &got, PICKLE "new.pt"));
  assert_int_equal(gh_safetensors_count(got), gh_safetensors_count(want));
  for (size_t i = 0; i < gh_safetensors_count(want); i++) {
    const gh_st_tensor *w = gh_safetensors_at(want, i), *t = gh_safetensors_find(got, w->name);
    assert_non_null(t);
    assert_memory_equal(t->data, w->data, w->bytes);
    assert_string_equal(t->file, PICKLE "new.pt");
    gh_safetensors_release(got, t);
  }
  const gh_st_tensor *f32 = gh_safetensors_find(got, "f32");
  assert_ptr_equal(f32->data, gh_safetensors_find(got, "tied")->data);
  assert_ptr_not_equal(f32->data, gh_safetensors_find(got, "transposed")->data);
  gh_safetensors_close(got);
  gh_safetensors_close(want);
}

static void test_later_dtypes(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *file;
  int64_t x[2];
  check_ok(gh_torch_open_weights(&err, &file, PICKLE "v3.pt"));
  check_ok(gh_st_read_i64(&err, gh_safetensors_find(file, "u16"), 0, 2, x));
  assert_true(x[0] == 1 && x[1] == 65535);
  assert_int_equal(gh_safetensors_find(file, "f8")->dtype, GH_ST_F8_E4M3);
  gh_safetensors_close(file);
}

static const gh_torch_left_out *find_left_out(const gh_torch_file *file, const char *name) {
  for (size_t i = 0; i < gh_torch_left_out_count(file); i++)
    if (!strcmp(gh_torch_left_out_at(file, i)->name, name)) return gh_torch_left_out_at(file, i);
  return NULL;
}

static void test_lightning(void **state) {
  (void)state;
  static const char *const names[] = {"lightning.ckpt", "lightning-legacy.ckpt"};
  gh_error err = {0};
  gh_safetensors *want;
  check_ok(gh_safetensors_open(&err, &want, PICKLE "lightning.safetensors"));
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *path = check_path(PICKLE, names[i]);
    gh_torch_file *file;
    check_ok(gh_torch_open(&err, &file, path, NULL));
    compare(file, want);
    assert_int_equal(find_left_out(file, "loss.*")->tensors, 2);
    assert_int_equal(find_left_out(file, "model_ema.*")->tensors, 1);
    assert_non_null(find_left_out(file, "optimizer_states"));
    assert_string_equal(find_left_out(file, "version")->why, "not a tensor");
    gh_torch_close(file);
    check_ok(gh_torch_open(&err, &file, path, "loss.")); /* asked for by name */
    assert_int_equal(gh_torch_count(file), 2);
    assert_string_equal(gh_torch_at(file, 1)->st.name, "logvar");
    gh_torch_close(file);
    free(path);
  }
  gh_safetensors_close(want);
}

static void test_prefix(void **state) {
  (void)state;
  gh_error err = {0};
  gh_torch_file *file;
  check_ok(gh_torch_open(&err, &file, PICKLE "wrapped.pth", "net."));
  assert_int_equal(gh_torch_count(file), 1);
  assert_string_equal(gh_torch_at(file, 0)->st.name, "w");
  assert_int_equal(find_left_out(file, "others")->tensors, 1);
  assert_string_equal(find_left_out(file, "lr")->why, "beside the weights");
  gh_torch_close(file);
  check_fails(gh_torch_open(&err, &file, PICKLE "wrapped.pth", "nett."), GH_ERROR_ARGUMENT,
              "no tensor's name begins with \"nett.\"");
  check_fails(gh_torch_open(&err, &file, PICKLE "wrapped.pth", "net.w"), GH_ERROR_FORMAT,
              "its name is the whole prefix");
  check_fails(gh_torch_open(&err, &file, PICKLE "complex.pt", NULL), GH_ERROR_UNSUPPORTED,
              "tensor \"z\" is of torch.ComplexFloatStorage");
  check_ok(gh_torch_open(&err, &file, PICKLE "complex.pt", "o")); /* the other tensor is not asked for */
  assert_int_equal(gh_torch_count(file), 1);
  gh_torch_close(file);
  check_fails(gh_torch_open(&err, &file, PICKLE "quantized.pt", NULL), GH_ERROR_UNSUPPORTED,
              "tensor \"q\" is a special tensor (torch._utils._rebuild_qtensor)");
  check_fails(gh_torch_open(&err, &file, PICKLE "absent.pt", NULL), GH_ERROR_FILE, "absent.pt: No such file");
}

static void test_set(void **state) {
  (void)state;
  static const char wrong[] = "{\"weight_map\":{\"w\":\"a.bin\",\"v\":\"a.bin\"}}";
  static const char outside[] = "{\"weight_map\":{\"w\":\"../a.bin\"}}";
  gh_error err = {0};
  gh_torch_file *file;
  check_ok(gh_torch_open(&err, &file, PICKLE "shards/pytorch_model.bin.index.json", NULL));
  assert_int_equal(gh_torch_count(file), 2);
  assert_int_equal(gh_torch_at(file, 1)->st.elements, 6);
  assert_string_equal(gh_path_name(gh_torch_at(file, 1)->st.file), "pytorch_model-00001-of-00002.bin");
  gh_torch_close(file);

  char *folder = check_folder(), *index = check_path(folder, "x.bin.index.json"), *bytes;
  size_t size;
  check_ok(gh_file_read(&err, PICKLE "small.pt", 1 << 20, &bytes, &size));
  char *shard = check_path(folder, "a.bin");
  check_write(shard, bytes, size);
  check_write(index, wrong, sizeof wrong - 1);
  check_fails(gh_torch_open(&err, &file, index, NULL), GH_ERROR_FORMAT, "tensor \"v\" is not in a.bin");
  check_write(index, outside, sizeof outside - 1);
  check_fails(gh_torch_open(&err, &file, index, NULL), GH_ERROR_FORMAT, "is outside the folder of the index");
  free(bytes), free(shard), free(index);
  check_folder_done(folder);
}

/* ---- model folders ---- */

static void copy_to(const char *folder, const char *from, const char *as) {
  gh_error err = {0};
  char *bytes, *path = check_path(folder, as);
  size_t size;
  check_ok(gh_file_read(&err, from, 1 << 20, &bytes, &size));
  check_write(path, bytes, size);
  free(bytes), free(path);
}

/* A folder with only pytorch_model.bin, or an index, has the tensors of the one with safetensors. */
static void test_folder(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *want, *got;
  char *folder = check_folder();
  copy_to(folder, PICKLE "clip/pytorch_model.bin", "pytorch_model.bin");
  check_ok(gh_weights_open(&err, &want, GH_FIXTURES "/text/clip"));
  check_ok(gh_weights_open(&err, &got, folder));
  assert_int_equal(gh_safetensors_count(got), gh_safetensors_count(want));
  for (size_t i = 0; i < gh_safetensors_count(want); i++) {
    const gh_st_tensor *w = gh_safetensors_at(want, i), *t = gh_safetensors_find(got, w->name);
    assert_true(t && t->dtype == w->dtype && t->bytes == w->bytes && !memcmp(t->data, w->data, w->bytes));
  }
  gh_safetensors_close(got);
  gh_safetensors_close(want);
  copy_to(folder, PICKLE "expected.safetensors", "other.safetensors"); /* safetensors come first */
  check_ok(gh_weights_open(&err, &got, folder));
  assert_int_equal(gh_safetensors_count(got), 22);
  gh_safetensors_close(got);
  check_folder_done(folder);

  check_ok(gh_weights_open(&err, &got, PICKLE "shards"));
  assert_int_equal(gh_safetensors_count(got), 2);
  gh_safetensors_close(got);
  folder = check_folder();
  copy_to(folder, PICKLE "small.pt", "other.bin");
  check_fails(gh_weights_open(&err, &got, folder), GH_ERROR_FILE,
              "other.bin is PyTorch's own format: `genhance convert`");
  check_fails(gh_safetensors_open(&err, &got, PICKLE "small.pt"), GH_ERROR_FORMAT, "not a safetensors file; `genhance");
  check_folder_done(folder);
}

/* ---- hostile files ---- */

static const struct {
  const char *name;
  gh_status status;
  const char *piece;
} hostile[] = {
    {"valid", GH_OK, ""},
    {"zip64-valid", GH_OK, ""},
    {"python2", GH_OK, ""},
    {"python2-pair", GH_ERROR_FORMAT, "the dictionary of tensors is invalid"},
    {"python2-items", GH_ERROR_FORMAT, "the dictionary of tensors is invalid"},
    {"view", GH_OK, ""},
    {"view-offset", GH_ERROR_FORMAT, "tensor \"a\": it exceeds its storage"},
    {"view-outside", GH_ERROR_FORMAT, "the identity of a storage is invalid"},
    {"module", GH_ERROR_UNSUPPORTED, "the pickle asks for torch.nn.modules.linear.Linear"},
    {"system", GH_ERROR_UNSUPPORTED, "the pickle asks for posix.system"},
    {"system-protocol4", GH_ERROR_UNSUPPORTED, "the pickle asks for posix.system"},
    {"system-legacy", GH_ERROR_UNSUPPORTED, "the pickle asks for posix.system"},
    {"eval", GH_ERROR_UNSUPPORTED, "the pickle asks for __builtin__.eval"},
    {"eval-unused", GH_ERROR_UNSUPPORTED, "the pickle asks for builtins.eval"},
    {"getattr", GH_ERROR_UNSUPPORTED, "the pickle asks for builtins.getattr"},
    {"load", GH_ERROR_UNSUPPORTED, "the pickle asks for torch.load"},
    {"dotted", GH_ERROR_UNSUPPORTED, "the pickle asks for os.path.system"},
    {"inert-called", GH_ERROR_FORMAT, "no tensors at the top of the file"},
    {"deep-lists", GH_ERROR_UNSUPPORTED, "too many levels"},
    {"deep-tuples", GH_ERROR_UNSUPPORTED, "too many levels"},
    {"deep-marks", GH_ERROR_UNSUPPORTED, "too many levels"},
    {"long-text", GH_ERROR_FORMAT, "a length exceeds the file"},
    {"long-bytes", GH_ERROR_FORMAT, "a length exceeds the file"},
    {"long-long", GH_ERROR_FORMAT, "a length exceeds the file"},
    {"long-frame", GH_ERROR_FORMAT, "a frame is longer than the file"},
    {"memo-index", GH_ERROR_UNSUPPORTED, "a large memo index"},
    {"memo-line", GH_ERROR_UNSUPPORTED, "a large memo index"},
    {"memo-absent", GH_ERROR_FORMAT, "a memo index that nothing was stored under"},
    {"stack-empty", GH_ERROR_FORMAT, "the stack is empty"},
    {"mark-missing", GH_ERROR_FORMAT, "there is no mark"},
    {"below-mark", GH_ERROR_FORMAT, "items are put into a value that takes none"},
    {"left-over", GH_ERROR_FORMAT, "it ends with other than one value"},
    {"no-stop", GH_ERROR_FORMAT, "it ends without STOP"},
    {"protocol", GH_ERROR_UNSUPPORTED, "pickle protocol 99"},
    {"opcode", GH_ERROR_FORMAT, "an unknown opcode"},
    {"extension", GH_ERROR_UNSUPPORTED, "pickle opcode 0x82 at byte 2"},
    {"cycle", GH_ERROR_UNSUPPORTED, "holds a list, not a dictionary of tensors"},
    {"self-dict", GH_ERROR_FORMAT, "nested too deeply"},
    {"offset", GH_ERROR_FORMAT, "tensor \"a\": it exceeds its storage"},
    {"negative-offset", GH_ERROR_FORMAT, "tensor \"a\": it is not made of a storage and an offset"},
    {"large-offset", GH_ERROR_FORMAT, "tensor \"a\": it exceeds its storage"},
    {"large-shape", GH_ERROR_FORMAT, "tensor \"a\": it exceeds its storage"},
    {"large-shapes", GH_ERROR_FORMAT, "tensor \"a\": its shape exceeds 64 bits"},
    {"large-expanded", GH_ERROR_UNSUPPORTED, "take more than 1024 MiB"},
    {"large-stride", GH_ERROR_FORMAT, "tensor \"a\": it exceeds its storage"},
    {"negative-stride", GH_ERROR_FORMAT, "tensor \"a\": its shape or its strides are invalid"},
    {"rank", GH_ERROR_FORMAT, "it has more than 8 dimensions"},
    {"ranks-differ", GH_ERROR_FORMAT, "tensor \"a\": its shape or its strides are invalid"},
    {"large-storage", GH_ERROR_FORMAT, "tensor \"a\": its storage is smaller than it says"},
    {"larger-storage", GH_ERROR_FORMAT, "tensor \"a\": its storage is smaller than it says"},
    {"absent-storage", GH_ERROR_FORMAT, "tensor \"a\": its storage is not in the file"},
    {"not-a-storage", GH_ERROR_FORMAT, "tensor \"a\": it is not made of a storage and an offset"},
    {"name-zero", GH_ERROR_FORMAT, "the name of a tensor is invalid"},
    {"name-twice", GH_ERROR_FORMAT, "two tensors are named \"a\""},
    {"top-tensor", GH_ERROR_UNSUPPORTED, "holds a single tensor without a name"},
    {"no-tensors", GH_ERROR_FORMAT, "no tensors at the top of the file"},
    {"no-pickle", GH_ERROR_FORMAT, "it has no data.pkl"},
    {"two-pickles", GH_ERROR_FORMAT, "it has more than one data.pkl"},
    {"torchscript", GH_ERROR_UNSUPPORTED, "a TorchScript archive"},
    {"big-endian", GH_ERROR_UNSUPPORTED, "written on a big-endian machine"},
    {"plain-pickle", GH_ERROR_FORMAT, "a pickle, but not of torch.save"},
    {"text", GH_ERROR_FORMAT, "not a file of torch.save"},
    {"deflated", GH_ERROR_UNSUPPORTED, "is compressed"},
    {"encrypted", GH_ERROR_UNSUPPORTED, "is encrypted"},
    {"two-entries", GH_ERROR_FORMAT, "two zip entries are named \"archive/data/0\""},
    {"overlap", GH_ERROR_FORMAT, "zip entries \"archive/data.pkl\" and \"archive/byteorder\" overlap"},
    {"elsewhere", GH_ERROR_FORMAT, "its header has another name"},
    {"local-name", GH_ERROR_FORMAT, "its header has another name"},
    {"far-header", GH_ERROR_FORMAT, "its header is not where the directory says"},
    {"large-entry", GH_ERROR_FORMAT, "of 2147483647 bytes exceeds the file"},
    {"zip64-missing", GH_ERROR_FORMAT, "its row of the directory is invalid"},
    {"zip64-huge", GH_ERROR_FORMAT, "of 4611686018427387904 bytes exceeds the file"},
    {"many-entries", GH_ERROR_FORMAT, "its directory has fewer rows than it says"},
    {"crc-pickle", GH_ERROR_FORMAT, "zip entry \"archive/data.pkl\" is damaged"},
    {"crc-data", GH_OK, ""}, /* only gh_torch_check reads the elements */
};

static void test_hostile(void **state) {
  (void)state;
  gh_error err = {0};
  gh_safetensors *file;
  gh_strings names = {0};
  check_ok(gh_folder_list(&err, &names, PICKLE "hostile", false));
  assert_int_equal(names.count, GH_COUNT(hostile)); /* no fixture is forgotten */
  gh_strings_free(&names);
  for (size_t i = 0; i < GH_COUNT(hostile); i++) {
    char path[512];
    snprintf(path, sizeof path, PICKLE "hostile/%s.pt", hostile[i].name);
    err = (gh_error){0};
    gh_status status = gh_torch_open_weights(&err, &file, path);
    if (hostile[i].status)
      check_failure(status, &err, hostile[i].status, hostile[i].piece, __FILE__, __LINE__);
    else if (status)
      fail_msg("%s", err.text);
    gh_safetensors_close(file);
  }
}

/* The unusual but valid ones have the elements 1, 2. */
static void test_unusual(void **state) {
  (void)state;
  static const struct {
    const char *path;
    int64_t count, first;
  } cases[] = {{PICKLE "hostile/valid.pt", 2, 1},
               {PICKLE "hostile/zip64-valid.pt", 2, 1},
               {PICKLE "hostile/python2.pt", 2, 1},
               {PICKLE "hostile/view.pt", 1, 2}};
  gh_error err = {0};
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_safetensors *file;
    float x[2];
    check_ok(gh_torch_open_weights(&err, &file, cases[i].path));
    check_ok(gh_safetensors_load_f32(&err, file, "a", 1, &cases[i].count, x));
    for (int64_t k = 0; k < cases[i].count; k++) assert_true(x[k] == (float)(cases[i].first + k));
    gh_safetensors_close(file);
  }
}

static void test_damaged_elements(void **state) {
  (void)state;
  gh_error err = {0};
  gh_torch_file *file;
  check_ok(gh_torch_open(&err, &file, PICKLE "hostile/crc-data.pt", NULL));
  check_fails(gh_torch_check(&err, file, gh_torch_at(file, 0)), GH_ERROR_FORMAT,
              "zip entry \"archive/data/0\" is damaged: its CRC is");
  gh_torch_close(file);
}

/* Opens bytes in a block of exactly their size and reads all elements. */
static gh_status open_exact(gh_error *err, const char *bytes, size_t size) {
  gh_torch_file *file;
  char *exact = malloc(size + !size), *elements = malloc(1 << 16);
  assert_true(exact && elements);
  memcpy(exact, bytes, size);
  *err = (gh_error){0};
  gh_status status = gh_torch_open_memory(err, &file, "x.pt", NULL, exact, size);
  for (size_t i = 0; !status && i < gh_torch_count(file); i++) {
    const gh_torch_tensor *t = gh_torch_at(file, i);
    gh_torch_read(t, 0, GH_MIN(t->st.elements, 1 << 13), elements);
  }
  gh_torch_close(file);
  free(exact), free(elements);
  return status;
}

static void test_truncated(void **state) {
  (void)state;
  static const char *const names[] = {PICKLE "small.pt", PICKLE "small-legacy.pt"};
  gh_error err = {0};
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *bytes;
    size_t size;
    check_ok(gh_file_read(&err, names[i], 1 << 20, &bytes, &size));
    check_ok(open_exact(&err, bytes, size));
    for (size_t n = 0; n < size; n++) {
      const gh_status status = open_exact(&err, bytes, n);
      if (!status) fail_msg("%s: accepted with %zu of its %zu bytes", names[i], n, size);
      check_failure(status, &err, status, "x.pt: ", __FILE__, __LINE__);
    }
    free(bytes);
  }
}

static void test_mutations(void **state) {
  (void)state;
  static const char *const names[] = {PICKLE "small.pt", PICKLE "small-legacy.pt", PICKLE "lightning-legacy.ckpt"};
  gh_error err = {0};
  uint64_t random = 7;
  int accepted = 0, refused = 0;
  for (size_t i = 0; i < GH_COUNT(names); i++) {
    char *original;
    size_t size;
    check_ok(gh_file_read(&err, names[i], 1 << 12, &original, &size));
    for (int round = 0; round < 2000; round++) {
      char bytes[(1 << 12) + 64];
      memcpy(bytes, original, size);
      const size_t mutated = check_mutate(bytes, size, sizeof bytes, &random);
      const gh_status status = open_exact(&err, bytes, mutated);
      if (status) check_failure(status, &err, status, "x.pt: ", __FILE__, __LINE__);
      status ? refused++ : accepted++;
    }
    free(original);
  }
  assert_true(accepted > 50 && refused > 1000);
}

static gh_status open_both(gh_error *err, void *state) {
  (void)state;
  gh_safetensors *file = NULL;
  gh_status status = gh_torch_open_weights(err, &file, PICKLE "lightning-legacy.ckpt");
  gh_safetensors_close(file);
  if (!status) status = gh_torch_open_weights(err, &file, PICKLE "new.pt");
  gh_safetensors_close(file);
  if (!status) status = gh_weights_open(err, &file, PICKLE "shards");
  gh_safetensors_close(file);
  return status;
}

static void test_allocation_failures(void **state) {
  (void)state;
  check_allocation_failures(open_both, NULL);
}

/* ---- opcodes ---- */

static const gh_pickle_global known[] = {{"a.b", 1, 2}, {"c.", 3, 0}, {0}};

#define BYTES(text) text, sizeof(text) - 1

static void test_scalars(void **state) {
  (void)state;
  static const struct {
    const char *bytes;
    size_t size;
    gh_pickle_type type;
    int64_t integer;
    const char *text;
  } cases[] = {
      {BYTES("N."), GH_PICKLE_NONE, 0, NULL},
      {BYTES("\x80\x02\x88."), GH_PICKLE_BOOL, 1, NULL},
      {BYTES("I00\n."), GH_PICKLE_BOOL, 0, NULL},
      {BYTES("I01\n."), GH_PICKLE_BOOL, 1, NULL},
      {BYTES("I1\n."), GH_PICKLE_INT, 1, NULL},
      {BYTES("I-12\n."), GH_PICKLE_INT, -12, NULL},
      {BYTES("L9223372036854775807L\n."), GH_PICKLE_INT, INT64_MAX, NULL},
      {BYTES("L9223372036854775808L\n."), GH_PICKLE_LONG, 0, "9223372036854775808"},
      {BYTES("K\xff."), GH_PICKLE_INT, 255, NULL},
      {BYTES("M\xff\xff."), GH_PICKLE_INT, 65535, NULL},
      {BYTES("J\xfe\xff\xff\xff."), GH_PICKLE_INT, -2, NULL},
      {BYTES("\x8a\x00."), GH_PICKLE_INT, 0, NULL},
      {BYTES("\x8a\x01\x80."), GH_PICKLE_INT, -128, NULL},
      {BYTES("\x8a\x02\xff\x00."), GH_PICKLE_INT, 255, NULL},
      {BYTES("\x8b\x08\0\0\0\0\0\0\0\0\0\0\x80."), GH_PICKLE_INT, INT64_MIN, NULL},
      {BYTES("\x8a\x09"
             "123456789."),
       GH_PICKLE_LONG, 0, "123456789"},
      {BYTES("X\x02\0\0\0hi."), GH_PICKLE_TEXT, 0, "hi"},
      {BYTES("\x8c\x02hi."), GH_PICKLE_TEXT, 0, "hi"},
      {BYTES("\x8d\x02\0\0\0\0\0\0\0hi."), GH_PICKLE_TEXT, 0, "hi"},
      {BYTES("U\x02hi."), GH_PICKLE_TEXT, 0, "hi"},
      {BYTES("T\x02\0\0\0hi."), GH_PICKLE_TEXT, 0, "hi"},
      {BYTES("C\x02hi."), GH_PICKLE_BYTES, 0, "hi"},
      {BYTES("B\x02\0\0\0hi."), GH_PICKLE_BYTES, 0, "hi"},
      {BYTES("\x8e\x02\0\0\0\0\0\0\0hi."), GH_PICKLE_BYTES, 0, "hi"},
      {BYTES("S'a\\'b\\n\\x41\\\\'\n."), GH_PICKLE_TEXT, 0, "a'b\nA\\"},
      {BYTES("S\"it's\"\n."), GH_PICKLE_TEXT, 0, "it's"},
      {BYTES("V\xe9\\u00e9\\U0001F600\\x\n."), GH_PICKLE_TEXT, 0, "\xc3\xa9\xc3\xa9\xf0\x9f\x98\x80\\x"},
      {BYTES("N1."), GH_PICKLE_NONE, -1, NULL}, /* -1: an error */
      {BYTES("I\n."), GH_PICKLE_NONE, -1, NULL},
      {BYTES("I1x\n."), GH_PICKLE_NONE, -1, NULL},
      {BYTES("S'a\n."), GH_PICKLE_NONE, -1, NULL},
      {BYTES("S'\\q'\n."), GH_PICKLE_NONE, -1, NULL},
      {BYTES("V\\UFFFFFFFF\n."), GH_PICKLE_NONE, -1, NULL},
      {BYTES("Fone\n."), GH_PICKLE_NONE, -1, NULL},
      {BYTES("P0\n."), GH_PICKLE_NONE, -1, NULL},
      {BYTES("(ia\nb\n."), GH_PICKLE_NONE, -1, NULL},
  };
  for (size_t i = 0; i < GH_COUNT(cases); i++) {
    gh_error err = {0};
    gh_pickle *pickle;
    size_t used = 0;
    gh_status status = gh_pickle_read(&err, &pickle, "case", cases[i].bytes, cases[i].size, known, &used);
    if (!status == (cases[i].type == GH_PICKLE_NONE && cases[i].integer < 0)) fail_msg("case %zu: %s", i, err.text);
    if (status) continue;
    const gh_pickle_value *v = gh_pickle_root(pickle);
    assert_int_equal(used, cases[i].size);
    assert_int_equal(v->type, cases[i].type);
    if (cases[i].text) {
      assert_int_equal(v->as.text.size, strlen(cases[i].text));
      assert_memory_equal(v->as.text.bytes, cases[i].text, v->as.text.size);
    } else {
      assert_int_equal(v->as.integer, cases[i].integer);
    }
    gh_pickle_free(pickle);
  }
}

/* Reads a pickle that must be valid. */
static gh_pickle *read_valid(const char *bytes, size_t size) {
  gh_error err = {0};
  gh_pickle *pickle;
  check_ok(gh_pickle_read(&err, &pickle, "case", bytes, size, known, NULL));
  return pickle;
}

static void test_structures(void **state) {
  (void)state;
  gh_error err = {0};
  gh_pickle *p = read_valid(BYTES("G?\xf8\0\0\0\0\0\0F-2.5\n\x86."));
  const gh_pickle_value *v = gh_pickle_root(p);
  assert_true(v->type == GH_PICKLE_TUPLE && v->as.list.count == 2 && v->depth == 1);
  assert_true(v->as.list.items[0]->as.real == 1.5 && v->as.list.items[1]->as.real == -2.5);
  gh_pickle_free(p);

  p = read_valid(BYTES("ca\nb\nq\1K\1\x85R}(K\1K\2K\3K\4ub(K\5K\6e.")); /* a call, its state, its items */
  v = gh_pickle_root(p);
  assert_int_equal(v->type, GH_PICKLE_CALL);
  assert_string_equal(v->callable->global_name, "a.b");
  assert_true(gh_pickle_global_of(v) == &known[0] && v->args->as.list.items[0]->as.integer == 1);
  assert_true(v->state->type == GH_PICKLE_DICT && v->state->as.list.count == 4);
  assert_true(v->filled == GH_PICKLE_LIST && v->as.list.count == 2);
  gh_pickle_free(p);

  p = read_valid(
      BYTES("\x80\x04]\x94(\x8c\1c\x8c\1d\x93\x94h\1h\1e.")); /* memo, and a row of the table that is a prefix */
  v = gh_pickle_root(p);
  assert_int_equal(v->as.list.count, 3);
  assert_true(v->as.list.items[0] == v->as.list.items[2] && gh_pickle_global_of(v->as.list.items[0]) == &known[1]);
  gh_pickle_free(p);

  p = read_valid(BYTES("(K\1K\2lK\3a(K\1K\2dK\3K\4s\x8f(K\5\x90(K\1t(0K\7Q\x94"
                       "22(NN1\x87\x87\x87."));
  assert_int_equal(gh_pickle_persistent_count(p), 1);
  assert_int_equal(gh_pickle_persistent_at(p, 0)->args->as.integer, 7);
  gh_pickle_free(p);
  check_fails(gh_pickle_read(&err, &p, "case", BYTES("cc\nd.e\n."), (gh_pickle_global[]){{0}}, NULL),
              GH_ERROR_UNSUPPORTED, "case: the pickle asks for c.d.e");
  check_fails(gh_pickle_read(&err, &p, "case", BYTES("cc\n\n."), known, NULL), GH_ERROR_UNSUPPORTED, "asks for c.,");
  check_fails(gh_pickle_read(&err, &p, "case", BYTES("ca\nb\n)R}(NNub(Ne(NNu."), known, NULL), GH_ERROR_FORMAT,
              "items are put into a value that takes none");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(test_crc),
      cmocka_unit_test(test_containers),
      cmocka_unit_test(test_as_safetensors),
      cmocka_unit_test(test_later_dtypes),
      cmocka_unit_test(test_lightning),
      cmocka_unit_test(test_prefix),
      cmocka_unit_test(test_set),
      cmocka_unit_test(test_folder),
      cmocka_unit_test(test_hostile),
      cmocka_unit_test(test_unusual),
      cmocka_unit_test(test_damaged_elements),
      cmocka_unit_test(test_truncated),
      cmocka_unit_test(test_mutations),
      cmocka_unit_test(test_allocation_failures),
      cmocka_unit_test(test_scalars),
      cmocka_unit_test(test_structures),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
