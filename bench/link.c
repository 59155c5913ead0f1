/* A limited network between network namespaces of this machine: as root,
 *   bench_link --mbit M [--delay MS] [--loss PERCENT] [--queue KIB] ADDRESS=PID...
 * Each namespace, that of process PID, gets a device "link" with that address (a.b.c.d/24), which leads to a switch:
 * this program. What a device sends passes M Mbit/s, then a line of MS milliseconds, on which PERCENT of all packets
 * are lost, then M Mbit/s to the device that has the packet's destination. A queue that holds more than KIB drops what
 * arrives. Prints "ready", runs until SIGTERM or SIGINT, and then says what passed.
 *
 * The kernel's own limits (tc: tbf, netem) do the same where it has them; this needs only /dev/net/tun. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/log.h"
#include "base/status.h"

#define MAX_PORTS   64
#define MAX_PACKET  2048
#define IPV4_HEADER 20
#define NEVER       1e300

typedef struct packet {
  struct packet *next;
  double at; /* when it leaves the queue that it is in, by gh_now */
  int to;    /* port */
  size_t bytes;
  unsigned char data[];
} packet;

/* One direction of a port. */
typedef struct lane {
  packet *first, *last;
  double busy_until; /* the packets so far occupy its rate until then */
} lane;

typedef struct port {
  struct in_addr address;
  int device;
  lane up, down; /* from the device to the switch, and back */
  long long packets, bytes, lost, dropped;
} port;

typedef struct network {
  double rate, delay, loss, queue; /* bytes per second, s, a share, bytes */
  int count;
  port ports[MAX_PORTS];
} network;

static volatile sig_atomic_t ended;
static void end(int signal) { ended = signal; }

/* ---- devices ---- */

static gh_status no_device(gh_error *err, const char *what) {
  return gh_fail(err, GH_ERROR_DEVICE, "%s: %s", what, strerror(errno));
}

static void set_address(struct ifreq *request, in_addr_t address) {
  struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = address};
  memcpy(&request->ifr_addr, &in, sizeof in);
}

/* Gives the device its address and starts it, and the loopback device too. */
static gh_status configure(gh_error *err, struct ifreq *device, struct in_addr address) {
  struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
  const int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (s < 0) return no_device(err, "socket");
  bool ok = !ioctl(s, SIOCSIFFLAGS, &loopback);
  set_address(device, address.s_addr);
  ok = ok && !ioctl(s, SIOCSIFADDR, device);
  set_address(device, htonl(0xffffff00));
  ok = ok && !ioctl(s, SIOCSIFNETMASK, device);
  device->ifr_flags = IFF_UP | IFF_RUNNING;
  ok = ok && !ioctl(s, SIOCSIFFLAGS, device);
  gh_status status = ok ? GH_OK : no_device(err, "the device's address");
  close(s);
  return status;
}

/* A device of the namespace in which this program is now. */
static gh_status open_here(gh_error *err, port *p) {
  struct ifreq request = {.ifr_name = "link", .ifr_flags = IFF_TUN | IFF_NO_PI};
  p->device = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
  if (p->device < 0) return no_device(err, "/dev/net/tun");
  if (ioctl(p->device, TUNSETIFF, &request)) return no_device(err, "a TUN device");
  return configure(err, &request, p->address);
}

static gh_status open_port(gh_error *err, port *p, const char *text, int home) {
  char address[32], path[64];
  int pid = 0;
  if (sscanf(text, "%31[0-9.]=%d", address, &pid) != 2 || !inet_aton(address, &p->address))
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s is not ADDRESS=PID", text);
  snprintf(path, sizeof path, "/proc/%d/ns/net", pid);
  const int there = open(path, O_RDONLY | O_CLOEXEC);
  if (there < 0 || setns(there, CLONE_NEWNET)) return no_device(err, path);
  close(there);
  gh_status status = open_here(err, p);
  if (setns(home, CLONE_NEWNET) && !status) status = no_device(err, "the first namespace");
  return status;
}

/* ---- packets ---- */

/* Puts a packet into a lane, from which it comes when those before it and it itself have passed, and `later`. */
static void put(const network *n, lane *l, packet *p, double now, double later, port *sender) {
  const double begins = l->busy_until > now ? l->busy_until : now;
  if ((begins - now) * n->rate > n->queue) {
    sender->dropped++;
    free(p);
    return;
  }
  l->busy_until = begins + (double)p->bytes / n->rate;
  p->at = l->busy_until + later;
  p->next = NULL;
  if (l->last)
    l->last->next = p;
  else
    l->first = p;
  l->last = p;
}

/* The first packet of a lane, if its time has come. */
static packet *take(lane *l, double now) {
  packet *p = l->first;
  if (!p || p->at > now) return NULL;
  l->first = p->next;
  if (!l->first) l->last = NULL;
  return p;
}

static int find(const network *n, const unsigned char *ip) {
  for (int i = 0; i < n->count; i++)
    if (!memcmp(&n->ports[i].address, ip + 16, 4)) return i;
  return -1;
}

