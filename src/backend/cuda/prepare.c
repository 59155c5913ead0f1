/* Whether NVIDIA's driver survives being started, found in a process of its own before this one calls it. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

#include "backend/core/ask.h"
#include "backend/cuda/internal.h"
#include "base/log.h"

#define MARKER ".cuda-driver"

/* What listing devices calls. */
static void question(void *context, gh_answer *answer) {
  char why[256];
  gh_device_info info;
  gh_error ignored;
  (void)context;
  (void)answer;
  const int count = gh_cuda_device_count(why, sizeof why);
  for (int i = 0; i < count; i++) gh_cuda_describe(&ignored, i, &info, NULL);
}

/* What changes with another driver, or another start of it. */
static gh_status list_files(gh_error *err, gh_strings *files) {
  const char *folders = getenv("GH_CUDA_LIBRARIES");
  gh_status status = gh_strings_add(err, files, "/proc/driver/nvidia/version");
  return status || !folders || !*folders ? status : gh_strings_add(err, files, folders);
}

static bool ask_again;

static void prepare(void) {
  gh_error err;
  gh_strings files = {0};
  gh_asked asked;
  char how[80], why[200];
  if (!gh_ask_possible() || !gh_cuda_driver_found()) return;
  const bool listed = !list_files(&err, &files);
  if (!ask_again && listed && gh_ask_answered_before(MARKER, &files)) goto done;
  const double seconds = gh_ask_seconds();
  gh_ask_start(&asked, question, NULL);
  gh_ask_wait(&asked, 1, seconds);
  if (!gh_ask_answered(&asked, seconds, how, sizeof how)) {
    snprintf(why, sizeof why, "the NVIDIA driver %s while its devices are listed%s", how,
             asked.in_time ? "" : " (GH_DRIVER_WAIT: seconds)");
    gh_cuda_driver_refuse(why);
    gh_warn("cuda: %s; it is not used", why);
  } else if (listed) {
    gh_ask_remember(MARKER, &files);
  }
  gh_ask_free(&asked);
done:
  gh_strings_free(&files);
}

void gh_cuda_prepare(bool again) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  if (again) ask_again = true;
  pthread_once(&once, prepare);
}
