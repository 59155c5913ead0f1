/* Files of torch.save: named tensors, without executing what the pickle inside asks for.
 *
 * Both containers: the zip file of PyTorch 1.6 and later, and the older one of pickles followed by storages. The file
 * is mapped; tensors are read from there, in any strides. Only little-endian files.
 *
 * Which tensors: those of the dictionary at the top, or of the one under a key such as "state_dict" (torch_tensor.c has
 * the table). What is beside it, and tensors that inference does not need, are left out and listed.
 *
 * Input is hostile: io/pickle.h and io/zip.h say what they check; here every tensor's range is checked to lie in its
 * storage and every storage in the file. A tensor of an unsupported kind is GH_ERROR_UNSUPPORTED with its name. */
#ifndef GH_IO_TORCH_FILE_H
#define GH_IO_TORCH_FILE_H

#include "io/safetensors.h"

typedef struct gh_torch_tensor {
  gh_st_tensor st; /* data: the first element; the others follow in the order of st.shape only if contiguous */
  int64_t stride[GH_ST_MAX_RANK]; /* in elements, of each dimension; 0 repeats */
  bool contiguous;
  size_t part, storage; /* where its elements are */
} gh_torch_tensor;

typedef struct gh_torch_left_out {
  char *name; /* "optimizer_states", "loss.*" */
  const char *why;
  size_t tensors; /* 0 where they were not counted */
} gh_torch_left_out;

typedef struct gh_torch_file gh_torch_file;

/* path: a file, or the *.index.json of a set of files. prefix (NULL: none): only tensors whose name begins with it; it
 * is taken off. */
gh_status gh_torch_open(gh_error *err, gh_torch_file **out, const char *path, const char *prefix);
/* A single file that is in memory already; bytes must outlive it. name: its path in messages. */
gh_status gh_torch_open_memory(gh_error *err, gh_torch_file **out, const char *name, const char *prefix,
                               const void *bytes, size_t size);
void gh_torch_close(gh_torch_file *file); /* NULL is fine */

size_t gh_torch_count(const gh_torch_file *file);
const gh_torch_tensor *gh_torch_at(const gh_torch_file *file, size_t index); /* sorted bytewise by name */
size_t gh_torch_left_out_count(const gh_torch_file *file);
const gh_torch_left_out *gh_torch_left_out_at(const gh_torch_file *file, size_t index);
/* How many tensors are another one's elements under a second name. */
gh_status gh_torch_tied(gh_error *err, const gh_torch_file *file, size_t *tied);

/* Elements [first, first + n) in row-major order, in the file's dtype, into n elements of memory. */
void gh_torch_read(const gh_torch_tensor *tensor, int64_t first, int64_t n, void *out);
/* GH_ERROR_FORMAT if the storage's checksum is wrong: reads the storage, once for all of its tensors. The older
 * container has no checksums. */
gh_status gh_torch_check(gh_error *err, gh_torch_file *file, const gh_torch_tensor *tensor);
void gh_torch_release(const gh_torch_file *file, const gh_torch_tensor *tensor); /* as gh_safetensors_release */

/* The same file as a set of safetensors: contiguous tensors stay in the mapped file, the others are copied, together at
 * most GH_TORCH_MAX_COPIED bytes (else GH_ERROR_UNSUPPORTED). Checksums of tensors are not verified, as safetensors
 * have none. */
#define GH_TORCH_MAX_COPIED ((size_t)1 << 30)
gh_status gh_torch_open_weights(gh_error *err, gh_safetensors **out, const char *path);

#endif
