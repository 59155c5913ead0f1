/* The wire format of protocol buffers, for reading only: consecutive fields, each checked to lie within its message. */
#ifndef GH_IO_PROTOBUF_H
#define GH_IO_PROTOBUF_H

#include "base/status.h"

typedef struct gh_proto {
  const unsigned char *at, *end;
  const char *name; /* the file, in messages */
} gh_proto;

typedef enum gh_wire { GH_WIRE_VARINT = 0, GH_WIRE_FIXED64 = 1, GH_WIRE_BYTES = 2, GH_WIRE_FIXED32 = 5 } gh_wire;

typedef struct gh_proto_field {
  uint64_t number;
  gh_wire wire;
  uint64_t value;             /* of a varint or a fixed-size number */
  const unsigned char *bytes; /* of GH_WIRE_BYTES */
  size_t size;
} gh_proto_field;

static inline gh_proto gh_proto_open(const char *name, const void *bytes, size_t size) {
  return (gh_proto){bytes, (const unsigned char *)bytes + size, name};
}

/* The next field; *more is false at the message's end. Groups, truncated fields and field number 0 are
 * GH_ERROR_FORMAT. */
gh_status gh_proto_next(gh_error *err, gh_proto *message, gh_proto_field *field, bool *more);

/* GH_ERROR_FORMAT unless the field has the expected wire type. */
gh_status gh_proto_want(gh_error *err, const gh_proto *message, const gh_proto_field *field, gh_wire wire);
float gh_proto_float(const gh_proto_field *field); /* of GH_WIRE_FIXED32 */

#endif
