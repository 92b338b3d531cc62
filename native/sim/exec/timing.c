#include "timing.h"

#include "plan.h"
#include "step_timing.h"

static double macs_of(const sim_timing *timing, uint32_t dtype)
{
    switch (dtype) {
    case SIM_INT8: return timing->macs_int8;
    case SIM_INT16: return timing->macs_int16;
    default: return timing->macs_float;
    }
}

static double elements_of(const sim_place *place)
{
    return (double)place->dims[0] * place->dims[1] * place->dims[2] * place->dims[3];
}

double sim_timing_of_step(const sim_timing *timing, const sim_step *s, unsigned cores)
{
    const double rate = cores * timing->clock_hz * macs_of(timing, s->weight_dtype) * timing->efficiency;
    const double moved = (double)s->moved_elements;
    const double read = moved > 0 ? moved : elements_of(&s->x), written = moved > 0 ? moved : elements_of(&s->y);
    const double bytes = read * s->x_size + written * s->y_size + s->further_bytes;
    const double compute = s->multiplications / rate, memory = bytes / (timing->bandwidth * timing->memory_efficiency);
    return (compute > memory ? compute : memory) + timing->launch_s;
}

double sim_timing_of_plan(const sim_timing *timing, const sim_plan *plan, unsigned cores)
{
    double seconds = 0;
    for (uint32_t i = 0; i < plan->step_count; i++) {
        seconds += sim_timing_of_step(timing, &plan->steps[i], cores);
    }
    return seconds;
}

double sim_timing_of_copy(const sim_timing *timing, size_t bytes)
{
    return (double)bytes / timing->transfer + timing->transfer_s;
}
