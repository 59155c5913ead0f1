/* The driver's double: streams, events, graphs. Work put on a stream runs only when something waits for it, as late as
 * a real device may run it, which exposes host accesses that are too early. A queried event runs one piece of work. */
#include "driver.h"

#include <stdlib.h>
#include <string.h>

typedef struct work {
  struct work *next;
  double_work run;
  size_t size;
  _Alignas(16) char data[];
} work;

typedef struct work_list {
  work *first, **end; /* end: NULL before anything is added */
} work_list;

struct CUstream_st {
  CUstream next;
  CUcontext context;
  work_list works;
  uint64_t put, done; /* pieces of work so far */
  CUgraph capturing;
  bool broken; /* the capture is invalid */
};

struct CUevent_st {
  CUevent next;
  CUcontext context;
  CUstream stream; /* NULL: not recorded, or past */
  uint64_t at;     /* the stream's `put` when it was recorded */
  CUgraph graph;   /* recorded while capturing this */
};

struct CUgraph_st {
  work_list works;
};
struct CUgraphExec_st {
  work_list works;
};

static CUstream streams;
static CUevent events;
static __thread int captures; /* started by this thread */

bool double_is_capturing(CUstream stream) { return stream && stream->capturing; }
bool double_breaks_capture(void) {
  for (CUstream s = streams; s && captures > 0; s = s->next)
    if (s->capturing) s->broken = true;
  return captures > 0;
}

CUcontext gh_double_context(void) { return double_current; }
int gh_double_ordinal(void) { return double_current->device; }
bool gh_double_is_captured(CUstream stream) {
  LOCK();
  return double_is_capturing(stream);
}

/* ---- work ---- */

static unsigned add_work(work_list *list, double_work run, const void *data, size_t size) {
  work *w = malloc(sizeof *w + size);
  if (!w) return GH_CU_OUT_OF_MEMORY;
  *w = (work){.run = run, .size = size};
  memcpy(w->data, data, size);
  if (!list->first) list->end = &list->first;
  *list->end = w;
  list->end = &w->next;
  return GH_CU_SUCCESS;
}

static work *take_work(work_list *list) {
  work *w = list->first;
  if (w) list->first = w->next;
  return w;
}

static void drop_works(work_list *list) {
  for (work *w; (w = take_work(list));) free(w);
}

static unsigned run_works(const work_list *list) {
  unsigned code = GH_CU_SUCCESS;
  for (const work *w = list->first; w && !code; w = w->next) code = w->run(w->data);
  return code;
}

/* ---- running ---- */

/* Fails the context: nothing more in it runs. */
static unsigned fail_context(CUcontext context, unsigned code) {
  context->failure = code;
  for (CUstream s = streams; s; s = s->next)
    if (s->context == context) {
      drop_works(&s->works);
      s->done = s->put;
    }
  return code;
}

static unsigned drain_to(CUstream stream, uint64_t until) {
  while (stream->done < until) {
    work *w = take_work(&stream->works);
    stream->done++;
    unsigned code = w->run(w->data);
    free(w);
    if (code) return fail_context(stream->context, code);
  }
  return GH_CU_SUCCESS;
}

unsigned double_drain(CUstream stream) { return drain_to(stream, stream->put); }

unsigned double_drain_all(void) {
  unsigned code = GH_CU_SUCCESS;
  for (CUstream s = streams; s; s = s->next)
    if (!code) code = double_drain(s);
  return code;
}

static bool is_stream(CUstream stream) {
  CUstream s = streams;
  while (s && s != stream) s = s->next;
  return s && s->context == double_current;
}

unsigned double_put(CUstream stream, double_work run, const void *data, size_t size) {
  if (!is_stream(stream)) return double_refuse(CODE_INVALID_HANDLE, "work for a stream outside the current context");
  if (stream->capturing) return add_work(&stream->capturing->works, run, data, size);
  unsigned code = add_work(&stream->works, run, data, size);
  if (!code) stream->put++;
  return code;
}

