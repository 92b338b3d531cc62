/* The loops of spans.inc and winograd.inc as entries of tables. They are compiled once for each set of vectors (spans.c of its
 * folder), under names with a prefix of its own; every table that has these vectors takes them by SIM_LOOPS. */
#ifndef SIM_KERNELS_LOOPS_H
#define SIM_KERNELS_LOOPS_H

#include "kernels.h"

#define SIM_SAME(entry) __typeof__(*((const sim_kernels *)0)->entry)

#define SIM_DECLARE_LOOPS(prefix)                                        \
    SIM_SAME(quantize) prefix##quantize;                                 \
    SIM_SAME(widen) prefix##widen;                                       \
    SIM_SAME(encode) prefix##encode;                                     \
    SIM_SAME(greater) prefix##greater;                                   \
    SIM_SAME(convert) prefix##convert;                                   \
    SIM_SAME(finish) prefix##finish;                                     \
    SIM_SAME(activate) prefix##activate;                                 \
    SIM_SAME(binary) prefix##binary;                                     \
    SIM_SAME(max_pool) prefix##max_pool;                                 \
    SIM_SAME(depthwise.run) prefix##depthwise, prefix##depthwise_halved; \
    SIM_SAME(winograd.input) prefix##winograd_input;                     \
    SIM_SAME(winograd.output) prefix##winograd_output

#define SIM_LOOPS(prefix)                                                                                         \
    .quantize = prefix##quantize, .widen = prefix##widen, .encode = prefix##encode, .greater = prefix##greater,   \
    .convert = prefix##convert, .finish = prefix##finish, .activate = prefix##activate, .binary = prefix##binary, \
    .max_pool = prefix##max_pool

#endif
