#define _POSIX_C_SOURCE 200809L
#include "told.h"

#include <stdlib.h>

#include "network.h"
#include "plan.h"
#include "step_timing.h"

void sim_tell_name(const char *name, FILE *file)
{
    fputc('"', file);
    for (const unsigned char *c = (const unsigned char *)name; *c; c++) {
        if (*c < 0x20 || *c >= 0x7f || *c == '"' || *c == '\\') {
            fprintf(file, "\\u%04x", *c);
        } else {
            fputc(*c, file);
        }
    }
    fputc('"', file);
}

static double elements_of(const sim_place *place)
{
    return (double)place->dims[0] * place->dims[1] * place->dims[2] * place->dims[3];
}

double sim_step_bytes(const sim_step *s)
{
    const double moved = (double)s->moved_elements;
    const double x = moved > 0 ? moved : elements_of(&s->x), y = moved > 0 ? moved : elements_of(&s->y);
    return x * (double)sim_dtype_size(s->x.dtype) + y * (double)sim_dtype_size(s->y.dtype) + s->host_bytes;
}

const char *sim_type_name(unsigned dtype)
{
    switch (dtype) {
    case SIM_UINT8: return "uint8";
    case SIM_FLOAT16: return "float16";
    case SIM_FLOAT32: return "float32";
    default: return "quantized";
    }
}

void sim_tell_tensors(const sim_step *s, FILE *file)
{
    const int32_t *x = s->x.dims, *y = s->y.dims;
    fprintf(file, "\"input\": [%d, %d, %d, %d], \"output\": [%d, %d, %d, %d]", x[0], x[1], x[2], x[3], y[0], y[1], y[2],
            y[3]);
    fprintf(file, ", \"input_type\": \"%s\", \"output_types\": [\"%s\"%s]", sim_type_name(s->x.dtype),
            sim_type_name(s->y.dtype), s->twins ? ", \"quantized\"" : "");
}

uint32_t sim_plan_step_count(const sim_plan *plan)
{
    return plan->step_count;
}

char *sim_plan_describe_step(const sim_plan *plan, uint32_t number, const sim_timing *timing, unsigned cores)
{
    const sim_step *s = &plan->steps[number];
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file) {
        return NULL;
    }
    fputs("\"name\": ", file);
    sim_tell_name(s->name[0] ? s->name : s->kind, file);
    fprintf(file, ", \"cat\": \"%s\", \"args\": {", s->kind);
    sim_tell_tensors(s, file);
    if (s->algorithm) {
        fprintf(file, ", \"algorithm\": \"%s\"", s->algorithm);
    }
    fprintf(file, ", \"bytes\": %.0f, \"multiplications\": %.0f", sim_step_bytes(s), s->multiplications);
    if (timing) {
        fprintf(file, ", \"estimate_ns\": %.0f", sim_timing_of_step(timing, plan, number, cores) * 1e9);
    }
    fputc('}', file);
    const int bad = ferror(file);
    if (fclose(file) != 0 || bad) {
        free(text);
        return NULL;
    }
    return text;
}
