/* Follows a plan. Nothing is allocated, searched or checked here. */
#include "invocation.h"
#include "profile.h"

static void run_alone(void *state, size_t count, sim_task_fn task, void *argument)
{
    (void)state;
    for (size_t i = 0; i < count; i++) {
        task(argument, i, 0);
    }
}

const sim_team SIM_TEAM_OF_ONE = {.size = 1, .run = run_alone};

static void run_task(void *argument, size_t index, unsigned member)
{
    const sim_invocation *v = argument;
    const sim_step *s = v->step;
    const size_t first = index * s->units_per_task, end = first + s->units_per_task;
    for (size_t unit = first; unit < end && unit < s->units; unit++) {
        s->run(v, unit, member);
    }
}

void sim_plan_run(const sim_plan *plan, void *workspace, void *const *buffers, const sim_team *team,
                  sim_profile *profile)
{
    sim_invocation v = {.plan = plan, .workspace = workspace, .buffers = buffers};
    for (unsigned m = 0; m < team->size; m++) {
        sim_run_scratch(&v, m)->holds = 0;
    }
    for (uint32_t i = 0; i < plan->step_count; i++) {
        const uint64_t start = profile || team->watch ? sim_profile_now() : 0;
        v.step = &plan->steps[i];
        v.x = sim_run_view(&v, &v.step->x);
        v.y = sim_run_view(&v, &v.step->y);
        team->run(team->state, v.step->tasks, run_task, &v);
        if (profile) {
            sim_profile_record(profile, i, sim_profile_now() - start);
        }
        if (team->watch) {
            team->watch(team->watcher, i, start, sim_profile_now());
        }
    }
}
