#include "report/axis.h"

#include <math.h>
#include <stdio.h>

#define LARGEST 1e100
#define DECADES 2.5 /* a logarithmic axis over less has ticks between the powers of ten */

gh_axis gh_axis_make(bool log, double from, double to) {
  return (gh_axis){.least = INFINITY, .most = -INFINITY, .log = log, .from = from, .to = to};
}

bool gh_axis_shows(const gh_axis *a, double value) { return fabs(value) <= LARGEST && (!a->log || value > 0); }

void gh_axis_cover(gh_axis *a, const double *values, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (!gh_axis_shows(a, values[i])) continue;
    a->least = fmin(a->least, values[i]);
    a->most = fmax(a->most, values[i]);
  }
}

/* ---- the range ---- */

/* value = lead * power, with a power of ten and a lead of [1, 10). */
static double lead_of(double value, double *power) {
  *power = pow(10, floor(log10(value) + 1e-9));
  return value / *power;
}

static void settle_log(gh_axis *a) {
  double power, lead;
  a->least = a->least > 0 && isfinite(a->least) ? a->least : 1;
  a->most = a->most > a->least ? a->most : 10 * a->least;
  a->fine = log10(a->most / a->least) < DECADES;
  if (!a->fine) {
    a->least = pow(10, floor(log10(a->least) + 1e-9));
    a->most = pow(10, ceil(log10(a->most) - 1e-9));
    return;
  }
  lead = lead_of(a->least, &power);
  a->least = power * (lead >= 5 ? 5 : lead >= 2 ? 2 : 1);
  lead = lead_of(a->most, &power);
  a->most = power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

void gh_axis_settle(gh_axis *a, int ticks, double finest, bool round_ends) {
  if (a->log) {
    settle_log(a);
    return;
  }
  if (!(a->most - a->least > 1e-9 * fmax(fabs(a->least), fabs(a->most)))) { /* one value, or none */
    double middle = isfinite(a->least) ? a->least : 0, half = fmax(middle != 0 ? fabs(middle) * 0.1 : 1, finest);
    a->least = middle - half;
    a->most = middle + half;
  }
  double raw = (a->most - a->least) / ticks, power = pow(10, floor(log10(raw))), rest = raw / power;
  a->step = fmax(power * (rest < 1.5 ? 1 : rest < 3.5 ? 2 : rest < 7.5 ? 5 : 10), finest);
  if (!round_ends) return;
  a->least = floor(a->least / a->step + 1e-9) * a->step;
  a->most = ceil(a->most / a->step - 1e-9) * a->step;
}

double gh_axis_place(const gh_axis *a, double value) {
  if (a->log) return a->from + log10(value / a->least) / log10(a->most / a->least) * (a->to - a->from);
  return a->from + (value - a->least) / (a->most - a->least) * (a->to - a->from);
}

/* ---- ticks ---- */

double gh_axis_first(const gh_axis *a) { return a->log ? a->least : ceil(a->least / a->step - 1e-9) * a->step; }

double gh_axis_next(const gh_axis *a, double tick) {
  double power, lead;
  if (!a->log) return tick + a->step;
  if (!a->fine) return 10 * tick;
  lead = lead_of(tick, &power);
  return power * (lead < 1.5 ? 2 : lead < 3.5 ? 5 : 10);
}

double gh_axis_last(const gh_axis *a) { return a->log ? 1.000001 * a->most : a->most + a->step * 1e-6; }

const char *gh_axis_text(char *out, size_t size, const gh_axis *a, double tick) {
  double step = a->step;
  if (a->log) lead_of(tick, &step); /* a tick of a logarithmic axis has one digit */
  if (fabs(tick) < step * 1e-6) {
    snprintf(out, size, "0");
  } else if (fabs(tick) >= 1e4 && fabs(tick) < 1e7 && fmod(tick, 1000) == 0) {
    snprintf(out, size, "%.0fk", tick / 1000);
  } else if (step < 1e-3 || fabs(tick) >= 1e6) {
    int power = (int)floor(log10(fabs(tick)) + 1e-9);
    snprintf(out, size, "%.3ge%d", tick / pow(10, power), power);
  } else {
    snprintf(out, size, "%.*f", (int)fmax(0, ceil(-log10(step) - 1e-9)), tick);
  }
  return out;
}
