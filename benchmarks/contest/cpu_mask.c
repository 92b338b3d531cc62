/* Takes features of an x86-64 processor away from a program that asks for them with CPUID: loaded with LD_PRELOAD.
 *
 *     cc -O2 -shared -fPIC -o cpu_mask.so cpu_mask.c
 *     CPU_MASK=avx2 LD_PRELOAD=./cpu_mask.so program      (or avxvnni, avx512, avx512vnni)
 *
 * Linux lets a thread ask for a fault at each CPUID (arch_prctl(ARCH_CPUID_SET, 0), inherited by its threads), where the
 * processor or the virtual machine can do that (flag cpuid_fault). The handler executes the instruction and clears the
 * bits of what is to be unseen. So every library takes the code it has for such a processor, whatever it reads CPUID
 * with; AMX is asked of the kernel too, which refuses it then. A program that cannot be masked ends at once. */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

enum { CPUID_SET = 0x1012 };

/* What leaf 7 may still show: subleaf 0 in EBX, ECX, EDX; subleaf 1 in EAX. */
typedef struct mask {
    const char *name;
    unsigned ebx, ecx, edx, eax1;
} mask;

enum {
    B_AVX512 = (int)(1u << 16 | 1u << 17 | 1u << 21 | 1u << 26 | 1u << 27 | 1u << 28 | 1u << 30 | 1u << 31),
    C_VNNI = 1 << 11,
    C_AVX512 = 1 << 1 | 1 << 6 | 1 << 12 | 1 << 14,
    D_AVX512 = 1 << 2 | 1 << 3 | 1 << 8 | 1 << 23,
    D_AMX = 1 << 22 | 1 << 24 | 1 << 25,
    A_VNNI = 1 << 4,
    A_AVX512 = 1 << 5,
    A_AMX = 1 << 21
};

static const mask MASKS[] = {
    {"avx512vnni", ~0u, ~0u, ~(unsigned)D_AMX, ~(unsigned)A_AMX},
    {"avx512", ~0u, ~(unsigned)C_VNNI, ~(unsigned)(D_AMX | 1 << 23), ~(unsigned)(A_AMX | A_VNNI | A_AVX512)},
    {"avxvnni", ~(unsigned)B_AVX512, ~(unsigned)(C_VNNI | C_AVX512), ~(unsigned)(D_AMX | D_AVX512),
     ~(unsigned)(A_AMX | A_AVX512)},
    {"avx2", ~(unsigned)B_AVX512, ~(unsigned)(C_VNNI | C_AVX512), ~(unsigned)(D_AMX | D_AVX512),
     ~(unsigned)(A_AMX | A_AVX512 | A_VNNI)},
};

static const mask *chosen;

static void answer(greg_t *registers)
{
    const unsigned leaf = (unsigned)registers[REG_RAX], subleaf = (unsigned)registers[REG_RCX];
    unsigned a, b, c, d;
    syscall(SYS_arch_prctl, CPUID_SET, 1UL);
    __cpuid_count(leaf, subleaf, a, b, c, d);
    syscall(SYS_arch_prctl, CPUID_SET, 0UL);
    if (leaf == 7 && subleaf == 0) {
        b &= chosen->ebx;
        c &= chosen->ecx;
        d &= chosen->edx;
    } else if (leaf == 7 && subleaf == 1) {
        a &= chosen->eax1;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    const unsigned char *at = (const unsigned char *)registers[REG_RIP];
    if (at[0] == 0x0f && at[1] == 0xa2) {
        const int kept = errno;
        answer(registers);
        errno = kept;
        return;
    }
    signal(number, SIG_DFL); /* a fault of the program's own: it ends by it when it is repeated */
}


__attribute__((constructor)) static void start(void)
{
    const char *name = getenv("CPU_MASK");
    for (size_t i = 0; name && i < sizeof MASKS / sizeof *MASKS; i++) {
        if (strcmp(name, MASKS[i].name) == 0) {
            chosen = &MASKS[i];
        }
    }
    struct sigaction action = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_NODEFER};
    if (!chosen || sigaction(SIGSEGV, &action, NULL) != 0 || syscall(SYS_arch_prctl, CPUID_SET, 0UL) != 0) {
        fprintf(stderr, "cpu_mask: CPU_MASK=%s cannot be kept here\n", name ? name : "(unset)");
        _exit(3);
    }
}
