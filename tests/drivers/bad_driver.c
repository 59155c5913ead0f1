/* An OpenCL driver that fails while the loader asks it for its platforms, as $BAD_DRIVER says: "abort", "hang", or
 * "exit".
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

__attribute__((visibility("default"))) void *clGetExtensionFunctionAddress(const char *name);

void *clGetExtensionFunctionAddress(const char *name) {
  const char *how = getenv("BAD_DRIVER");
  (void)name;
  if (how && !strcmp(how, "abort")) abort();
  if (how && !strcmp(how, "exit")) exit(3);
  while (how && !strcmp(how, "hang")) sleep(1);
  return NULL;
}
