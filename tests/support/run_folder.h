/* A run's folder, put together from fixtures. */
#ifndef GH_TESTS_SUPPORT_RUN_FOLDER_H
#define GH_TESTS_SUPPORT_RUN_FOLDER_H

/* run/config.json: probe/name with whole paths, no denoiser and no adapter to start from. */
void run_folder_config(const char *run, const char *probe, const char *name);

/* Copies a file to run/folder/name, the folder made where absent. */
void run_folder_copy(const char *run, const char *from, const char *folder, const char *name);

#endif
