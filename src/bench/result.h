/* A row: one result of a benchmark, in the form that every program of bench/ writes and every command reads. One table
 * of fields gives the JSON lines, the CSV and the JSON Schema (docs/results.schema.json); docs/results.md explains
 * them. Every row has every field; null is a field that does not apply or is not known. Rows of earlier versions lack
 * flop_nominal. */
#ifndef GH_BENCH_RESULT_H
#define GH_BENCH_RESULT_H

#include "base/json.h"

#define GH_RESULT_VERSION 1 /* a new number where a program that reads rows must change */

/* F(constant, name, type, may be null, meaning), in the order of the CSV's columns. */
/* clang-format off */
#define GH_RESULT_FIELDS(F) \
  F(SCHEMA, "schema", WHOLE, false, "version of this form") \
  F(APPLICATION, "application", TEXT, false, "the program that ran") \
  F(CONFIGURATION, "configuration", TEXT, true, "how the program was set up: as installed, best configured") \
  F(COMMIT, "commit", TEXT, true, "the program's commit or version") \
  F(BACKEND, "backend", TEXT, false, "how the program reaches the device: opencl, cuda, pytorch, host") \
  F(PLATFORM, "platform", TEXT, true, "OpenCL's platform, or the runtime in its place") \
  F(DEVICE, "device", TEXT, false, "the device's name in the program, with the shape of the kernels: opencl:0/gpu") \
  F(DEVICE_NAME, "device_name", TEXT, true, "as the driver says") \
  F(HARDWARE, "hardware", TEXT, false, "the device whatever reaches it: its UUID, its PCI address and host, or the host's processor") \
  F(DRIVER, "driver", TEXT, true, "version of the driver") \
  F(COMPILER, "compiler", TEXT, true, "the compiler of the kernels, or the library that computed") \
  F(KERNEL_SHAPE, "kernel_shape", CHOICE, true, "the shape of the kernels (docs/devices.md)") \
  F(KIND, "kind", CHOICE, false, "what was measured") \
  F(OP, "op", TEXT, false, "the op, peak or step") \
  F(SHAPE, "shape", TEXT, true, "the sizes, without the batch") \
  F(BATCH, "batch", WHOLE, true, "samples") \
  F(PASS, "pass", CHOICE, true, "of an op with a gradient") \
  F(DTYPE, "dtype", CHOICE, true, "type of the operands") \
  F(PROVIDER, "provider", TEXT, true, "the kernel or library that was chosen") \
  F(STATUS, "status", CHOICE, false, "whether there is a result") \
  F(REASON, "reason", TEXT, true, "why there is none") \
  F(VALUE, "value", REAL, true, "the result: the median of the repeats") \
  F(UNIT, "unit", TEXT, false, "of value, minimum and maximum") \
  F(BETTER, "better", CHOICE, false, "which values are better") \
  F(MINIMUM, "minimum", REAL, true, "the smallest of the repeats") \
  F(MAXIMUM, "maximum", REAL, true, "the largest of the repeats") \
  F(SPREAD, "spread", REAL, true, "(maximum - minimum) / value") \
  F(NOISY, "noisy", TRUTH, true, "whether the spread is above 0.1: repeat the measurement before relying on the row") \
  F(REPEATS, "repeats", WHOLE, true, "timed repeats, after a warm-up") \
  F(CLOCK, "clock", CHOICE, true, "the clock of value; processor: CPU seconds, so that rates are those of one core") \
  F(PROCESSOR_SECONDS, "processor_seconds", REAL, true, "CPU seconds of the process per repeat, all threads: the median") \
  F(DEVICE_SECONDS, "device_seconds", REAL, true, "seconds between two events on the device: the median") \
  F(FLOP, "flop", REAL, true, "floating-point operations of one repeat; a multiply-add is two") \
  F(NOMINAL, "flop_nominal", TRUTH, true, "whether the algorithm may compute less than flop counts (Winograd, transforms): then its rate is no peak") \
  F(BYTES, "bytes", REAL, true, "bytes read and written in one repeat, each tensor once per kernel's node") \
  F(WORKING_SET, "working_set_bytes", REAL, true, "bytes of the distinct memory that is used") \
  F(GFLOPS, "gflops", REAL, true, "1e9 operations per second") \
  F(GBYTES, "gbytes_per_second", REAL, true, "1e9 bytes per second") \
  F(SHARE, "share_of_peak", REAL, true, "of the nearer limit, arithmetic or memory; at most 1 unless share_note says why") \
  F(LIMIT, "limit", CHOICE, true, "the nearer limit") \
  F(PEAK, "peak", TEXT, true, "the measured peak that share_of_peak refers to") \
  F(PEAK_VALUE, "peak_value", REAL, true, "that peak") \
  F(PEAK_UNIT, "peak_unit", TEXT, true, "its unit") \
  F(PEAK_SPREAD, "peak_spread", REAL, true, "its spread") \
  F(SHARE_NOTE, "share_note", TEXT, true, "why there is no share, or why it is above 1") \
  F(HOST, "host", TEXT, true, "name of the machine") \
  F(DATE, "date", TEXT, false, "when the row was measured, UTC: 2026-01-31T12:00:00Z")
