/* The checksum of model files: CRC-32 of IEEE 802.3, sixteen bytes at a time, three parts of the file in turns, as one
 * alone waits for its tables.
 *
 * table[n][b] is the remainder of byte b with n bytes of zeros behind it; the remainder of sixteen bytes is the sum
 * (exclusive or) of theirs ("slicing", Kounavis and Berry, A Systematic Approach to Building High Performance
 * Software-based CRC Generators, 2005). Remainders of parts are put together by multiplying those before with the
 * powers of x that follow them, modulo the polynomial. */
#include "network.h"

enum { SLICES = 16, PARTS = 3 };

typedef uint32_t crc_table[SLICES][256];

static void fill(crc_table table)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        table[0][byte] = crc;
    }
    for (int n = 1; n < SLICES; n++) {
        for (uint32_t byte = 0; byte < 256; byte++) {
            const uint32_t before = table[n - 1][byte];
            table[n][byte] = before >> 8 ^ table[0][before & 255];
        }
    }
}

/* The remainder of four of the sixteen bytes, `behind` of them follow. */
static inline uint32_t slice(crc_table table, uint32_t word, int behind)
{
    return table[behind + 3][word & 255] ^ table[behind + 2][word >> 8 & 255] ^ table[behind + 1][word >> 16 & 255] ^
           table[behind][word >> 24];
}

static inline uint32_t step(crc_table table, uint32_t crc, const uint8_t *bytes)
{
    return slice(table, crc ^ sim_read_u32(bytes), 12) ^ slice(table, sim_read_u32(bytes + 4), 8) ^
           slice(table, sim_read_u32(bytes + 8), 4) ^ slice(table, sim_read_u32(bytes + 12), 0);
}

/* The product of two polynomials modulo that of the checksum; bit 31 is the coefficient of 1. */
static uint32_t multiply(uint32_t a, uint32_t b)
{
    uint32_t product = 0;
    for (; a; a <<= 1) {
        product ^= a >> 31 ? b : 0;
        b = b >> 1 ^ (b & 1 ? 0xedb88320u : 0);
    }
    return product;
}

/* The remainder with `size` bytes of zeros behind it. */
static uint32_t shift(uint32_t crc, uint64_t size)
{
    for (uint32_t power = 0x00800000u; size; size >>= 1, power = multiply(power, power)) { /* x^8, x^16, x^32 ... */
        crc = size & 1 ? multiply(power, crc) : crc;
    }
    return crc;
}

static uint32_t add(crc_table table, uint32_t crc, const uint8_t *bytes, uint64_t size)
{
    const uint64_t part = size / PARTS / SLICES * SLICES;
    uint32_t second = 0, third = 0;
    for (uint64_t i = 0; i < part; i += SLICES) {
        crc = step(table, crc, bytes + i);
        second = step(table, second, bytes + part + i);
        third = step(table, third, bytes + 2 * part + i);
    }
    crc = shift(shift(crc, part) ^ second, part) ^ third;
    for (uint64_t i = PARTS * part; i < size; i++) {
        crc = crc >> 8 ^ table[0][(crc ^ bytes[i]) & 255];
    }
    return crc;
}

uint32_t sim_crc32(const uint8_t *bytes, uint64_t size, uint64_t hole)
{
    static const uint8_t zeros[4];
    crc_table table;
    fill(table);
    const uint64_t begin = hole < size ? hole : size, end = size - begin < 4 ? size : begin + 4;
    uint32_t crc = add(table, 0xffffffffu, bytes, begin);
    crc = add(table, crc, zeros, end - begin);
    return ~add(table, crc, bytes + end, size - end);
}
