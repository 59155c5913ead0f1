#include "io/protobuf.h"

#include <string.h>

static gh_status broken(gh_error *err, const gh_proto *p, const char *what) {
  return gh_fail(err, GH_ERROR_FORMAT, "%s: %s (not a SentencePiece model, or a damaged one)", p->name, what);
}

static gh_status varint(gh_error *err, gh_proto *p, uint64_t *out) {
  *out = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    if (p->at == p->end) return broken(err, p, "ends within a number");
    unsigned char byte = *p->at++;
    *out |= (uint64_t)(byte & 0x7F) << shift;
    if (byte < 0x80) return GH_OK;
  }
  return broken(err, p, "a number longer than ten bytes");
}

static gh_status fixed(gh_error *err, gh_proto *p, int size, uint64_t *out) {
  if (p->end - p->at < size) return broken(err, p, "ends within a number");
  *out = 0;
  for (int i = size - 1; i >= 0; i--) *out = *out << 8 | p->at[i];
  p->at += size;
  return GH_OK;
}

static gh_status bytes(gh_error *err, gh_proto *p, gh_proto_field *f) {
  uint64_t size;
  gh_status status = varint(err, p, &size);
  if (status) return status;
  if (size > (uint64_t)(p->end - p->at)) return broken(err, p, "a field is longer than its message");
  f->bytes = p->at;
  f->size = (size_t)size;
  p->at += size;
  return GH_OK;
}

gh_status gh_proto_next(gh_error *err, gh_proto *p, gh_proto_field *f, bool *more) {
  uint64_t key;
  *f = (gh_proto_field){0};
  *more = p->at < p->end;
  if (!*more) return GH_OK;
  gh_status status = varint(err, p, &key);
  if (status) return status;
  f->number = key >> 3;
  f->wire = (gh_wire)(key & 7);
  if (!f->number) return broken(err, p, "a field without a number");
  switch (f->wire) {
  case GH_WIRE_VARINT:
    return varint(err, p, &f->value);
  case GH_WIRE_FIXED64:
    return fixed(err, p, 8, &f->value);
  case GH_WIRE_FIXED32:
    return fixed(err, p, 4, &f->value);
  case GH_WIRE_BYTES:
    return bytes(err, p, f);
  default:
    return broken(err, p, "a field of an unknown wire type");
  }
}

gh_status gh_proto_want(gh_error *err, const gh_proto *p, const gh_proto_field *f, gh_wire wire) {
  return f->wire == wire ? GH_OK : broken(err, p, "a field of the wrong wire type");
}

float gh_proto_float(const gh_proto_field *f) {
  uint32_t bits = (uint32_t)f->value;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
