/* Stand-ins: a device file that is computed by a model of its descriptors. The device file is the small model without its
 * network. Arguments: the three models, and "folder" or "unset": whether there is a folder of stand-ins, made in the working folder. */
#include <sys/stat.h>
#include <unistd.h>

#include "api_job.h"

enum {
    HEADER = 0x434,
    HDXF = 0x450,
    ARCHITECTURE = 0x470,
    NETWORK = 0x4b0,
    PAYLOAD_AT = 0x42c,
    RUNTIME_HASH_AT = 0x408,
    PATHS = 4200
};

static char device_path[PATHS], standin_path[PATHS];
static char *device_bytes;
static size_t device_size;

static void write_file(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "wb");
    CHECK(file != NULL && fwrite(bytes, 1, size, file) == size && fclose(file) == 0);
}

static void copy_file(const char *from, const char *to, size_t cut)
{
    size_t size;
    char *bytes = read_whole_file(from, &size);
    unlink(to);
    write_file(to, bytes, size - cut);
    free(bytes);
}

static void make_device_file(void)
{
    device_bytes = read_whole_file(small_path, &device_size);
    memcpy(device_bytes + NETWORK, "code", 4);
    memcpy(device_bytes + RUNTIME_HASH_AT, "dbf7bf5e\0\0\0", 12);
    write_file(device_path, device_bytes, device_size);
}

