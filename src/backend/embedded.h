/* The kernel sources, which the build embeds into the binary (cmake/embed.cmake). */
#ifndef GH_BACKEND_EMBEDDED_H
#define GH_BACKEND_EMBEDDED_H

typedef struct gh_embedded_file {
  const char *name; /* "layernorm.cl" */
  const char *text; /* zero-terminated */
} gh_embedded_file;

extern const gh_embedded_file gh_embedded_kernels[]; /* ends with a null name */

#endif
