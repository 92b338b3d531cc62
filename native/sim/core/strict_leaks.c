#include "core/strict_leaks.h"

#include "core/object.h"
#include "core/strict_blocks.h"

typedef struct kind_of_leak {
    const char *one, *many, *remedy;
} kind_of_leak;

static const kind_of_leak DEVICE_MEMORY = {"buffer in device memory", "buffers in device memory", "cnrtFree"};
static const kind_of_leak HOST_MEMORY = {"buffer in host memory", "buffers in host memory", "cnrtFreeHost"};
static const kind_of_leak OBJECTS[] = {
    [SIM_KIND_MODEL] = {"model", "models", "cnrtUnloadModel"},
    [SIM_KIND_FUNCTION] = {"function", "functions", "cnrtDestroyFunction"},
    [SIM_KIND_CONTEXT] = {"runtime context", "runtime contexts", "cnrtDestroyRuntimeContext"},
    [SIM_KIND_QUEUE] = {"queue", "queues", "cnrtDestroyQueue"},
    [SIM_KIND_NOTIFIER] = {"notifier", "notifiers", "cnrtDestroyNotifier"},
    [SIM_KIND_QUANTIZED_PARAM] = {"quantization parameter", "quantization parameters", "cnrtDestroyQuantizedParam"},
    [SIM_KIND_PARAM_DESC] = {"parameter descriptor", "parameter descriptors", "cnrtDestroyParamDesc"},
    [SIM_KIND_PARAM_CONTEXT] = {"parameter context", "parameter contexts", "cnrtDestroyParam"},
    [SIM_KIND_KERNEL_INIT] = {"kernel's parameter", "kernels' parameters", "cnrtDestroyKernelInitParamAndMemory"},
};
_Static_assert(sizeof OBJECTS / sizeof *OBJECTS == SIM_KINDS, "every kind of object has its words");

typedef struct sum {
    unsigned count;
    size_t bytes;
    sim_site first;
} sum;

static void add(sum *to, size_t bytes, const sim_site *site)
{
    if (to->count++ == 0) {
        to->first = *site;
    }
    to->bytes += bytes;
}

static void tell(const sum *found, const kind_of_leak *kind, const char *when)
{
    if (found->count == 0) {
        return;
    }
    char size[48] = "";
    sim_text text;
    sim_text_begin(&text, size, sizeof size);
    if (found->bytes > 0) {
        sim_text_add(&text, " with ");
        sim_text_add_number(&text, found->bytes, 10);
        sim_text_add(&text, " bytes");
    }
    sim_strict_tell_at(SIM_FOUND_LEAK, &found->first,
                       "%u %s%s %s not given back %s; the first is of this call. Call %s.", found->count,
                       found->count == 1 ? kind->one : kind->many, size, found->count == 1 ? "was" : "were", when,
                       kind->remedy);
}

static void count_block(sim_strict_block *block, void *argument)
{
    sum *sums = argument; /* host, device */
    if (!block->leak_told && block->allocated.address != NULL) {
        block->leak_told = true;
        add(&sums[block->is_device], block->bytes, &block->allocated);
    }
}

static void count_object(sim_object *object, void *argument)
{
    sum *sums = argument;
    if (!object->closed && !object->leak_told && object->site.address != NULL) {
        object->leak_told = true;
        add(&sums[object->kind], 0, &object->site);
    }
}

void sim_leaks_tell(const char *when)
{
    sum memory[2] = {{.count = 0}}, objects[SIM_KINDS] = {{.count = 0}};
    if (!sim_strict()) {
        return;
    }
    sim_order_tell_pending();
    sim_strict_blocks_each(count_block, memory);
    sim_objects_each(count_object, objects);
    tell(&memory[true], &DEVICE_MEMORY, when);
    tell(&memory[false], &HOST_MEMORY, when);
    for (unsigned kind = SIM_KIND_MODEL; kind < SIM_KINDS; kind++) {
        tell(&objects[kind], &OBJECTS[kind], when);
    }
}
