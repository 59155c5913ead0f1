/* Modules of PTX: the interface of the interpreter to the driver's double, apart from runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ptx.h"

static void free_kernel(ptx_kernel *k) {
  free(k->name);
  free(k->instrs);
  free(k->constants);
  free(k->variables);
  free(k);
}

bool ptx_is(const void *image) {
  const char *text = image;
  while (*text == '/') { /* skips leading comments */
    text += strcspn(text, "\n");
    text += strspn(text, "\n");
  }
  return !strncmp(text, ".version", 8);
}

ptx_module *ptx_load(const char *text, char *why, size_t size) {
  ptx_module *m = calloc(1, sizeof *m);
  if (m) m->text = strdup(text);
  if (!m || !m->text) {
    snprintf(why, size, "out of memory");
    free(m);
    return NULL;
  }
  if (ptx_read(m, why, size)) return m;
  ptx_free(m);
  return NULL;
}

void ptx_free(ptx_module *module) {
  while (module->kernels) {
    ptx_kernel *next = module->kernels->next;
    free_kernel(module->kernels);
    module->kernels = next;
  }
  free(module->text);
  free(module);
}

int ptx_arch(const ptx_module *module) { return module->arch; }

const ptx_kernel *ptx_find(const ptx_module *module, const char *name) {
  const ptx_kernel *k = module->kernels;
  while (k && strcmp(k->name, name)) k = k->next;
  return k;
}