unsigned gh_double_submit(CUstream stream, double_work run, const void *data, size_t size) {
  LOCK();
  if (!double_current) return CODE_INVALID_CONTEXT;
  return double_current->failure ? double_current->failure : double_put(stream, run, data, size);
}

/* ---- streams ---- */

unsigned cuStreamCreate(CUstream *stream, unsigned flags) {
  ENTER_CONTEXT();
  if (flags != GH_CU_STREAM_NON_BLOCKING) return double_refuse(CODE_INVALID_VALUE, "a stream with flags %u", flags);
  CUstream s = calloc(1, sizeof *s);
  if (!s) return GH_CU_OUT_OF_MEMORY;
  s->context = double_current;
  s->next = streams;
  streams = s;
  *stream = s;
  return GH_CU_SUCCESS;
}

unsigned cuStreamDestroy_v2(CUstream stream) {
  ENTER_CONTEXT();
  if (!is_stream(stream)) return CODE_INVALID_HANDLE;
  unsigned code = double_drain_all(); /* other streams may wait for it */
  CUstream *link = &streams;
  while (*link != stream) link = &(*link)->next;
  *link = stream->next;
  for (CUevent e = events; e; e = e->next)
    if (e->stream == stream) e->stream = NULL;
  drop_works(&stream->works);
  free(stream);
  return code;
}

unsigned cuStreamSynchronize(CUstream stream) {
  ENTER_CONTEXT();
  if (!is_stream(stream)) return CODE_INVALID_HANDLE;
  if (stream->capturing) {
    stream->broken = true;
    return CODE_CAPTURE_UNSUPPORTED;
  }
  return double_drain(stream);
}

/* ---- events ---- */

unsigned cuEventCreate(CUevent *event, unsigned flags) {
  ENTER_CONTEXT();
  if (flags != GH_CU_EVENT_NO_TIMING && flags != GH_CU_EVENT_DEFAULT)
    return double_refuse(CODE_INVALID_VALUE, "an event with flags %u", flags);
  CUevent e = calloc(1, sizeof *e);
  if (!e) return GH_CU_OUT_OF_MEMORY;
  e->context = double_current;
  e->next = events;
  events = e;
  *event = e;
  return GH_CU_SUCCESS;
}

static CUevent *find_event(CUevent event) {
  CUevent *link = &events;
  while (*link && *link != event) link = &(*link)->next;
  return link;
}

static bool is_event(CUevent event) {
  CUevent e = *find_event(event);
  return e && e->context == double_current;
}

unsigned cuEventDestroy_v2(CUevent event) {
  ENTER_CONTEXT();
  if (!is_event(event)) return CODE_INVALID_HANDLE;
  *find_event(event) = event->next;
  free(event);
  return GH_CU_SUCCESS;
}

unsigned cuEventRecord(CUevent event, CUstream stream) {
  ENTER_CONTEXT();
  if (!is_event(event) || !is_stream(stream)) return CODE_INVALID_HANDLE;
  event->graph = stream->capturing;
  event->stream = stream->capturing ? NULL : stream;
  event->at = stream->put;
  return GH_CU_SUCCESS;
}

/* Of what lies between them in the stream, each command takes a millisecond. */
unsigned cuEventElapsedTime(float *milliseconds, CUevent from, CUevent to) {
  ENTER_CONTEXT();
  if (!is_event(from) || !is_event(to) || !from->stream || from->stream != to->stream) return CODE_INVALID_HANDLE;
  if (to->stream->done < to->at) return GH_CU_NOT_READY;
  *milliseconds = (float)(to->at - from->at);
  return GH_CU_SUCCESS;
}

