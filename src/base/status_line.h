/* The one line that tells how far long work is: composed for the columns that a terminal has. */
#ifndef GH_BASE_STATUS_LINE_H
#define GH_BASE_STATUS_LINE_H

#include <stdbool.h>
#include <stddef.h>

/* Each text may be "". */
typedef struct gh_status_line {
  char what[64];   /* "stage 1" */
  char count[48];  /* "120/1000" */
  char unit[32];   /* "updates" */
  char note[64];   /* "loss 0.7123" */
  char rate[64];   /* "12.3 images/s" */
  char left[32];   /* "4m35s left" */
  char memory[32]; /* "5.1 GiB" */
  char device[48]; /* "opencl:0" */
  double share;    /* of the work that is done, for the bar; below 0: not known */
} gh_status_line;

#define GH_STATUS_LINE_SIZE 512

/* "stage 1 [####....] 120/1000 updates, loss 0.7123, 12.3 images/s, 4m35s left, 5.1 GiB, opencl:0" in at most
 * `columns`. What does not fit is left out: the bar first, then the unit, the device, the memory, the rate, the note,
 * the time. `colours`: the bar is green. Wide characters count as two columns. */
void gh_status_line_fit(char out[GH_STATUS_LINE_SIZE], const gh_status_line *line, int columns, bool colours);

/* For a log: everything, with a colon after what it is, and no bar. */
void gh_status_line_log(char out[GH_STATUS_LINE_SIZE], const gh_status_line *line);

/* Columns that text takes; the bytes of its beginning that fit into `columns`. */
int gh_text_columns(const char *text);
size_t gh_text_fit(const char *text, int columns);

#endif
