// A C++ program: the header declares C functions to it, and header and library are of one version.
#include <genhance/genhance.h>

#include <cstdio>
#include <cstring>

int main() {
  char numbers[32];
  std::snprintf(numbers, sizeof numbers, "%d.%d.%d", GENHANCE_VERSION_MAJOR, GENHANCE_VERSION_MINOR,
                GENHANCE_VERSION_PATCH);
  if (std::strcmp(numbers, GENHANCE_VERSION_STRING) || std::strcmp(numbers, genhance_version())) {
    std::fprintf(stderr, "header %s (%s), library %s\n", numbers, GENHANCE_VERSION_STRING, genhance_version());
    return 1;
  }
  std::puts(numbers);
  return 0;
}