/* clang-format on */

#define GH_RESULT_CONSTANT(name, text, type, null, help) GH_RESULT_##name,
typedef enum gh_result_field { GH_RESULT_FIELDS(GH_RESULT_CONSTANT) GH_RESULT_COUNT } gh_result_field;
#undef GH_RESULT_CONSTANT

typedef struct gh_result {
  struct {
    char *text;    /* NULL: null */
    double number; /* of numbers, and of booleans 0 and 1; NaN: null */
  } of[GH_RESULT_COUNT];
} gh_result;

void gh_result_init(gh_result *row); /* all null but the schema */
void gh_result_free(gh_result *row); /* leaves an empty row */
gh_status gh_result_copy(gh_error *err, gh_result *out, const gh_result *row);

const char *gh_result_name(gh_result_field field);
/* Sets a text: NULL is null; bytes that are not UTF-8 become '?'. One of a list of values must be in the list. */
gh_status gh_result_set(gh_error *err, gh_result *row, gh_result_field field, const char *text);
gh_status gh_result_format(gh_error *err, gh_result *row, gh_result_field field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void gh_result_put(gh_result *row, gh_result_field field, double number); /* not finite: null */
const char *gh_result_text(const gh_result *row, gh_result_field field);  /* "" for null */
double gh_result_number(const gh_result *row, gh_result_field field);     /* NaN for null */
bool gh_result_is(const gh_result *row, gh_result_field field, const char *text);
/* A rate (gflops, gbytes_per_second) in the fastest repeat; the median's where that is not known. */
double gh_result_best_rate(const gh_result *row, gh_result_field rate);
bool gh_result_same(const gh_result *a, const gh_result *b, const gh_result_field *fields, size_t count);

/* Status, and where it is not "ok" the reason: then there is no value. */
gh_status gh_result_outcome(gh_error *err, gh_result *row, const char *status, const char *reason);

/* ---- forms ---- */

gh_status gh_result_to_json(gh_error *err, gh_json **out, const gh_result *row);
/* `name` begins the error's text. A missing or unknown field, a value of the wrong type or outside its list, and a row
 * that contradicts itself (a result without "ok", another status without a reason, a share above 1 without a note) are
 * GH_ERROR_FORMAT. */
gh_status gh_result_from_json(gh_error *err, gh_result *out, const char *name, const gh_json *json);
/* The field as it stands in the CSV, quoted where needed; "" is null. The caller frees. */
char *gh_result_csv_cell(gh_error *err, const gh_result *row, gh_result_field field);
/* The same quoting for any text. */
char *gh_csv_quoted(gh_error *err, const char *text);

/* The schema of a row as JSON Schema, draft 2020-12: docs/results.schema.json is this. */
gh_status gh_result_schema(gh_error *err, gh_json **out);

#endif
