/* Questions to a driver in a process of its own: a driver that aborts, ends its process or never returns takes only
 * that process with it, and is known by it. */
#ifndef GH_BACKEND_CORE_ASK_H
#define GH_BACKEND_CORE_ASK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "base/text.h"

/* Shared with the parent. */
typedef struct gh_answer {
  volatile int stage; /* how far the question got */
  char text[240];     /* what the child has to say; "": nothing */
} gh_answer;

/* Runs in the child, which prints nothing. */
typedef void gh_question(void *context, gh_answer *answer);

typedef struct gh_asked {
  pid_t process;
  gh_answer *answer; /* NULL: could not be asked */
  bool over, in_time;
  int status; /* of waitpid */
} gh_asked;

/* Whether this process may be duplicated: it has one thread, so that no other one can hold a driver's lock. */
bool gh_ask_possible(void);

void gh_ask_start(gh_asked *asked, gh_question *question, void *context);
/* Waits for `count` children together, but not longer than that, and ends those that are left. */
void gh_ask_wait(gh_asked *list, size_t count, double seconds);
/* Whether the question was answered; else out says how it ended: "ends its process with signal 6 (Aborted)". A question
 * that could not be asked counts as answered. */
bool gh_ask_answered(const gh_asked *asked, double seconds, char *out, size_t size);
void gh_ask_free(gh_asked *asked);

double gh_ask_seconds(void); /* GH_DRIVER_WAIT of the environment, 20 by default */

/* A driver that answered once is not asked at every start of the program: whether gh_ask_remember was called under this
 * name (of an entry of the cache) since the system started, the linker's cache changed, or one of these files did. */
bool gh_ask_answered_before(const char *marker, const gh_strings *files);
void gh_ask_remember(const char *marker, const gh_strings *files);

#endif
