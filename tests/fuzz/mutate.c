/* The driver's LLVMFuzzerMutate: one change of one of the kinds below. */
#include "mutate.h"

#include <string.h>

#include "fuzz.h"

static uint64_t state = 1;
static const uint8_t *donor;
static size_t donor_size;

void mutate_seed(uint64_t seed) { state = seed * 0x9E3779B97F4A7C15u + 1; }

uint64_t mutate_random(uint64_t below) { /* xorshift64* */
  state ^= state >> 12;
  state ^= state << 25;
  state ^= state >> 27;
  return state * 0x2545F4914F6CDD1Du % below;
}

void mutate_donor(const uint8_t *bytes, size_t size) {
  donor = bytes;
  donor_size = size;
}

/* Puts n bytes at `at`: inserted (as far as there is room) or overwriting. */
static size_t put(uint8_t *data, size_t size, size_t most, size_t at, const void *bytes, size_t n, int insert) {
  if (insert) {
    n = n < most - size ? n : most - size;
    memmove(data + at + n, data + at, size - at);
    size += n;
  } else {
    n = n < size - at ? n : size - at;
  }
  memmove(data + at, bytes, n);
  return size;
}

static size_t change_bits(uint8_t *data, size_t size, size_t most) {
  (void)most;
  if (size) data[mutate_random(size)] ^= (uint8_t)(1u << mutate_random(8));
  return size;
}

static size_t change_byte(uint8_t *data, size_t size, size_t most) {
  static const uint8_t bytes[] = {0,    1,   0x7f, 0x80, 0xff, '0', '9', '-', ' ',
                                  '\n', '"', '\\', '/',  '.',  '{', '}', '[', ']'};
  (void)most;
  if (size)
    data[mutate_random(size)] = mutate_random(2) ? bytes[mutate_random(sizeof bytes)] : (uint8_t)mutate_random(256);
  return size;
}

static size_t put_number(uint8_t *data, size_t size, size_t most) {
  static const uint64_t numbers[] = {0,      1,         7,          0x7f,       0xff,       0x7fff,     0xffff,
                                     0x8000, 1u << 20,  0x7fffffff, 0x80000000, 0xffffffff, 1ull << 32, 1ull << 53,
                                     ~0ull,  ~0ull / 2, 1ull << 63, 512,        100000000};
  uint64_t value = numbers[mutate_random(sizeof numbers / sizeof *numbers)] + mutate_random(3) - 1;
  uint8_t bytes[8];
  size_t width = (size_t)1 << mutate_random(4);
  int big = (int)mutate_random(2);
  for (size_t i = 0; i < width; i++) bytes[i] = (uint8_t)(value >> 8 * (big ? width - 1 - i : i));
  return put(data, size, most, mutate_random(size + 1), bytes, width, mutate_random(4) == 0);
}

static size_t put_word(uint8_t *data, size_t size, size_t most) {
  size_t count = 0;
  while (fuzz_words[count]) count++;
  if (!count) return size;
  const char *word = fuzz_words[mutate_random(count)];
  return put(data, size, most, mutate_random(size + 1), word, strlen(word), (int)mutate_random(2));
}

static size_t put_digits(uint8_t *data, size_t size, size_t most) { /* replaces a number in text, if any */
  static const char *const texts[] = {"0",          "-1",  "1e999",      "9007199254740993", "18446744073709551616",
                                      "4294967296", "0.5", "2147483648", "1e-320",           "77777777777"};
  const char *text = texts[mutate_random(sizeof texts / sizeof *texts)];
  size_t at = mutate_random(size + 1), end;
  for (size_t i = 0; i < size && (at == size || data[at] < '0' || data[at] > '9'); i++) at = at < size ? at + 1 : 0;
  for (end = at; end < size && data[end] >= '0' && data[end] <= '9';) end++;
  memmove(data + at, data + end, size - end);
  return put(data, size - (end - at), most, at, text, strlen(text), 1);
}

static size_t remove_range(uint8_t *data, size_t size, size_t most) {
  (void)most;
  if (!size) return size;
  size_t at = mutate_random(size), n = 1 + mutate_random(mutate_random(2) ? size - at : (size - at + 15) / 16);
  memmove(data + at, data + at + n, size - at - n);
  return size - n;
}

static size_t copy_range(uint8_t *data, size_t size, size_t most) {
  uint8_t part[1024];
  if (!size) return size;
  size_t from = mutate_random(size), n = 1 + mutate_random(size - from);
  n = n < sizeof part ? n : sizeof part;
  memcpy(part, data + from, n);
  return put(data, size, most, mutate_random(size + 1), part, n, (int)mutate_random(2));
}

static size_t take_from_donor(uint8_t *data, size_t size, size_t most) {
  if (!donor_size) return size;
  size_t from = mutate_random(donor_size), n = 1 + mutate_random(donor_size - from), at = mutate_random(size + 1);
  if (mutate_random(2)) return put(data, size, most, at, donor + from, n, (int)mutate_random(2));
  size = at; /* the rest is the donor's */
  return put(data, size, most, size, donor + from, n, 1);
}

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most) {
  static size_t (*const changes[])(uint8_t *, size_t, size_t) = {
      change_bits, change_byte, put_number, put_word, put_digits, remove_range, copy_range, take_from_donor};
  return changes[mutate_random(sizeof changes / sizeof *changes)](data, size, most);
}
