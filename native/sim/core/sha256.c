#include "core/sha256.h"

#include <stdio.h>
#include <string.h>

enum { BLOCK = 64, WORDS = 8 };

static const uint32_t ROUNDS[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static uint32_t turned(uint32_t value, unsigned by)
{
    return value >> by | value << (32 - by);
}

static void spread(const uint8_t *block, uint32_t w[64])
{
    for (unsigned t = 0; t < 16; t++) {
        const uint8_t *at = block + 4 * t;
        w[t] = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    for (unsigned t = 16; t < 64; t++) {
        const uint32_t s0 = turned(w[t - 15], 7) ^ turned(w[t - 15], 18) ^ w[t - 15] >> 3;
        const uint32_t s1 = turned(w[t - 2], 17) ^ turned(w[t - 2], 19) ^ w[t - 2] >> 10;
        w[t] = w[t - 16] + s0 + w[t - 7] + s1;
    }
}

static void add_block(uint32_t state[WORDS], const uint8_t *block)
{
    uint32_t w[64], s[WORDS]; /* s: a to h of the standard */
    spread(block, w);
    memcpy(s, state, sizeof s);
    for (unsigned t = 0; t < 64; t++) {
        const uint32_t sum1 = turned(s[4], 6) ^ turned(s[4], 11) ^ turned(s[4], 25);
        const uint32_t chosen = (s[4] & s[5]) ^ (~s[4] & s[6]);
        const uint32_t sum0 = turned(s[0], 2) ^ turned(s[0], 13) ^ turned(s[0], 22);
        const uint32_t most = (s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]);
        const uint32_t first = s[7] + sum1 + chosen + ROUNDS[t] + w[t];
        memmove(s + 1, s, 7 * sizeof *s);
        s[4] += first;
        s[0] = first + sum0 + most;
    }
    for (unsigned word = 0; word < WORDS; word++) {
        state[word] += s[word];
    }
}

/* What is left over, a bit that ends it, and the length in bits: one block or two. */
static void add_end(uint32_t state[WORDS], const uint8_t *rest, size_t left, uint64_t count)
{
    uint8_t last[2 * BLOCK] = {0};
    if (left > 0) {
        memcpy(last, rest, left);
    }
    last[left] = 0x80;
    const size_t size = left + 9 <= BLOCK ? BLOCK : 2 * BLOCK;
    for (unsigned byte = 0; byte < 8; byte++) {
        last[size - 1 - byte] = (uint8_t)(count * 8 >> 8 * byte);
    }
    for (size_t at = 0; at < size; at += BLOCK) {
        add_block(state, last + at);
    }
}

void sim_sha256_hex(const uint8_t *bytes, size_t count, char hex[SIM_SHA256_HEX])
{
    uint32_t state[WORDS] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    const size_t whole = count / BLOCK * BLOCK;
    for (size_t at = 0; at < whole; at += BLOCK) {
        add_block(state, bytes + at);
    }
    add_end(state, whole < count ? bytes + whole : NULL, count - whole, count);
    for (unsigned word = 0; word < WORDS; word++) {
        snprintf(hex + 8 * word, 9, "%08x", state[word]);
    }
}
