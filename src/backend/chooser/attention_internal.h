/* Shared by attention_kernels.c, attention_space.c, attention_check.c, attention_trial.c, attention_tile.c and
 * attention.c (each builds on previous ones), and used by tests to plant providers. */
#ifndef GH_BACKEND_CHOOSER_ATTENTION_INTERNAL_H
#define GH_BACKEND_CHOOSER_ATTENTION_INTERNAL_H

#include "backend/chooser/attention_tile.h"

typedef struct gh_attention_provider {
  gh_provider base;
  /* Defines of the matrix unit: "-DUNIT_MMA"; "": those of the device's own; NULL: the shared kernels. */
  const char *unit;
  bool (*supports)(const gh_attention_desc *desc, const gh_device *d);
} gh_attention_provider;

/* The defines of a GPU's unit; NULL: attention has no kernels for it. */
const char *gh_attention_unit(gh_matrix_unit unit);
/* Those of the device's unit for its shape of kernels, "-DUNIT_AMX" for a CPU's tiles; NULL: it has none. */
const char *gh_attention_unit_of(const gh_device_info *info);

/* Whether the kernels of a unit support the storage type and the head size, and the device has room for their
 * work-groups. Whether it has the unit is not checked. */
bool gh_attention_fits(const gh_attention_desc *desc, const gh_device *d, const char *unit);

/* The supported head sizes, ending with 0, and the index of a size there (-1: not supported). */
extern const int gh_attention_sizes[];
int gh_attention_index(int64_t size);
#define GH_ATTENTION_MAX_ROWS (1 << 30) /* queries, and keys */

/* ---- tiles ---- */

typedef enum gh_attention_way {
  GH_ATTENTION_CPU,
  GH_ATTENTION_GPU,
  GH_ATTENTION_MATRIX,
  GH_ATTENTION_WAYS
} gh_attention_way;

enum { GH_ATTENTION_PARAMETERS = 3 };

/* 0: the usual number.
 *
 *   CPU      rows of a tile; vectors of a work-item's block
 *   GPU      columns of a tile; rows of a work-group; columns of its result
 *   matrix   columns of a tile; units of a wave, stacked vertically */
typedef struct gh_attention_tile {
  gh_provider base;
  gh_attention_way way;
  bool backward;
  int size[GH_ATTENTION_PARAMETERS];
} gh_attention_tile;

gh_attention_way gh_attention_way_of(const gh_attention_work *work, const gh_device_info *info);
/* Whether the kernel can have the tile, and it is not the usual one by another name. */
bool gh_attention_tile_suits(const gh_attention_tile *tile, const gh_attention_work *work, const gh_device_info *info);
/* The kernel of a part, whether or not the device has the unit. tile NULL: the usual one. */
void gh_attention_kernel_of(const gh_attention_work *work, const gh_attention_tile *tile, const gh_device_info *info,
                            gh_attention_kernel *out);

/* attention_space.c: the table of usual tiles, and what a search tries beside it; NULL after the last. */
const gh_provider *gh_attention_usual(int index);
const gh_provider *gh_attention_searched(int index);

/* ---- checks ---- */

/* Runs all three parts for a narrow type and a head size, with or without a mask, and the shared kernels on the same
 * numbers. GH_ERROR_DEVICE: they differ, and the text says where. */
gh_status gh_attention_check(gh_error *err, gh_device *d, gh_dtype dtype, int64_t size, bool masked, const char *unit);

/* attention_trial.c: the members of gh_attention_tile_kind that check, against float64 on sampled rows, and time */
double gh_attention_madds(const void *work);
gh_status gh_attention_trial_open(gh_error *err, gh_device *d, const void *work, bool timed, void **out);
gh_status gh_attention_trial_run(gh_error *err, void *trial, const gh_provider *provider, gh_launch **launch);
void gh_attention_trial_close(void *trial);
double gh_attention_trial_madds(const void *trial); /* of a call: large work is tried with fewer samples and heads */

#endif
