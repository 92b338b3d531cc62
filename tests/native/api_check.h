/* Assertions for the tests of the C ABI: a failed one says what was found and ends the program. */
#ifndef API_CHECK_H
#define API_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cnrt.h"

#define CHECK(condition)                                                              \
    do {                                                                              \
        if (!(condition)) {                                                           \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition); \
            exit(1);                                                                  \
        }                                                                             \
    } while (0)

#define CHECK_CODE(expected, call)                                                         \
    do {                                                                                   \
        cnrtRet_t code_found_ = (call);                                                    \
        if (code_found_ != (expected)) {                                                   \
            fprintf(stderr, "%s:%d: %s gave %s, not %s: %s\n", __FILE__, __LINE__, #call,  \
                    cnrtGetErrorName(code_found_), #expected, cnrtSimulatorLastMessage()); \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#define OK(call) CHECK_CODE(CNRT_RET_SUCCESS, call)

/* The call fails with this code, and the thread's last message holds `words`. */
#define CHECK_FAILS(expected, words, call)                                                 \
    do {                                                                                   \
        CHECK_CODE(expected, call);                                                        \
        if (strstr(cnrtSimulatorLastMessage(), words) == NULL) {                           \
            fprintf(stderr, "%s:%d: \"%s\" is not in \"%s\"\n", __FILE__, __LINE__, words, \
                    cnrtSimulatorLastMessage());                                           \
            exit(1);                                                                       \
        }                                                                                  \
    } while (0)

#define RUN(test)                   \
    do {                            \
        test();                     \
        printf("ok   %s\n", #test); \
    } while (0)

static inline char *read_whole_file(const char *path, size_t *bytes)
{
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    long size = ftell(file);
    CHECK(size > 0 && fseek(file, 0, SEEK_SET) == 0);
    char *data = (char *)malloc((size_t)size);
    CHECK(data != NULL && fread(data, 1, (size_t)size, file) == (size_t)size);
    fclose(file);
    *bytes = (size_t)size;
    return data;
}

/* Writes the CRC-32 of a changed model file into its network section (FORMAT.md section 2). */
static inline void renew_checksum(char *data, size_t bytes)
{
    unsigned char *crc_field = (unsigned char *)data + 0x4b0 + 0x10;
    memset(crc_field, 0, 4);
    unsigned crc = 0xffffffffu;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= (unsigned char)data[i];
        for (int bit = 0; bit < 8; bit++) {
            crc = crc >> 1 ^ (0xedb88320u & (0u - (crc & 1u)));
        }
    }
    crc = ~crc;
    for (int i = 0; i < 4; i++) {
        crc_field[i] = (unsigned char)(crc >> (8 * i));
    }
}

#endif