/* All that a device has to send. What is not IPv4 for one of the others has no way. */
static gh_status receive(gh_error *err, network *n, port *from) {
  unsigned char data[MAX_PACKET];
  for (;;) {
    const ssize_t bytes = read(from->device, data, sizeof data);
    if (bytes < 0) return errno == EAGAIN || errno == EINTR ? GH_OK : no_device(err, "reading a device");
    const int to = bytes >= IPV4_HEADER && data[0] >> 4 == 4 ? find(n, data) : -1;
    if (to < 0) continue;
    from->packets++;
    from->bytes += bytes;
    packet *p = gh_alloc(err, 1, sizeof *p + (size_t)bytes);
    if (!p) return GH_ERROR_MEMORY;
    p->to = to;
    p->bytes = (size_t)bytes;
    memcpy(p->data, data, (size_t)bytes);
    put(n, &from->up, p, gh_now(), n->delay, from);
  }
}

/* Moves what has passed the line to its receiver's lane, and what has passed that to the device. A lane is late by as
 * much as this program sleeps too long, but it keeps its rate. */
static void move(network *n, double now) {
  packet *p;
  for (int i = 0; i < n->count; i++)
    while ((p = take(&n->ports[i].up, now))) {
      if (drand48() < n->loss) {
        n->ports[i].lost++;
        free(p);
      } else {
        put(n, &n->ports[p->to].down, p, p->at, 0, &n->ports[i]);
      }
    }
  for (int i = 0; i < n->count; i++)
    while ((p = take(&n->ports[i].down, now))) {
      if (write(n->ports[i].device, p->data, p->bytes) < 0) n->ports[i].dropped++;
      free(p);
    }
}

static double next_time(const network *n) {
  double next = NEVER;
  for (int i = 0; i < n->count; i++) {
    const port *p = &n->ports[i];
    if (p->up.first && p->up.first->at < next) next = p->up.first->at;
    if (p->down.first && p->down.first->at < next) next = p->down.first->at;
  }
  return next;
}

static gh_status serve(gh_error *err, network *n) {
  struct pollfd polled[MAX_PORTS];
  gh_status status = GH_OK;
  for (int i = 0; i < n->count; i++) polled[i] = (struct pollfd){.fd = n->ports[i].device, .events = POLLIN};
  while (!ended && !status) {
    const double next = next_time(n), wait = next - gh_now();
    const double left = next == NEVER ? 1 : wait > 0 ? wait : 0;
    const struct timespec timeout = {(time_t)left, (long)((left - (double)(time_t)left) * 1e9)};
    if (ppoll(polled, (nfds_t)n->count, &timeout, NULL) < 0 && errno != EINTR) return no_device(err, "poll");
    for (int i = 0; i < n->count && !status; i++)
      if (polled[i].revents & POLLIN) status = receive(err, n, &n->ports[i]);
    move(n, gh_now());
  }
  return status;
}

/* ---- the program ---- */

static const char usage[] = "bench_link --mbit M [--delay MS] [--loss PERCENT] [--queue KIB] ADDRESS=PID...";

static gh_status read_settings(gh_error *err, network *n, int argc, char **argv) {
  static const struct option options[] = {
      {"mbit", 1, NULL, 'm'}, {"delay", 1, NULL, 'd'}, {"loss", 1, NULL, 'l'}, {"queue", 1, NULL, 'q'}, {0}};
  double mbit = 0, delay = 0, loss = 0, queue = 0;
  for (int key; (key = getopt_long(argc, argv, "", options, NULL)) != -1;) {
    char *rest = "?";
    double *into = key == 'm' ? &mbit : key == 'd' ? &delay : key == 'l' ? &loss : key == 'q' ? &queue : NULL;
    if (into) *into = strtod(optarg, &rest);
    if (*rest || (into && !(*into >= 0 && *into <= 1e6))) return gh_fail(err, GH_ERROR_ARGUMENT, "%s", usage);
  }
  if (!(mbit > 0) || loss > 100 || argc - optind < 2 || argc - optind > MAX_PORTS)
    return gh_fail(err, GH_ERROR_ARGUMENT, "%s", usage);
  n->rate = mbit * 1e6 / 8;
  n->delay = delay * 1e-3;
  n->loss = loss / 100;
  /* As much as is on its way there and back, and 50 ms: enough for TCP to fill the link. */
  n->queue = queue > 0 ? queue * 1024 : n->rate * (2 * n->delay + 0.05) + 65536;
  return GH_OK;
}

static void report(const network *n) {
  for (int i = 0; i < n->count; i++) {
    const port *p = &n->ports[i];
    fprintf(stderr, "bench_link: %s sent %lld packets, %.1f MB; %lld were lost, %lld dropped by a full queue\n",
            inet_ntoa(p->address), p->packets, (double)p->bytes * 1e-6, p->lost, p->dropped);
  }
}

int main(int argc, char **argv) {
  static network n;
  gh_error err = {0};
  gh_status status = read_settings(&err, &n, argc, argv);
  const int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (home < 0 && !status) status = no_device(&err, "/proc/self/ns/net");
  for (int i = optind; i < argc && !status; i++) status = open_port(&err, &n.ports[n.count++], argv[i], home);
  signal(SIGTERM, end);
  signal(SIGINT, end);
  prctl(PR_SET_TIMERSLACK, 1000UL); /* ns; packets are shorter than the usual 50 µs */
  if (!status) {
    puts("ready");
    fflush(stdout);
    status = serve(&err, &n);
    report(&n);
  }
  if (status) fprintf(stderr, "bench_link: %s\n", err.text);
  return status ? 1 : 0;
}
