/* Element types: sizes, conversions, transposition. Host memory only; ABI.md section "Data helpers" has the rules. */
#ifndef SIM_CORE_CAST_H
#define SIM_CORE_CAST_H

#include "core/error.h"
#include "core/object.h"

/* Quantization: q = clamp(rint(x * scale / 2^position) + offset), per tensor or per index along one dimension. */
typedef struct sim_quantized_param sim_quantized_param;

/* One entry. `channels` entries repeat every channels * `inner` elements, `inner` neighbours share one. */
sim_quantized_param *sim_quantized_param_create(size_t channels, size_t inner, const int *positions,
                                                const float *scales, const float *offsets); /* NULL after reporting */
void *sim_quantized_param_handle(const sim_quantized_param *param);

/* Bytes of an element; 0 when the type has no whole-byte size here. */
size_t sim_dtype_size(cnrtDataType_t dtype);
const char *sim_dtype_name(cnrtDataType_t dtype);

/* False when this pair of types is not converted (with, or without a parameter). */
bool sim_cast(const void *source, cnrtDataType_t source_type, void *destination, cnrtDataType_t destination_type,
              size_t count, const sim_quantized_param *param);
bool sim_cast_is_known(cnrtDataType_t source_type, cnrtDataType_t destination_type, bool with_param);

enum { SIM_MAX_TRANSPOSE = 8 };
/* numpy.transpose(source.reshape(dims), order); `rank` at most SIM_MAX_TRANSPOSE, `order` a permutation. */
void sim_transpose(const void *source, size_t item, void *destination, int rank, const int *dims, const int *order);
/* Appends extra[k] zero elements at the end of every dimension k. */
void sim_pad_ends(const void *source, size_t item, void *destination, int rank, const int *dims, const int *extra);

/* To nearest even, in one rounding; overflow becomes infinity, a NaN 0x7e00. */
uint16_t sim_cast_half_from_double(double value);
float sim_cast_half_to_float(uint16_t half);

#endif
