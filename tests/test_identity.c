/* The identity of a device: texts of UUIDs and addresses, what names a device, the power limit of the kernel's driver.
 */
#include "support/check.h"

#include "backend/pci.h"
#include "backend/registry.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

static gh_error err;

static void test_texts(void **state) {
  (void)state;
  gh_device_identity identity = {0};
  const unsigned char none[16] = {0}, some[16] = {0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef,
                                                  0xfe, 0xdc, 0xba, 0x98, 0x76, 0x54, 0x32, 0x10};
  gh_identity_uuid(&identity, none);
  assert_string_equal(identity.uuid, "");
  gh_identity_uuid(&identity, some);
  assert_string_equal(identity.uuid, "01234567-89ab-cdef-fedc-ba9876543210");
  gh_identity_pci(&identity, 0, 0x100, 0, 0); /* no such bus */
  assert_string_equal(identity.pci, "");
  gh_identity_pci(&identity, 0, 0x3b, 0, 1);
  assert_string_equal(identity.pci, "0000:3b:00.1");
}

static void test_names(void **state) {
  (void)state;
  static const struct {
    const char *name;
    bool is;
  } table[] = {{"opencl:1", true},
               {"opencl:2", false},
               {"01234567-89ab-cdef-fedc-ba9876543210", true},
               {"GPU-01234567-89AB-CDEF-FEDC-BA9876543210", true},
               {"0000:3b:00.0", true},
               {"3B:00.0", true},
               {"3b:00.1", false},
               {"opencl:3b:00.0", true},
               {"opencl:GPU-01234567-89ab-cdef-fedc-ba9876543210", true},
               {"cuda:3b:00.0", false},
               {"opencl:", false},
               {"", false}};
  gh_device_info info = {.id = "opencl:1",
                         .identity = {.uuid = "01234567-89ab-cdef-fedc-ba9876543210", .pci = "0000:3b:00.0"}};
  for (size_t i = 0; i < GH_COUNT(table); i++)
    if (gh_device_is_named(&info, table[i].name) != table[i].is) fail_msg("%s", table[i].name);
  info.identity = (gh_device_identity){0};
  assert_false(gh_device_is_named(&info, ""));
  assert_false(gh_device_is_named(&info, "opencl:"));
}

static void test_hardware(void **state) {
  (void)state;
  gh_device_identity identity = {.pci = "0000:3b:00.0"};
  char host[128], name[320], again[320];
  gh_host_name(host, sizeof host);
  gh_hardware_name(name, sizeof name, &identity, false, "GPU");
  assert_non_null(strstr(name, host));
  assert_non_null(strstr(name, "GPU ("));
  memcpy(identity.uuid, "0-1", 4);
  gh_hardware_name(name, sizeof name, &identity, false, "GPU");
  assert_string_equal(name, "GPU (0-1)");
  gh_hardware_name(name, sizeof name, &identity, true, "one runtime");
  gh_hardware_name(again, sizeof again, &(gh_device_identity){0}, true, "another");
  assert_string_equal(name, again); /* one processor, whatever reaches it */
}

static void test_power(void **state) {
  (void)state;
  char *root = check_folder(), *folder = check_path(root, "0000:3b:00.0/hwmon/hwmon7"),
       *file = check_path(folder, "power1_cap");
  gh_device_identity identity = {.pci = "0000:3b:00.0"};
  gh_identity_power(&identity, root);
  assert_int_equal(identity.power_limit_mw, 0);
  check_ok(gh_folder_make(&err, folder));
  check_write(file, "250000000\n", 10);
  gh_identity_power(&identity, root);
  assert_int_equal(identity.power_limit_mw, 250000);
  free(file);
  free(folder);
  check_folder_done(root);
}

/* A folder as the kernel has it: one file per property, with whatever it holds. */
static void place(const char *bus, const char *address, const char *class, const char *vendor) {
  char *folder = check_path(bus, address), *classes = check_path(folder, "class"),
       *vendors = check_path(folder, "vendor");
  check_ok(gh_folder_make(&err, folder));
  check_write(classes, class, strlen(class));
  check_write(vendors, vendor, strlen(vendor));
  free(vendors);
  free(classes);
  free(folder);
}

static void test_bus(void **state) {
  (void)state;
  char *bus = check_folder(), *empty = check_path(bus, "0000:0a:00.0"), why[128];
  gh_pci_gpu gpus[8];
  assert_false(setenv("GH_PCI_DEVICES", bus, 1));
  assert_int_equal(gh_pci_gpus(gpus, 8), 0);
  assert_string_equal(gh_pci_page(), "docs/devices.md");
  place(bus, "0000:09:00.0", "0x030200\n", "0x10de\n");
  place(bus, "0000:03:00.0", "0x120000\n", "0x1002\n"); /* an accelerator without a display */
  place(bus, "0000:04:00.0", "0x120000\n", "0x8086\n"); /* another vendor's is no GPU */
  place(bus, "0000:00:01.0", "0x030000\n", "0x1af4\n"); /* a virtual machine's display */
  place(bus, "0000:05:00.0", "rubbish", "0x1002\n");
  place(bus, "a name that is much longer than any address on a bus", "0x030000\n", "0x8086\n");
  check_ok(gh_folder_make(&err, empty));
  assert_int_equal(gh_pci_gpus(gpus, 8), 2);
  assert_string_equal(gpus[0].address, "0000:03:00.0");
  assert_int_equal(gpus[1].vendor, 0x10de);
  assert_int_equal(gh_pci_gpus(gpus, 1), 1);
  assert_string_equal(gh_pci_kind(0x1002), "an AMD GPU");
  assert_string_equal(gh_vendor_page(0x8086), "docs/intel.md");
  gh_pci_obstacle(why, sizeof why, &(gh_pci_gpu){.vendor = 0x10de, .driver = "nouveau"});
  assert_string_equal(why, "the kernel gives it to nouveau");
  unsetenv("GH_PCI_DEVICES");
  free(empty);
  check_folder_done(bus);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(test_texts), cmocka_unit_test(test_names),
                                     cmocka_unit_test(test_hardware), cmocka_unit_test(test_power),
                                     cmocka_unit_test(test_bus)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
