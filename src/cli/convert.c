/* genhance convert: a file of torch.save as safetensors. */
#include "base/file.h"
#include "base/log.h"
#include "cli/cli.h"
#include "io/torch_file.h"
#include "models/weights.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MADE_BY     "genhance convert"
#define WEIGHTS     "model.safetensors"
#define CHUNK_BYTES ((size_t)1 << 20)
#define MOST_LINES  20 /* of what was left out; --json has all */

static gh_status declare_all(gh_error *err, gh_safetensors_writer *writer, const gh_torch_file *file) {
  gh_status status = gh_safetensors_writer_metadata(err, writer, "format", "pt"); /* transformers requires it */
  if (!status) status = gh_safetensors_writer_metadata(err, writer, "made_by", MADE_BY);
  for (size_t i = 0; i < gh_torch_count(file) && !status; i++) {
    const gh_st_tensor *t = &gh_torch_at(file, i)->st;
    status = gh_safetensors_writer_declare(err, writer, t->name, t->dtype, t->rank, t->shape);
  }
  return status;
}

/* Writes a tensor by chunks, after its storage's checksum was found right. */
static gh_status write_tensor(gh_error *err, gh_safetensors_writer *writer, gh_torch_file *file,
                              const gh_torch_tensor *t, void *chunk) {
  const size_t size = gh_st_dtype_bytes(t->st.dtype);
  gh_status status = gh_torch_check(err, file, t);
  for (int64_t done = 0; done < t->st.elements && !status;) {
    const int64_t n = GH_MIN(t->st.elements - done, (int64_t)(CHUNK_BYTES / size));
    gh_torch_read(t, done, n, chunk);
    status = gh_safetensors_writer_write(err, writer, t->st.name, chunk, (size_t)n * size);
    done += n;
  }
  gh_torch_release(file, t);
  return status;
}

static gh_status write_all(gh_error *err, gh_torch_file *file, const char *path) {
  gh_safetensors_writer *writer = NULL;
  void *chunk = gh_alloc(err, CHUNK_BYTES, 1);
  gh_status status = chunk ? gh_safetensors_writer_new(err, &writer, path) : GH_ERROR_MEMORY;
  if (!status) status = declare_all(err, writer, file);
  if (!status) status = gh_safetensors_writer_begin(err, writer);
  for (size_t i = 0; i < gh_torch_count(file) && !status; i++)
    status = write_tensor(err, writer, file, gh_torch_at(file, i), chunk);
  if (!status) status = gh_safetensors_writer_finish(err, writer);
  gh_safetensors_writer_free(writer);
  free(chunk);
  return status;
}

static gh_status report_names(gh_error *err, const gh_args *args, const gh_torch_file *file) {
  gh_json *list = gh_json_put_array(err, args->result, "names");
  gh_status status = list ? GH_OK : GH_ERROR_MEMORY;
  for (size_t i = 0; i < gh_torch_count(file) && !status; i++)
    status = gh_json_put_string(err, list, NULL, gh_torch_at(file, i)->st.name);
  return status;
}

static gh_status report_left_out(gh_error *err, const gh_args *args, const gh_torch_file *file) {
  const size_t count = gh_torch_left_out_count(file);
  gh_json *list = gh_json_put_array(err, args->result, "left_out");
  if (!list) return err->status;
  for (size_t i = 0; i < count; i++) {
    const gh_torch_left_out *row = gh_torch_left_out_at(file, i);
    gh_json *item = gh_json_put_object(err, list, NULL);
    if (!item || gh_json_put_string(err, item, "name", row->name) || gh_json_put_string(err, item, "why", row->why) ||
        (row->tensors && gh_json_put_int(err, item, "tensors", (int64_t)row->tensors)))
      return err->status;
    if (i >= MOST_LINES) continue;
    char tensors[40] = "";
    if (row->tensors) snprintf(tensors, sizeof tensors, "%zu tensor%s: ", row->tensors, row->tensors == 1 ? "" : "s");
    gh_print_line("left out: %s (%s%s)", row->name, tensors, row->why);
  }
  if (count > MOST_LINES) printf("left out: %zu more\n", count - MOST_LINES);
  return GH_OK;
}

static gh_status report(gh_error *err, const gh_args *args, const gh_torch_file *file, const char *path) {
  char size[32];
  int64_t bytes = 0;
  size_t tied = 0;
  for (size_t i = 0; i < gh_torch_count(file); i++) bytes += (int64_t)gh_torch_at(file, i)->st.bytes;
  gh_status status = gh_torch_tied(err, file, &tied);
  if (status) return status;
  gh_bytes_text(size, sizeof size, bytes);
  gh_print_line("%s: %zu tensor%s, %s", path, gh_torch_count(file), gh_torch_count(file) == 1 ? "" : "s", size);
  if (tied) printf("%zu of them have the same elements as another one: written once each\n", tied);
  if (gh_json_put_string(err, args->result, "file", path) ||
      gh_json_put_int(err, args->result, "tensors", (int64_t)gh_torch_count(file)) ||
      gh_json_put_int(err, args->result, "tied", (int64_t)tied) || gh_json_put_int(err, args->result, "bytes", bytes) ||
      report_names(err, args, file))
    return err->status;
  return report_left_out(err, args, file);
}

static gh_status run(gh_error *err, const gh_args *args) {
  const char *from = gh_args_text(args, "file"), *out = gh_args_text(args, "out");
  gh_torch_file *file = NULL;
  if (gh_ends_with(from, ".safetensors") || gh_ends_with(from, ".safetensors.index.json"))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s: is safetensors already: there is nothing to convert", from);
  char *path = gh_path_join(err, out, WEIGHTS);
  gh_status status = path ? GH_OK : GH_ERROR_MEMORY;
  if (!status) status = gh_weights_refuse_others(err, out, WEIGHTS, WEIGHTS ".index.json", MADE_BY);
  if (!status) status = gh_torch_open(err, &file, from, gh_args_text(args, "prefix"));
  if (!status) status = gh_folder_make(err, out);
  if (!status) status = gh_folder_sweep_dead(err, out);
  if (!status) status = write_all(err, file, path);
  if (!status) status = report(err, args, file, path);
  gh_torch_close(file);
  free(path);
  return status;
}

static const gh_option options[] = {
    {"file", "FILE", GH_OPTION_TEXT, .help = "file of torch.save, or the .index.json of a set of them",
     .required = true, .bare = true},
    {"out", "DIR", GH_OPTION_TEXT, .help = "folder to write " WEIGHTS " to; created if absent", .required = true},
    {"prefix", "TEXT", GH_OPTION_TEXT,
     .help = "only tensors whose names begin so; the prefix is taken off, for example module."},
    {0},
};

const gh_command gh_command_convert = {
    .name = "convert",
    .summary = "write PyTorch's own files as safetensors",
    .details =
        "Reads files of torch.save (.bin, .pt, .pth, .ckpt). The pickle inside is data, and nothing in it is executed: "
        "one that asks for anything but tensors and known settings is refused, with the name of what it asks for. "
        "Takes "
        "the tensors of a state dict, also under state_dict, model_state_dict, model or module, and keeps their names, "
        "dtypes and bits. Optimisers and settings are left out and listed, and so are a VQ-GAN's loss.* and the "
        "averaged "
        "copies model_ema.*.\n"
        "\nA model folder with pytorch_model.bin needs no conversion: every command opens it.",
    .run = run,
    .options = options,
};
