/* A run's folder, assembled from fixtures. */
#ifndef GH_TESTS_SUPPORT_RUN_FOLDER_H
#define GH_TESTS_SUPPORT_RUN_FOLDER_H

/* Writes run/config.json: probe/name with absolute paths, without an initial denoiser or adapter. */
void run_folder_config(const char *run, const char *probe, const char *name);

/* Copies a file to run/folder/name, creating the folder if needed. */
void run_folder_copy(const char *run, const char *from, const char *folder, const char *name);

#endif
