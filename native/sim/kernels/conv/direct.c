#include "direct.h"

#include <string.h>

enum { SCRATCH_TARGET = 256 * 1024, SCRATCH_LIMIT = 64 * 1024 * 1024, PAST_THE_END = 64 };

/* ---- rows of the input in scratch memory ---- */

/* Input rows under `rows` output rows. */
static int64_t rows_under(const sim_conv *conv, int64_t rows)
{
    return (rows - 1) * conv->stride_h + (int64_t)(conv->kernel_h - 1) * conv->dilation_h + 1;
}

static int64_t row_bytes(const sim_rows *rows)
{
    return rows->row_pitch * (int64_t)rows->element;
}

/* Pixels 1 KiB apart would put those of one register tile into the same cache sets. */
sim_rows sim_rows_of(const sim_conv *conv, size_t element, int64_t channels)
{
    const int64_t size = (int64_t)element, pitch = channels * size % 1024 ? channels : channels + 64 / size;
    const int64_t width =
        (int64_t)(conv->out_w - 1) * conv->stride_w + (int64_t)(conv->kernel_w - 1) * conv->dilation_w + 1;
    return (sim_rows){element, width, pitch, width * pitch, 1, 1, 0};
}

bool sim_rows_fit(const sim_conv *conv, const sim_rows *rows)
{
    return !conv->transposed && conv->kernel_h * (int64_t)conv->kernel_w <= SIM_MOST_RUNS &&
           rows_under(conv, 1) <= SCRATCH_LIMIT / row_bytes(rows);
}

bool sim_packs_well(const sim_conv *conv, size_t packed_bytes)
{
    enum { TIMES = 16, AND = 1024 * 1024 };
    const size_t volume = (size_t)conv->kernel_h * (size_t)conv->kernel_w * (size_t)(conv->in_c / conv->groups);
    return packed_bytes <= TIMES * (size_t)conv->out_c * volume * sim_dtype_size(conv->weight_dtype) + AND;
}

/* As many as fit the target, spread evenly. */
int32_t sim_rows_of_task(const sim_conv *conv, const sim_rows *rows)
{
    int64_t most = 1;
    while (most < conv->out_h && rows_under(conv, most + 1) * row_bytes(rows) <= SCRATCH_TARGET) {
        most++;
    }
    const int64_t tasks = (conv->out_h + most - 1) / most;
    return (int32_t)((conv->out_h + tasks - 1) / tasks);
}

void sim_rows_deal(const sim_conv *conv, sim_rows *rows)
{
    const int64_t extent = rows_under(conv, 1), every = conv->stride_h;
    rows->every = conv->stride_h;
    rows->planes = every < extent ? conv->stride_h : (int32_t)extent;
    rows->plane_pitch = (rows_under(conv, sim_rows_of_task(conv, rows)) + every - 1) / every * rows->row_pitch;
}

/* A padded run reads a little past the end of the last row. */
size_t sim_rows_bytes(const sim_conv *conv, const sim_rows *rows)
{
    const int64_t planes = rows->planes * rows->plane_pitch * (int64_t)rows->element;
    return (size_t)(planes > 0 ? planes : rows_under(conv, sim_rows_of_task(conv, rows)) * row_bytes(rows)) +
           PAST_THE_END;
}

/* Elements from the first row to row r. */
static int64_t row_at(const sim_rows *rows, int64_t r)
{
    return r % rows->every * rows->plane_pitch + r / rows->every * rows->row_pitch;
}

static void widen_span(const sim_kernels *kernels, const sim_conv *conv, const void *x, uint32_t dtype, size_t count,
                       void *out)
{
    (void)conv;
    kernels->convert(x, dtype, out, SIM_FLOAT32, count);
}

const sim_elements SIM_FLOAT32_ELEMENTS = {widen_span, NULL, 0};

