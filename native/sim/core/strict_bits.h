/* Which bytes of a buffer were written: one bit for each. */
#ifndef SIM_CORE_STRICT_BITS_H
#define SIM_CORE_STRICT_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

size_t sim_bits_bytes(size_t count); /* what a map of so many bits takes */
void sim_bits_set(uint8_t *bits, size_t begin, size_t end, bool value);
/* The first bit in the range that is `value`; `end` when there is none. */
size_t sim_bits_find(const uint8_t *bits, size_t begin, size_t end, bool value);
/* Gives bits of one map to another; the ranges do not overlap. */
void sim_bits_copy(uint8_t *to, size_t to_begin, const uint8_t *from, size_t from_begin, size_t count);

#endif
