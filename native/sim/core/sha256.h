/* SHA-256 (FIPS 180-4): how files name each other where somebody else computes the digest too. */
#ifndef SIM_CORE_SHA256_H
#define SIM_CORE_SHA256_H

#include <stddef.h>
#include <stdint.h>

enum { SIM_SHA256_HEX = 65 };

/* In lower case, with a NUL behind it. */
void sim_sha256_hex(const uint8_t *bytes, size_t count, char hex[SIM_SHA256_HEX]);

#endif
