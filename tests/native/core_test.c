/* Faults and clocks of the simulated device, each alone: what of them the environment cannot arm yet is held here. */
#include <string.h>

#include "api_check.h"
#include "core/clock.h"
#include "core/faults.h"

/* Works of a point that fail, of the first `count`: bit i for work i + 1. */
static unsigned failures(sim_faults *faults, sim_fault_point point, unsigned count)
{
    unsigned failed = 0;
    for (unsigned i = 0; i < count; i++) {
        sim_status status = {.code = CNRT_RET_SUCCESS, .text = ""};
        sim_faults_pass(faults, point, &status);
        failed |= (unsigned)(status.code != CNRT_RET_SUCCESS) << i;
        CHECK(status.code == CNRT_RET_SUCCESS || status.code == CNRT_RET_ERR_QUEUE);
    }
    return failed;
}

static void unarmed_points_never_fail(void)
{
    sim_faults faults = {0};
    sim_faults_arm(&faults, SIM_FAULT_INVOKE, 1, SIM_FAULT_FOREVER, "a test");
    CHECK(failures(&faults, SIM_FAULT_COPY, 5) == 0);
    CHECK(failures(&faults, SIM_FAULT_PLACE, 5) == 0);
    CHECK(failures(&faults, SIM_FAULT_INVOKE, 3) == 7);
}

static void each_point_counts_its_own_work(void)
{
    sim_faults faults = {0};
    for (unsigned point = 0; point < SIM_FAULT_POINTS; point++) {
        sim_faults_arm(&faults, (sim_fault_point)point, point + 2, SIM_FAULT_ONCE, "a test");
    }
    for (unsigned point = 0; point < SIM_FAULT_POINTS; point++) {
        CHECK(failures(&faults, (sim_fault_point)point, 6) == 1u << (point + 1));
    }
}

static void a_fault_lasts_until_what_ends_it(void)
{
    sim_faults faults = {0};
    sim_faults_arm(&faults, SIM_FAULT_COPY, 2, SIM_FAULT_UNTIL_INIT, "a test");
    CHECK(failures(&faults, SIM_FAULT_COPY, 4) == 0xe);
    sim_faults_mend(&faults, SIM_FAULT_UNTIL_CONTEXT);
    CHECK(failures(&faults, SIM_FAULT_COPY, 2) == 3);
    sim_faults_mend(&faults, SIM_FAULT_UNTIL_INIT);
    CHECK(failures(&faults, SIM_FAULT_COPY, 2) == 0);
}

static void the_sentence_names_point_number_and_cause(void)
{
    sim_faults faults = {0};
    sim_status status = {.code = CNRT_RET_SUCCESS, .text = ""};
    sim_faults_arm(&faults, SIM_FAULT_PLACE, 1, SIM_FAULT_ONCE, "CNRT_SIMULATOR_EXAMPLE");
    sim_faults_pass(&faults, SIM_FAULT_PLACE, &status);
    CHECK(strcmp(status.text, "Notifier placement 1 failed because CNRT_SIMULATOR_EXAMPLE says so.") == 0);
}

static void a_clock_never_goes_back(void)
{
    sim_clock clock = {0};
    sim_clock_advance(&clock);
    int64_t first = clock.nanoseconds;
    sim_clock_advance(&clock);
    CHECK(first > 0 && clock.nanoseconds >= first);
    sim_clock ahead = {.nanoseconds = INT64_MAX};
    sim_clock_advance(&ahead);
    CHECK(ahead.nanoseconds == INT64_MAX);
}

int main(void)
{
    unarmed_points_never_fail();
    each_point_counts_its_own_work();
    a_fault_lasts_until_what_ends_it();
    the_sentence_names_point_number_and_cause();
    a_clock_never_goes_back();
    return 0;
}
