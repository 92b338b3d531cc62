#define _POSIX_C_SOURCE 200809L
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/strict_bits.h"
#include "core/strict_use.h"
#include "core/strict_watch.h"

enum { DOUBT_TEXT = SIM_BLOCK_TEXT + SIM_SITE_TEXT + 512 };

/* One buffer of an invocation, and the tensor that it is to hold. */
typedef struct tensor {
    const sim_model_info *model;
    const sim_io *io;
    const char *side;
    int number;
    sim_strict_block *block;
    size_t begin, end;
} tensor;

static tensor tensor_at(const sim_model_info *info, const sim_strict_side *sides, int index)
{
    const bool input = index < info->input_count;
    const int number = input ? index : index - info->input_count;
    const sim_io *io = input ? &info->inputs[number] : &info->outputs[number];
    const size_t begin = sim_side_offset(sides[index]);
    return (tensor){info, io, input ? "input" : "output", number, sides[index].block, begin, begin + (size_t)io->bytes};
}

static bool is_whole(const tensor *t)
{
    return t->begin == 0 && t->end == t->block->bytes;
}

/* "input 0 of model ... lies in buffer ...: what where." */
static void describe(char text[DOUBT_TEXT], const tensor *t, const char *what, const sim_site *site)
{
    char buffer[SIM_BLOCK_TEXT], where[SIM_SITE_TEXT];
    sim_block_text(t->block, buffer);
    sim_site_text(site, where);
    snprintf(text, DOUBT_TEXT, "%s %d of model \"%.60s\" (%lld bytes) lies in %s: %s %s.", t->side, t->number,
             t->model->name, (long long)t->io->bytes, buffer, what, where);
}

static void tell_of(sim_finding kind, const tensor *t, const char *what, const sim_site *site)
{
    char text[DOUBT_TEXT];
    describe(text, t, what, site);
    sim_strict_tell(kind, "%s", text);
}

/* An output that has just what this input needs, from the host: the two stand in each other's place. */
static bool looks_swapped(const tensor *input, const sim_strict_side *sides)
{
    const sim_model_info *info = input->model;
    for (int index = 0; index < info->output_count; index++) {
        const tensor output = tensor_at(info, sides, info->input_count + index);
        const sim_strict_copy_in *copy = &output.block->copies[0];
        if (copy->begin == output.begin && copy->end - copy->begin == (size_t)input->io->bytes) {
            tell_of(
                SIM_FOUND_SWAPPED, input,
                "nothing was written there, but what it needs was copied to where an output is to go. Pass the inputs "
                "first, then the outputs, each in the model's order; the copy is",
                &copy->site);
            return true;
        }
    }
    return false;
}

/* Part of a batch may be left out, picture by picture; not part of a picture. `doubt` says what is missing: told when what is
 * computed from it is read, as many programs let a device run warm on whatever lies there. */
static void check_input_written(const tensor *input, const sim_strict_side *sides, char doubt[DOUBT_TEXT])
{
    const uint8_t *written = input->block->written;
    const size_t all = input->end - input->begin;
    const size_t pictures = input->io->rank > 0 && input->io->dims[0] > 0 ? (size_t)input->io->dims[0] : 1;
    const sim_site *site = &input->block->allocated;
    if (sim_bits_find(written, input->begin, input->end, true) == input->end) {
        if (!looks_swapped(input, sides)) {
            describe(
                doubt, input,
                "nothing was ever written there, but the output is read. Copy the input to it before; the buffer is of",
                site);
        }
        return;
    }
    for (size_t picture = 0; picture < pictures; picture++) {
        const size_t begin = input->begin + picture * (all / pictures), end = begin + all / pictures;
        const size_t first = sim_bits_find(written, begin, end, false);
        if (first < end && sim_bits_find(written, begin, end, true) < end) {
            char what[200];
            snprintf(what, sizeof what,
                     "nothing was ever written from byte %zu of it on, but the output is read. Copy all of it before: "
                     "the copy to it may be too short. The buffer is of",
                     first - input->begin);
            describe(doubt, input, what, site);
            return;
        }
    }
}

/* Whether the copy's excess lies in no other tensor of the invocation. */
static bool is_excess(const tensor *input, const sim_strict_copy_in *copy, const sim_strict_side *sides)
{
    const size_t bytes = copy->end - copy->begin, needed = (size_t)input->io->bytes;
    const int count = input->model->input_count + input->model->output_count;
    for (int index = 0; index < count; index++) {
        const tensor other = tensor_at(input->model, sides, index);
        if (other.block == input->block && other.begin > input->begin && other.begin < copy->end) {
            return false;
        }
    }
    return bytes > needed && bytes % needed != 0; /* several inputs behind each other are one copy, too */
}

