#include "core/strict_bits.h"

#include <string.h>

size_t sim_bits_bytes(size_t count)
{
    return count / 8 + 1;
}

static bool get(const uint8_t *bits, size_t index)
{
    return (bits[index / 8] >> (index % 8) & 1) != 0;
}

static void put(uint8_t *bits, size_t index, bool value)
{
    const uint8_t mask = (uint8_t)(1u << (index % 8));
    bits[index / 8] = (uint8_t)(value ? bits[index / 8] | mask : bits[index / 8] & ~mask);
}

void sim_bits_set(uint8_t *bits, size_t begin, size_t end, bool value)
{
    for (; begin < end && begin % 8 != 0; begin++) {
        put(bits, begin, value);
    }
    if (begin < end) {
        memset(bits + begin / 8, value ? 0xff : 0, (end - begin) / 8);
        begin += (end - begin) / 8 * 8;
    }
    for (; begin < end; begin++) {
        put(bits, begin, value);
    }
}

size_t sim_bits_find(const uint8_t *bits, size_t begin, size_t end, bool value)
{
    const uint8_t other = value ? 0 : 0xff;
    while (begin < end) {
        if (begin % 8 == 0 && end - begin >= 8 && bits[begin / 8] == other) {
            begin += 8;
        } else if (get(bits, begin) == value) {
            return begin;
        } else {
            begin++;
        }
    }
    return end;
}

void sim_bits_copy(uint8_t *to, size_t to_begin, const uint8_t *from, size_t from_begin, size_t count)
{
    for (size_t index = 0; index < count; index++) {
        put(to, to_begin + index, get(from, from_begin + index));
    }
}
