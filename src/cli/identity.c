#include "cli/identity.h"

#include <stdio.h>
#include <stdlib.h>

const char *gh_identity_bf16(const gh_device_info *d) {
  if (d->matrix != GH_MATRIX_NONE || d->amx) return "matrix unit";
  return d->bf16_dot ? "dot products" : "stored only";
}

/* AMX and AVX-512 have no float16 of the kind that genhance uses. */
const char *gh_identity_f16(const gh_device_info *d) {
  if (d->matrix != GH_MATRIX_NONE) return "matrix unit";
  return d->identity.float16 == GH_YES && !d->is_cpu ? "converted" : "stored only";
}

gh_precision gh_identity_advised(const gh_device_info *d) {
  const bool emulated = d->matrix == GH_MATRIX_NONE && d->identity.float16 == GH_YES && !d->is_cpu;
  return emulated ? GH_PRECISION_FLOAT16 : GH_PRECISION_BFLOAT16;
}

static gh_status put_known(gh_error *err, gh_json *to, const char *key, gh_known value) {
  return value == GH_UNKNOWN ? gh_json_put_null(err, to, key) : gh_json_put_bool(err, to, key, value == GH_YES);
}

static gh_status put_number(gh_error *err, gh_json *to, const char *key, double value) {
  return value > 0 ? gh_json_put_double(err, to, key, value) : gh_json_put_null(err, to, key);
}

gh_status gh_identity_put(gh_error *err, gh_json *device, const gh_device_info *d) {
  const gh_device_identity *own = &d->identity;
  char hardware[320];
  gh_hardware_name(hardware, sizeof hardware, own, d->is_cpu, d->name);
  const struct {
    const char *key, *value;
  } texts[] = {{"uuid", own->uuid},
               {"pci_address", own->pci},
               {"vendor", own->vendor},
               {"compiler", own->compiler},
               {"matrix_unit", gh_identity_matrix_unit(d)},
               {"hardware", hardware},
               {"bfloat16", gh_identity_bf16(d)},
               {"float16_use", gh_identity_f16(d)},
               {"mixed_precision", gh_precision_name(gh_identity_advised(d))},
               {"unfit", d->unfit}};
  const struct {
    const char *key;
    double value;
  } numbers[] = {{"vendor_id", (double)own->vendor_id},
                 {"clock_mhz", (double)own->clock_mhz},
                 {"cores", (double)own->cores},
                 {"power_limit_watts", (double)own->power_limit_mw * 1e-3}};
  gh_status status = GH_OK;
  for (size_t i = 0; i < GH_COUNT(texts) && !status; i++)
    status = texts[i].value && *texts[i].value ? gh_json_put_string(err, device, texts[i].key, texts[i].value)
                                               : gh_json_put_null(err, device, texts[i].key);
  for (size_t i = 0; i < GH_COUNT(numbers) && !status; i++)
    status = put_number(err, device, numbers[i].key, numbers[i].value);
  size_t sizes = 0;
  while (sizes < GH_SUB_GROUP_SIZES && own->sub_groups[sizes]) sizes++;
  if (!status) status = gh_json_put_ints(err, device, "sub_group_sizes", own->sub_groups, sizes);
  if (!status) status = gh_json_put_bool(err, device, "trains", !d->unfit);
  if (!status) status = put_known(err, device, "float16", own->float16);
  return status ? status : put_known(err, device, "ecc", own->ecc);
}

void gh_identity_print(const gh_device_info *d) {
  static const char *const advice[] = {
      [GH_PRECISION_BFLOAT16] = "bfloat16: it needs no scaling of the loss",
      [GH_PRECISION_FLOAT16] = "float16: the device converts it; it rounds bfloat16 with several instructions"};
  const gh_device_identity *own = &d->identity;
  const struct {
    const char *label, *value;
  } texts[] = {{"vendor", own->vendor},
               {"compiler", own->compiler},
               {"UUID", own->uuid},
               {"PCI address", own->pci},
               {"matrix unit", gh_identity_matrix_unit(d)},
               {"bfloat16", gh_identity_bf16(d)},
               {"float16", gh_identity_f16(d)},
               {"mixed precision", advice[gh_identity_advised(d)]},
               {"memory is checked", own->ecc == GH_UNKNOWN ? NULL
                                     : own->ecc == GH_YES   ? "yes (ECC)"
                                                            : "no"}};
  for (size_t i = 0; i < GH_COUNT(texts); i++)
    if (texts[i].value && *texts[i].value) printf("  %-17s %s\n", texts[i].label, texts[i].value);
  if (own->clock_mhz) printf("  %-17s %lld MHz\n", "clock", (long long)own->clock_mhz);
  if (own->cores) printf("  %-17s %lld\n", d->is_cpu ? "hardware threads" : "lanes", (long long)own->cores);
  if (own->power_limit_mw) printf("  %-17s %.0f W\n", "power limit", (double)own->power_limit_mw * 1e-3);
  for (size_t i = 0; i < GH_SUB_GROUP_SIZES && own->sub_groups[i]; i++)
    printf(i ? ", %lld" : "  sub-groups of     %lld", (long long)own->sub_groups[i]);
  if (own->sub_groups[0]) printf("\n");
}

void gh_identity_print_order(void) {
  const char *visible = getenv("CUDA_VISIBLE_DEVICES"), *order = getenv("CUDA_DEVICE_ORDER");
  if (visible)
    printf("\nCUDA_VISIBLE_DEVICES=%s: cuda:0, cuda:1, ... are these devices in this order; OpenCL lists all of them\n",
           visible);
  if (order)
    printf("\nCUDA_DEVICE_ORDER=%s: the order of cuda:0, cuda:1, ...; OpenCL has an order of its own\n", order);
  if (visible || order) printf("--device takes a UUID or a PCI address, too, which do not depend on any order\n");
}