/* Pixels [0, pixels) of one input row, without padding. */
static void copy_pixels(const sim_kernels *kernels, const sim_conv *conv, const sim_rows *rows,
                        const sim_elements *elements, const sim_view *x, const char *row, size_t pixels, char *out)
{
    const size_t step = sim_dtype_size(x->dtype) * (size_t)x->pitch,
                 out_step = rows->element * (size_t)rows->pixel_pitch;
    if (conv->lookup) {
        elements->lookup(kernels, conv, (const uint8_t *)row, x->pitch, pixels, out, rows->pixel_pitch);
    } else if (x->pitch == conv->in_c && rows->pixel_pitch == conv->in_c) {
        elements->span(kernels, conv, row, x->dtype, pixels * (size_t)conv->in_c, out);
    } else {
        for (size_t p = 0; p < pixels; p++) {
            elements->span(kernels, conv, row + p * step, x->dtype, (size_t)conv->in_c, out + p * out_step);
        }
    }
}

/* What a padded run reads past the last row of a plane is multiplied by zeros, but no tool sees that. Before the rows are
 * copied: the next plane may start there. */
static void end_planes(const sim_rows *rows, int64_t count, uint8_t padding, char *memory)
{
    for (int64_t p = 0; p < rows->planes && p < count; p++) {
        const int64_t below = (count - p + rows->every - 1) / rows->every;
        memset(memory + (p * rows->plane_pitch + below * rows->row_pitch) * (int64_t)rows->element, padding,
               PAST_THE_END);
    }
}

void sim_rows_copy(const sim_kernels *kernels, const sim_conv *conv, const sim_rows *rows, const sim_elements *elements,
                   const sim_view *x, const sim_conv_task *task, char *memory)
{
    const size_t pixel = rows->element * (size_t)rows->pixel_pitch, bytes = (size_t)row_bytes(rows);
    const int64_t left = conv->pad_left < rows->width ? conv->pad_left : rows->width;
    const int64_t inside = conv->in_w < rows->width - left ? conv->in_w : rows->width - left;
    const int64_t first = (int64_t)task->row * conv->stride_h - conv->pad_top, count = rows_under(conv, task->rows);
    end_planes(rows, count, elements->padding, memory);
    for (int64_t r = 0; r < count; r++) {
        const int64_t iy = first + r;
        char *scratch = memory + row_at(rows, r) * (int64_t)rows->element;
        if (r % rows->every >= rows->planes) {
            continue;
        }
        if (iy < 0 || iy >= conv->in_h) {
            memset(scratch, elements->padding, bytes);
            continue;
        }
        const size_t start = ((size_t)task->n * (size_t)x->h + (size_t)iy) * (size_t)x->w * (size_t)x->pitch;
        memset(scratch, elements->padding, (size_t)left * pixel);
        copy_pixels(kernels, conv, rows, elements, x, x->data + start * sim_dtype_size(x->dtype), (size_t)inside,
                    scratch + (size_t)left * pixel);
        memset(scratch + (size_t)(left + inside) * pixel, elements->padding,
               (size_t)(rows->width - left - inside) * pixel);
    }
}

void sim_rows_offsets(const sim_conv *conv, const sim_rows *rows, int32_t runs, int32_t *offset)
{
    const int32_t per_row = runs / conv->kernel_h;
    for (int32_t r = 0; r < runs; r++) {
        offset[r] = (int32_t)(row_at(rows, (int64_t)(r / per_row) * conv->dilation_h) +
                              r % per_row * conv->dilation_w * rows->pixel_pitch);
    }
}

/* ---- the end ---- */

sim_output sim_output_start(const sim_kernels *kernels, const sim_conv *conv, const sim_target *target,
                            const sim_conv_task *task, int32_t channel, int32_t channels)
{
    const size_t pixel = ((size_t)task->n * (size_t)conv->out_h + (size_t)task->row) * (size_t)conv->out_w;
    const sim_affine *a = &conv->affine;
    return (sim_output){
        .kernels = kernels,
        .activation = &conv->activation,
        .affine = {a->scale + channel, a->bias + channel, a->alpha + channel, a->beta + channel},
        .target = sim_target_at(target, pixel, channel),
        .channels = channels,
    };
}

void sim_output_finish(sim_output *output, const sim_sums *sums, int32_t pixels)
{
    output->kernels->finish(sums, pixels, output->channels, &output->affine, output->activation, &output->target);
    output->target = sim_target_at(&output->target, (size_t)pixels, 0);
}