unsigned cuEventQuery(CUevent event) {
  ENTER_UNCAPTURED();
  if (!is_event(event)) return CODE_INVALID_HANDLE;
  if (event->graph) return double_refuse(CODE_INVALID_VALUE, "a query of an event of a graph");
  if (!event->stream || event->stream->done >= event->at) return GH_CU_SUCCESS;
  unsigned code = drain_to(event->stream, event->stream->done + 1);
  return code ? code : GH_CU_NOT_READY;
}

unsigned cuEventSynchronize(CUevent event) {
  ENTER_UNCAPTURED();
  if (!is_event(event)) return CODE_INVALID_HANDLE;
  if (event->graph) return double_refuse(CODE_INVALID_VALUE, "a wait for an event of a graph");
  return event->stream ? drain_to(event->stream, event->at) : GH_CU_SUCCESS;
}

typedef struct wait_work {
  CUstream stream;
  uint64_t at;
} wait_work;

static unsigned run_wait(const void *data) {
  const wait_work *w = data;
  return drain_to(w->stream, w->at);
}

unsigned cuStreamWaitEvent(CUstream stream, CUevent event, unsigned flags) {
  ENTER_CONTEXT();
  if (!is_event(event) || !is_stream(stream) || flags) return CODE_INVALID_HANDLE;
  if (event->graph != stream->capturing)
    return double_refuse(CODE_CAPTURE_ISOLATION, "a wait across the edge of a graph");
  if (event->graph || !event->stream || event->stream == stream) return GH_CU_SUCCESS; /* already in order */
  const wait_work w = {event->stream, event->at};
  return double_put(stream, run_wait, &w, sizeof w);
}

/* ---- graphs ---- */

unsigned cuStreamBeginCapture_v2(CUstream stream, unsigned mode) {
  ENTER_CONTEXT();
  if (!is_stream(stream)) return CODE_INVALID_HANDLE;
  if (stream->capturing || mode != GH_CU_CAPTURE_THREAD_LOCAL) return CODE_INVALID_VALUE;
  stream->capturing = calloc(1, sizeof *stream->capturing);
  if (!stream->capturing) return GH_CU_OUT_OF_MEMORY;
  stream->broken = false;
  captures++;
  return GH_CU_SUCCESS;
}

unsigned cuStreamEndCapture(CUstream stream, CUgraph *graph) {
  ENTER_CONTEXT();
  *graph = NULL;
  if (!is_stream(stream)) return CODE_INVALID_HANDLE;
  if (!stream->capturing) return CODE_CAPTURE_UNMATCHED;
  CUgraph g = stream->capturing;
  for (CUevent e = events; e; e = e->next)
    if (e->graph == g) e->graph = NULL;
  stream->capturing = NULL;
  captures--;
  if (!stream->broken) {
    *graph = g;
    return GH_CU_SUCCESS;
  }
  drop_works(&g->works);
  free(g);
  return CODE_CAPTURE_INVALIDATED;
}

unsigned cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
  ENTER_CONTEXT();
  if (flags) return CODE_INVALID_VALUE;
  CUgraphExec e = calloc(1, sizeof *e);
  unsigned code = e ? GH_CU_SUCCESS : GH_CU_OUT_OF_MEMORY;
  for (const work *w = graph->works.first; w && !code; w = w->next)
    code = add_work(&e->works, w->run, w->data, w->size);
  *exec = e;
  return code;
}

static unsigned run_graph(const void *data) {
  CUgraphExec exec = *(CUgraphExec const *)data;
  return run_works(&exec->works);
}

unsigned cuGraphLaunch(CUgraphExec exec, CUstream stream) {
  ENTER_CONTEXT();
  return double_put(stream, run_graph, &exec, sizeof exec);
}

unsigned cuGraphExecDestroy(CUgraphExec exec) {
  ENTER_CONTEXT();
  unsigned code = double_drain_all();
  drop_works(&exec->works);
  free(exec);
  return code;
}

unsigned cuGraphDestroy(CUgraph graph) {
  ENTER_CONTEXT();
  drop_works(&graph->works);
  free(graph);
  return GH_CU_SUCCESS;
}
