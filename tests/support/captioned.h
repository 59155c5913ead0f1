/* Folders of pictures with texts beside them. */
#ifndef GH_TESTS_SUPPORT_CAPTIONED_H
#define GH_TESTS_SUPPORT_CAPTIONED_H

/* Writes into a fresh folder in `scratch` a copy of one picture under each name (ends with NULL), and the texts: pairs
 * of a name and its content, which end with a null name. Returns its path; the caller frees. */
char *captioned_folder(const char *name, const char *const *pictures, const char *const (*texts)[2]);

#endif
