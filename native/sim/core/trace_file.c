/* Chrome's trace event format: a process is a device; its threads are cores, queues, and the host's threads that copied.
 * Whole numbers alone: how a fraction is printed depends on the program's locale. */
#include "core/trace_file.h"

#include <stdbool.h>

#include "exec/told.h"

/* Numbers of threads, by which they are sorted too. */
enum { FIRST_CORE = 1, FIRST_QUEUE = 1000, FIRST_HOST = 1000000 };

typedef struct writer {
    const sim_trace *trace;
    FILE *file;
    bool begun;
} writer;

static void next(writer *w)
{
    fputs(w->begun ? ",\n" : "\n", w->file);
    w->begun = true;
}

/* Microseconds since the trace began. */
static void tell_time(writer *w, const char *field, uint64_t nanoseconds)
{
    fprintf(w->file, ", \"%s\": %llu.%03u", field, (unsigned long long)(nanoseconds / 1000),
            (unsigned)(nanoseconds % 1000));
}

static void tell_place(writer *w, const sim_trace_event *e, unsigned thread)
{
    tell_time(w, "ts", e->begun > w->trace->began ? e->begun - w->trace->began : 0);
    tell_time(w, "dur", e->ended > e->begun ? e->ended - e->begun : 0);
    fprintf(w->file, ", \"pid\": %u, \"tid\": %u}", e->device + 1, thread);
}

/* One slice on every core that the invocation holds. */
static void tell_on_cores(writer *w, const sim_trace_event *e)
{
    const sim_trace_model_told *model = &w->trace->models[e->model];
    for (unsigned core = 0; core < 64; core++) {
        if ((e->cores >> core & 1) == 0) {
            continue;
        }
        next(w);
        fputs("{\"ph\": \"X\", ", w->file);
        if (e->kind == SIM_TRACE_STEP) {
            fputs(model->steps[e->number], w->file);
        } else {
            fputs("\"name\": ", w->file);
            sim_tell_name(model->name[0] != '\0' ? model->name : "model", w->file);
            fputs(", \"cat\": \"invocation\"", w->file);
        }
        tell_place(w, e, FIRST_CORE + core);
    }
}

static unsigned thread_of(const sim_trace_event *e)
{
    return e->kind == SIM_TRACE_WORK ? FIRST_QUEUE + e->number : FIRST_HOST + e->number;
}

static void tell_call(writer *w, const sim_trace_event *e)
{
    next(w);
    fputs("{\"ph\": \"X\", \"name\": ", w->file);
    sim_tell_name(e->function == NULL ? "work" : e->function, w->file);
    fprintf(w->file, ", \"cat\": \"%s\"", e->kind == SIM_TRACE_WORK ? "queue" : "transfer");
    if (e->bytes > 0) {
        fprintf(w->file, ", \"args\": {\"bytes\": %llu}", (unsigned long long)e->bytes);
    }
    tell_place(w, e, thread_of(e));
}

/* ---- Names of rows ---- */

static void name_process(writer *w, unsigned device, const sim_device_kind *kind)
{
    next(w);
    fprintf(w->file,
            "{\"ph\": \"M\", \"pid\": %u, \"tid\": 0, \"name\": \"process_name\", \"args\": {\"name\": ", device + 1);
    fprintf(w->file, "\"%s-SIMULATOR, device %u\"}}", kind->name, device);
}

static void name_thread(writer *w, unsigned device, unsigned thread, const char *what, unsigned number)
{
    next(w);
    fprintf(w->file,
            "{\"ph\": \"M\", \"pid\": %u, \"tid\": %u, \"name\": \"thread_name\", \"args\": {\"name\": \"%s %u\"}}",
            device + 1, thread, what, number);
    next(w);
    fprintf(w->file, "{\"ph\": \"M\", \"pid\": %u, \"tid\": %u, \"name\": \"thread_sort_index\", ", device + 1, thread);
    fprintf(w->file, "\"args\": {\"sort_index\": %u}}", thread);
}

/* Rows are few beside events, and those of one row lie near each other: looking back a little finds most repeats, and a name
 * that is told twice does no harm. */
static bool named_lately(const sim_trace *trace, size_t index)
{
    const sim_trace_event *e = &trace->events[index];
    for (size_t back = 1; back <= 256 && back <= index; back++) {
        const sim_trace_event *b = e - back;
        if (b->kind == e->kind && b->device == e->device && b->number == e->number) {
            return true;
        }
    }
    return false;
}

static void name_rows(writer *w, const sim_device_kind *kind)
{
    for (unsigned device = 0; device < sim_device_count(); device++) {
        name_process(w, device, kind);
        for (unsigned core = 0; core < kind->cores; core++) {
            name_thread(w, device, FIRST_CORE + core, "core", core);
        }
    }
    for (size_t index = 0; index < w->trace->count; index++) {
        const sim_trace_event *e = &w->trace->events[index];
        if (e->kind >= SIM_TRACE_WORK && !named_lately(w->trace, index)) {
            name_thread(w, e->device, thread_of(e), e->kind == SIM_TRACE_WORK ? "queue" : "host thread", e->number);
        }
    }
}

void sim_trace_write(const sim_trace *trace, const sim_device_kind *kind, FILE *file)
{
    writer w = {.trace = trace, .file = file};
    fputs("{\"displayTimeUnit\": \"ms\", ", file);
    fprintf(file, "\"otherData\": {\"left_out\": %llu, \"invocations_of_further_models\": %llu},\n\"traceEvents\": [",
            (unsigned long long)trace->left_out, (unsigned long long)trace->unknown_invocations);
    name_rows(&w, kind);
    for (size_t index = 0; index < trace->count; index++) {
        const sim_trace_event *e = &trace->events[index];
        (e->kind >= SIM_TRACE_WORK ? tell_call : tell_on_cores)(&w, e);
    }
    fputs("\n]}\n", file);
}
