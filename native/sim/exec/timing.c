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

static double time_of(const sim_timing *timing, const sim_cost *cost, unsigned cores)
{
    const double rate = cores * timing->clock_hz * macs_of(timing, cost->weight_dtype) * timing->efficiency;
    const double compute = cost->multiplications / rate,
                 memory = cost->bytes / (timing->bandwidth * timing->memory_efficiency);
    return (compute > memory ? compute : memory) + timing->launch_s;
}

double sim_timing_of_step(const sim_timing *timing, const sim_plan *plan, uint32_t number, unsigned cores)
{
    double seconds = 0;
    for (uint32_t i = 0; i < plan->cost_count; i++) {
        seconds += plan->costs[i].step == number ? time_of(timing, &plan->costs[i], cores) : 0;
    }
    return seconds;
}

double sim_timing_of_plan(const sim_timing *timing, const sim_plan *plan, unsigned cores)
{
    double seconds = 0;
    for (uint32_t i = 0; i < plan->cost_count; i++) {
        seconds += time_of(timing, &plan->costs[i], cores);
    }
    return seconds;
}

double sim_timing_of_copy(const sim_timing *timing, size_t bytes)
{
    return (double)bytes / timing->transfer + timing->transfer_s;
}
