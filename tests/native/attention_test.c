/* MATMUL and LAYER_NORM equal their definitions in ARITHMETIC.md to the bit, with every table: random shapes, odd values, and
 * however the work is cut into tasks.
 *
 *     attention_test [cases] [seed]
 */
#include "views.h"

static float matrix_value(const sim_view *v, int32_t matrix, bool turned, int32_t row, int32_t column)
{
    const size_t pixel = (size_t)matrix * (size_t)v->w + (size_t)(turned ? column : row);
    return sim_load(v->data, v->dtype, pixel * (size_t)v->pitch + (size_t)(turned ? row : column));
}

static void define_matmul(const sim_matmul *m, float scale, const sim_view *a, const sim_view *b, const sim_view *y)
{
    for (int32_t matrix = 0; matrix < y->n * y->h; matrix++) {
        for (int32_t row = 0; row < m->rows; row++) {
            for (int32_t column = 0; column < m->columns; column++) {
                float sum = 0.0f;
                for (int32_t k = 0; k < m->depth; k++) {
                    const float product =
                        matrix_value(a, matrix, m->turned_a, row, k) * matrix_value(b, matrix, m->turned_b, k, column);
                    sum = sum + product;
                }
                const size_t pixel = (size_t)(matrix * y->w + row);
                sim_store(y->data, y->dtype, pixel * (size_t)y->pitch + (size_t)column, sum * scale);
            }
        }
    }
}

static int32_t least(int32_t a, int32_t b)
{
    return a < b ? a : b;
}

/* Some rows and some blocks at a time. */
static void run_in_parts(const sim_kernels *k, const sim_matmul *m, const sim_view *a, const sim_view *b,
                         const sim_view *y)
{
    const int32_t blocks = (m->columns + sim_matmul_columns(k) - 1) / sim_matmul_columns(k),
                  some = between(1, blocks < 9 ? blocks : 9), rows = between(1, m->rows);
    void *scratch = room(sim_matmul_scratch(k, m, some));
    for (int32_t matrix = 0; matrix < y->n * y->h; matrix++) {
        for (int32_t block = 0; block < blocks; block += some) {
            for (int32_t row = 0; row < m->rows; row += rows) {
                const sim_matmul_task task = {matrix, row, least(rows, m->rows - row), block,
                                              least(some, blocks - block)};
                sim_matmul_run(k, m, a, b, y, &task, scratch);
            }
        }
    }
    free(scratch);
}

static void test_matmul(const sim_kernels *k)
{
    enum { MOST = 64 };
    const float scale = draw() % 2 ? 1.0f : uniform(0.01f, 2.0f);
    float terms[4][MOST];
    sim_matmul m = {.rows = draw() % 4 ? between(1, 20) : between(100, 260),
                    .depth = draw() % 8 ? between(1, 50) : between(250, 600),
                    .columns = between(1, 110),
                    .turned_a = draw() % 2,
                    .turned_b = draw() % 2,
                    .affine = {terms[0], terms[1], terms[2], terms[3]}};
    for (int i = 0; i < MOST; i++) {
        terms[0][i] = scale;
        terms[1][i] = terms[3][i] = -0.0f;
        terms[2][i] = 1.0f;
    }
    const int32_t n = between(1, 2), h = between(1, 2);
    const sim_view a = m.turned_a ? new_view(n, h, m.depth, m.rows) : new_view(n, h, m.rows, m.depth),
                   b = m.turned_b ? new_view(n, h, m.columns, m.depth) : new_view(n, h, m.depth, m.columns),
                   y = new_view(n, h, m.rows, m.columns), z = twin(&y);
    fill(&a, uniform(0.1f, 20.0f), draw() % 3 == 0);
    fill(&b, uniform(0.1f, 20.0f), draw() % 3 == 0);
    run_in_parts(k, &m, &a, &b, &y);
    define_matmul(&m, scale, &a, &b, &z);
    equal("matmul", k, &y, &z);
    free(a.data);
    free(b.data);
    free(y.data);
    free(z.data);
}

static void define_layer_norm(const sim_layer_norm *norm, const sim_view *x, const sim_view *y)
{
    for (size_t pixel = 0; pixel < (size_t)(x->n * x->h * x->w); pixel++) {
        const size_t from = pixel * (size_t)x->pitch, to = pixel * (size_t)y->pitch, count = (size_t)x->c;
        float sum = 0.0f, squares = 0.0f;
        for (size_t c = 0; c < count; c++) {
            sum = sum + sim_load(x->data, x->dtype, from + c);
        }
        const float mean = sum / (float)count;
        for (size_t c = 0; c < count; c++) {
            const float d = sim_load(x->data, x->dtype, from + c) - mean, square = d * d;
            squares = squares + square;
        }
        const float root = sqrtf(squares / (float)count + norm->eps);
        for (size_t c = 0; c < count; c++) {
            float v = (sim_load(x->data, x->dtype, from + c) - mean) / root;
            v = norm->gamma ? v * norm->gamma[c] : v;
            v = norm->beta ? v + norm->beta[c] : v;
            sim_store(y->data, y->dtype, to + c, v);
        }
    }
}

static void test_layer_norm(const sim_kernels *k)
{
    enum { MOST = 700 };
    float gamma[MOST], beta[MOST];
    for (int i = 0; i < MOST; i++) {
        gamma[i] = uniform(-2.0f, 2.0f);
        beta[i] = uniform(-2.0f, 2.0f);
    }
    const int32_t n = between(1, 2), h = between(1, 3), w = between(1, 12),
                  c = draw() % 4 ? between(1, 100) : between(200, MOST);
    const sim_view x = new_view(n, h, w, c), y = new_view(n, h, w, c), z = twin(&y);
    const sim_layer_norm norm = {uniform(1e-6f, 0.1f), draw() % 2 ? gamma : NULL, draw() % 2 ? beta : NULL};
    fill(&x, uniform(0.1f, 40.0f), draw() % 3 == 0);
    for (size_t first = 0, all = (size_t)(n * h * w); first < all; first += SIM_NORM_PIXELS) {
        const size_t left = all - first;
        sim_layer_norm_run(k, &norm, &x, &y, first, left < SIM_NORM_PIXELS ? left : SIM_NORM_PIXELS);
    }
    define_layer_norm(&norm, &x, &z);
    equal("layer norm", k, &y, &z);
    free(x.data);
    free(y.data);
    free(z.data);
}

int main(int argc, char **argv)
{
    const long cases = argc > 1 ? atol(argv[1]) : 1000;
    state = argc > 2 ? (uint64_t)atoll(argv[2]) : 1;
    for (unsigned i = 0; sim_kernels_name(i); i++) {
        const sim_kernels *k = sim_kernels_select(sim_kernels_name(i));
        for (long c = 0; c < cases && failures < 20; c++) {
            test_matmul(k);
            test_layer_norm(k);
        }
        printf("%s: %ld cases\n", k->name, cases);
    }
    printf("%lu failures\n", failures);
    return failures ? 1 : 0;
}
