/* What container.c and network.c share: sentences and the checksum. */
#include <stdarg.h>
#include <stdio.h>

#include "network.h"

sim_result sim_fail(sim_error *error, sim_result result, const char *format, ...)
{
    if (error) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(error->text, sizeof error->text, format, arguments);
        va_end(arguments);
    }
    return result;
}

uint32_t sim_crc32(const uint8_t *bytes, uint64_t size, uint64_t hole)
{
    uint32_t table[16]; /* half a byte at a time: small, and quick enough for a load */
    for (uint32_t i = 0; i < 16; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 4; bit++) {
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
        }
        table[i] = crc;
    }
    uint32_t crc = 0xffffffffu;
    for (uint64_t i = 0; i < size; i++) {
        crc ^= i - hole < 4 ? 0 : bytes[i]; /* i < hole wraps to a large number */
        crc = crc >> 4 ^ table[crc & 15];
        crc = crc >> 4 ^ table[crc & 15];
    }
    return ~crc;
}
