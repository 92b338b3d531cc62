/* Random numbers of the tests: the same for the same `state` on every machine. */
#ifndef TESTS_NATIVE_DRAWS_H
#define TESTS_NATIVE_DRAWS_H

#include <stdint.h>

static uint64_t state = 1;

static inline uint32_t draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static inline int32_t between(int32_t low, int32_t high)
{
    return low + (int32_t)(draw() % (uint32_t)(high - low + 1));
}

static inline float uniform(float low, float high)
{
    return low + (high - low) * (float)(draw() % 65536) / 65536.0f;
}

#endif