/* Where the library wants the stand-in of a device file, by what it says without one. */
static void ask_for_path(const char *path)
{
    job j;
    load(&j, path);
    CHECK(cnrtSimulatorStandin(j.model) == NULL);
    const char *begin = strstr(cnrtSimulatorLastMessage(), "stand-in here: ");
    CHECK(begin != NULL);
    begin += strlen("stand-in here: ");
    const char *end = strstr(begin, ".cambricon");
    CHECK(end != NULL && end - begin < PATHS - 16);
    snprintf(standin_path, sizeof standin_path, "%.*s.cambricon", (int)(end - begin), begin);
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

/* The device file answers, and is refused with these words when it is to compute. */
static void refused(const char *words)
{
    job j;
    int64_t *sizes;
    int count;
    load(&j, device_path);
    OK(cnrtGetOutputDataSize(&sizes, &count, j.function));
    CHECK(count == 1 && sizes[0] == OUT_BYTES);
    free(sizes);
    CHECK(cnrtSimulatorStandin(j.model) == NULL);
    OK(cnrtCreateRuntimeContext(&j.context, j.function, NULL));
    CHECK_FAILS(CNRT_RET_ERR_UNSUPPORTED, words, cnrtInitRuntimeContext(j.context, NULL));
    CHECK(strstr(cnrtSimulatorLastMessage(), "mlu-export standin") != NULL);
    OK(cnrtDestroyRuntimeContext(j.context));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
}

static void finish(job *j)
{
    OK(cnrtDestroyQueue(j->queue));
    OK(cnrtDestroyRuntimeContext(j->context));
    OK(cnrtDestroyFunction(j->function));
    OK(cnrtUnloadModel(j->model));
    release_buffers(j);
}

static void without_a_stand_in_the_refusal_names_it(void)
{
    ask_for_path(device_path);
    refused("cannot be opened: No such file or directory; mlu-export standin makes one.");
    CHECK(strstr(cnrtSimulatorLastMessage(), "CNRT_SIMULATOR_DEVICE") == NULL);
}

/* A file of another device needs two things here; the first refusal says both. */
static void a_file_of_another_device_is_told_both_remedies(void)
{
    device_bytes[ARCHITECTURE] = 6;
    write_file(device_path, device_bytes, device_size);
    refused("mlu-export standin");
    CHECK(strstr(cnrtSimulatorLastMessage(), "CNRT_SIMULATOR_DEVICE=MLU270") != NULL);
    device_bytes[ARCHITECTURE] = 8;
    write_file(device_path, device_bytes, device_size);
}

static void a_stand_in_computes_for_the_device_file(void)
{
    job j;
    int64_t used;
    copy_file(small_path, standin_path, 0);
    (void)cnrtGetLastErr();
    load(&j, device_path);
    CHECK(cnrtPeekLastErr() == CNRT_RET_SUCCESS);
    CHECK(strcmp(cnrtSimulatorStandin(j.model), standin_path) == 0);
    OK(cnrtGetModelMemUsed(j.model, &used));
    CHECK(used > 0 && used != (int64_t)device_size);
    prepare(&j);
    unlink(standin_path); /* it was read whole */
    run_and_compare(&j);
    cnrtRuntimeContext_t fork;
    OK(cnrtForkRuntimeContext(&fork, j.context, NULL));
    OK(cnrtDestroyRuntimeContext(fork));
    finish(&j);
}

static void it_does_for_a_model_in_memory(void)
{
    job j;
    copy_file(small_path, standin_path, 0);
    OK(cnrtLoadModelFromMem(&j.model, device_bytes));
    CHECK(strcmp(cnrtSimulatorStandin(j.model), standin_path) == 0);
    OK(cnrtCreateFunction(&j.function));
    OK(cnrtExtractFunction(&j.function, j.model, "subnet0"));
    prepare(&j);
    run_and_compare(&j);
    finish(&j);
}

static void a_model_of_ours_needs_none(void)
{
    job j;
    load(&j, small_path);
    CHECK(strcmp(cnrtSimulatorStandin(j.model), "") == 0);
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    CHECK(cnrtSimulatorStandin(NULL) == NULL);
    CHECK(strstr(cnrtSimulatorNotes(), "stand-ins compute for device files") != NULL);
}

static void what_differs_is_named(void)
{
    copy_file(cores_path, standin_path, 0);
    refused(".cambricon: it takes 4 cores, the device file 1; mlu-export");
    copy_file(batch_path, standin_path, 0);
    refused("its input 0 is 3x32x32x4 uint8, the device file's 1x32x32x4 uint8; ");
}

/* With `count` occurrences of a descriptor's part changed, the file is another one, with another stand-in. */
static void changed(const char *part, size_t size, const char *to, int count, const char *words)
{
    for (char *at = device_bytes; at + size <= device_bytes + device_size; at++) {
        if (memcmp(at, part, size) == 0) {
            memcpy(at, to, size);
            count--;
        }
    }
    CHECK(count == 0);
    write_file(device_path, device_bytes, device_size);
    ask_for_path(device_path);
    copy_file(small_path, standin_path, 0);
    refused(words);
    unlink(standin_path);
    free(device_bytes);
    make_device_file();
}

static void of_names_types_and_orders_too(void)
{
    /* a descriptor's dims, then its name (in one of its two places), its number, type and order */
    static const char NAMED[] = "\x04\0\0\0head", RENAMED[] = "\x04\0\0\0tail";
    static const char LAYOUT[] = "\x31\x02\0\0", OTHER[] = "\x23\x01\0\0";
    changed(NAMED, 8, RENAMED, 1, "its output 0 is called \"head\", the device file's \"tail\"");
    changed(LAYOUT, 4, OTHER, 4,
            "its input 0 is 1x32x32x4 uint8 in order 0x231, the device file's 1x32x32x4 uint8 in order 0x123");
}

static void a_stand_in_that_is_none_is_said(void)
{
    ask_for_path(device_path);
    copy_file(small_path, standin_path, 1);
    refused("its header claims");
    copy_file(device_path, standin_path, 0);
    refused("It is a device file itself");
    unlink(standin_path);
    CHECK(symlink(strrchr(standin_path, '/') + 1, standin_path) == 0);
    refused("cannot be opened: Too many levels of symbolic links");
    unlink(standin_path);
    CHECK(mkdir(standin_path, 0700) == 0);
    refused("is not a regular file");
    rmdir(standin_path);
    CHECK(mkfifo(standin_path, 0600) == 0);
    refused("is not a regular file");
    unlink(standin_path);
    write_file(standin_path, "", 0);
    refused("empty");
    copy_file(small_path, standin_path, 0); /* looked for with each load */
    it_does_for_a_model_in_memory();
}

/* "hdxf" right behind the header, and nothing behind "ZLYF". */
static void a_file_of_2019_is_described_by_its_stand_in(void)
{
    enum { CODE = 64, SECTION = 0x60 + CODE + 4, SIZE = HEADER + SECTION };
    static char old[SIZE];
    const uint64_t size = SECTION;
    job j;
    int *shape, rank;
    unlink(standin_path);
    memcpy(old, device_bytes, HEADER);
    memcpy(old + HEADER, device_bytes + HDXF, 0x60);
    memcpy(old + HEADER + 8, &size, sizeof size);
    memcpy(old + PAYLOAD_AT, &size, sizeof size);
    memcpy(old + SIZE - 4, "ZLYF", 4);
    write_file(device_path, old, SIZE);
    ask_for_path(device_path);
    load(&j, device_path);
    CHECK_FAILS(CNRT_RET_ERR_FUNC_CALL, "describes no inputs", cnrtGetOutputDataShape(&shape, &rank, 0, j.function));
    OK(cnrtDestroyFunction(j.function));
    OK(cnrtUnloadModel(j.model));
    copy_file(small_path, standin_path, 0);
    load(&j, device_path);
    OK(cnrtGetOutputDataShape(&shape, &rank, 0, j.function));
    CHECK(rank == 4 && shape[3] == 18);
    free(shape);
    prepare(&j);
    run_and_compare(&j);
    finish(&j);
}

static void without_the_variable_the_refusal_says_what_helps(void)
{
    refused("let CNRT_SIMULATOR_STANDINS name a folder with its stand-in, ");
    CHECK(strstr(cnrtSimulatorNotes(), "stand-ins") == NULL);
}

int main(int argc, char **argv)
{
    CHECK(argc == 5);
    char folder[] = "standins-XXXXXX";
    const bool wanted = strcmp(argv[4], "folder") == 0;
    if (wanted) {
        CHECK(mkdtemp(folder) != NULL && setenv("CNRT_SIMULATOR_STANDINS", folder, 1) == 0);
    }
    snprintf(device_path, sizeof device_path, "device-%ld.cambricon", (long)getpid());
    begin(4, argv);
    make_device_file();
    if (!wanted) {
        RUN(without_the_variable_the_refusal_says_what_helps);
    } else {
        RUN(without_a_stand_in_the_refusal_names_it);
        RUN(a_file_of_another_device_is_told_both_remedies);
        RUN(a_stand_in_computes_for_the_device_file);
        RUN(it_does_for_a_model_in_memory);
        RUN(a_model_of_ours_needs_none);
        RUN(what_differs_is_named);
        RUN(of_names_types_and_orders_too);
        RUN(a_stand_in_that_is_none_is_said);
        RUN(a_file_of_2019_is_described_by_its_stand_in);
        unlink(standin_path);
        rmdir(folder);
    }
    unlink(device_path);
    free(device_bytes);
    return 0;
}