static void check_input_size(const tensor *input, const sim_strict_side *sides)
{
    const sim_strict_output *unread = &input->block->unread, *bound = &input->block->bound;
    for (int index = 0; index < SIM_MOST_COPIES; index++) {
        const sim_strict_copy_in *copy = &input->block->copies[index];
        if (copy->end <= copy->begin || copy->begin != input->begin || !is_excess(input, copy, sides)) {
            continue;
        }
        char what[200];
        const bool other =
            bound->end > 0 && bound->model != input->model && bound->end - bound->begin == copy->end - copy->begin;
        snprintf(what, sizeof what, "%zu bytes were copied to it, %s%.60s%s; the copy is", copy->end - copy->begin,
                 other ? "as model \"" : "more than it takes: the shape, the type or the layout",
                 other ? bound->name : "",
                 other ? "\" needs, whose buffer it is. Give each model buffers of its own"
                       : " is another one. Copy what cnrtGetInputDataSize tells");
        tell_of(other ? SIM_FOUND_OTHER_MODEL : SIM_FOUND_SIZE, input, what, &copy->site);
        return;
    }
    if (unread->end > unread->begin && unread->begin == input->begin && unread->model != input->model &&
        unread->end != input->end) {
        tell_of(SIM_FOUND_OTHER_MODEL, input,
                "it holds an output of another model with another size. Give each model buffers of its own; that is of",
                &unread->site);
    }
}

/* A buffer that is just as large as another model's output, and still holds it. */
static void check_output(const tensor *output)
{
    const sim_strict_output *unread = &output->block->unread;
    if (unread->end == output->block->bytes && unread->begin == 0 && unread->model != output->model &&
        unread->end != (size_t)output->io->bytes) {
        char what[256];
        snprintf(
            what, sizeof what,
            "an output of model \"%.60s\" with %zu bytes lies there, which nobody has read. Give each model buffers "
            "of its own; that output is of",
            unread->name, unread->end - unread->begin);
        tell_of(SIM_FOUND_OTHER_MODEL, output, what, &unread->site);
    }
}

static sim_strict_output of_model(const tensor *t)
{
    sim_strict_output made = {.model = t->model, .name = "", .begin = t->begin, .end = t->end, .site = sim_call_now()};
    snprintf(made.name, sizeof made.name, "%.60s", t->model->name);
    return made;
}

static void read_input(const tensor *input, const sim_strict_side *sides, sim_point point, char doubt[DOUBT_TEXT])
{
    sim_bytes_use(input->block, input->begin, input->end, false, point, "is read");
    if (!input->block->mapped) {
        check_input_written(input, sides, doubt);
        check_input_size(input, sides);
    }
    sim_output_overlapped(&input->block->unread, input->begin, input->end);
    if (is_whole(input)) {
        input->block->bound = of_model(input);
    }
}

static void write_output(const tensor *output, sim_point point, const char *doubt)
{
    sim_strict_block *block = output->block;
    sim_bytes_use(block, output->begin, output->end, true, point, "is written");
    check_output(output);
    sim_bytes_written(block, output->begin, output->end);
    block->unread = of_model(output);
    if (doubt[0] != '\0') {
        free(block->doubt);
        block->doubt = strdup(doubt);
        block->doubted = block->unread;
        sim_bits_set(block->written, output->begin, output->end, false);
    }
}

void sim_strict_invoke(const sim_model_info *info, const sim_strict_side *sides, void *const *array, uint64_t queue)
{
    const int count = info->input_count + info->output_count;
    if (!sim_strict()) {
        return;
    }
    sim_strict_lock();
    const sim_point point = sim_order_add(queue);
    char doubt[DOUBT_TEXT] = "";
    for (int index = 0; index < count; index++) {
        const tensor t = tensor_at(info, sides, index);
        if (t.block->written == NULL) { /* freed meanwhile, by another thread */
            continue;
        }
        if (index < info->input_count) {
            read_input(&t, sides, point, doubt);
        } else {
            write_output(&t, point, doubt);
        }
    }
    sim_watch_add(SIM_WATCH_ARRAY, array, (size_t)count * sizeof *array, point);
    sim_strict_unlock();
}
