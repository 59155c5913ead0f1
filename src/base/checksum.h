/* Checksums of files that the program writes and reads again, so that bit rot is seen before it is believed: XXH64, at
 * several GB/s on one core, about as fast as the best disks read (docs/a-step.md).
 *
 * - A seal is a member "xxh64" of a JSON object: the hash of the object's other members. A file of an earlier version
 *   has no seal and is accepted.
 * - checksums.json lists the files of a folder with their sizes and hashes, and is sealed. Files that are not listed,
 *   and folders without such a list, are accepted. */
#ifndef GH_BASE_CHECKSUM_H
#define GH_BASE_CHECKSUM_H

#include "base/json.h"

#define GH_CHECKSUM_TEXT 17 /* 16 hexadecimal digits and a zero */
void gh_checksum_text(char text[GH_CHECKSUM_TEXT], uint64_t hash);

/* XXH64 of an object's members in their order, without a seal and without keys that only say where a model came from
 * ("base_model_name_or_path", ...): the same content moved to another path has the same hash. */
gh_status gh_json_hash(gh_error *err, const gh_json *object, uint64_t *hash);

/* Adds the seal to a complete object. Check: GH_ERROR_FORMAT "PATH: damaged: ..." where a seal does not match. */
gh_status gh_json_seal(gh_error *err, gh_json *object);
gh_status gh_json_check_seal(gh_error *err, const char *path, const gh_json *object);

/* Writes a sealed object; adds the seal to it. */
gh_status gh_json_write_sealed(gh_error *err, const char *path, gh_json *object);
/* Reads a regular file and checks its seal. GH_ERROR_FORMAT: not JSON, or damaged. */
gh_status gh_json_read_sealed(gh_error *err, gh_json **out, const char *path);

/* The hash and size of a regular file; gh_json_hash where its name ends in .json. */
gh_status gh_file_hash(gh_error *err, const char *path, uint64_t *hash, uint64_t *bytes);

/* Writes FOLDER/checksums.json for the files that lie directly in the folder. */
gh_status gh_checksums_write(gh_error *err, const char *folder);
/* Compares the file with the list beside it. GH_ERROR_FORMAT "PATH: damaged: ...". */
gh_status gh_checksums_check(gh_error *err, const char *path);

#endif
