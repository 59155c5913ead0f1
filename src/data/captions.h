/* The captions of pictures: of a folder's picture.png the file picture.txt beside it; of a picture in a shard the
 * member of its sample with the key txt. Where there is none, "caption" of picture.json, or of the member with the key
 * json. */
#ifndef GH_DATA_CAPTIONS_H
#define GH_DATA_CAPTIONS_H

#include "data/image_set.h"

#define GH_CAPTION_BYTES ((size_t)1 << 20) /* of a file with a caption, at most */

/* Reads the caption of every picture of the set, in the set's order, and leaves out of the set those that have none, or
 * only white space. The first ten are named, all are counted; captions without a picture are counted. A picture whose
 * caption is not UTF-8, or is in a broken file, is GH_ERROR_FORMAT; GH_ERROR_FILE if no picture has a caption. Fails
 * naming the key as gh_image_set_open does. */
gh_status gh_captions_read(gh_error *err, gh_strings *out, gh_image_set *set);

#endif
