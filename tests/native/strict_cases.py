"""CNRT_SIMULATOR_STRICT names each wrong program of strict_cases.c, which goes unnoticed without, and no right one.

strict_cases.py [--sanitized] PROGRAM RIGHT_PROGRAM SMALL_MODEL BATCH_MODEL OTHER_MODEL [FIXED_PROGRAM] [-- EMULATOR...]

--sanitized: a sanitizer looks too, so wrong programs may end by it, with or without strict mode.
FIXED_PROGRAM: the same as PROGRAM, linked for one address.
EMULATOR: what runs the programs of another processor.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

DEREFERENCE = (
    "device memory used by the host",
    r"used address 0x\w+, byte \d+ of buffer \d \(\d+ bytes, cnrtMalloc \(call",
)
LEAK = "leak"
NOT_SYNCHRONISED = "not synchronised"
REUSED = "host memory reused too early"
NEVER_WRITTEN = "memory never written"
HANDLE = "bad handle"

# Case -> what is told, in this order: the kind, and what else the line holds.
WRONG: dict[str, list[tuple[str, str]]] = {
    "host_reads": [
        (DEREFERENCE[0], r"byte 18 of buffer 2 \(9216 bytes, cnrtMalloc \(call 2, at strict_cases\+0x\w+\)\)\. The")
    ],
    "host_writes": [DEREFERENCE],
    "host_reads_freed": [(DEREFERENCE[0], r"freed by cnrtFreeArray \(call 1, at strict_cases\+0x")],
    "host_reads_with_a_handler": [DEREFERENCE],
    "host_reads_with_a_later_handler": [DEREFERENCE],
    "host_reads_after_recoveries": [DEREFERENCE],
    "host_reads_with_a_handler_before_the_earlier": [DEREFERENCE],
    "host_reads_with_a_handler_that_goes": [DEREFERENCE],
    "host_reads_with_a_handler_for_once": [DEREFERENCE],
    "output_never_written": [(NEVER_WRITTEN, r"cnrtMemcpy \(call 2, .*bytes 0 to 9215 of buffer 2 .* from byte 0 on")],
    "input_never_written": [
        (NEVER_WRITTEN, r'input 0 of model "small" \(4096 bytes\) .* nothing was ever written there')
    ],
    "input_with_three_channels": [(NEVER_WRITTEN, "from byte 3072 of it on, but the output is read. Copy all")],
    "output_read_too_long": [(NEVER_WRITTEN, "bytes 0 to 18431 of buffer 3 .* from byte 9216 on")],
    "copy_after_free": [("use after free", r"byte 0 of buffer 2 .*, freed by cnrtFreeArray \(call 1")],
    "invocation_after_free": [("use after free", r"cnrtInvokeRuntimeContext .* freed by cnrtFree \(call 1")],
    "freed_twice": [("double free", "free each buffer once")],
    "freed_from_the_middle": [("free of what is no buffer", "byte 64 of buffer 2")],
    "memory_leaks": [(LEAK, "3 buffers in device memory with 3000 bytes .* last cnrtDestroy .* Call cnrtFree")],
    "handles_leak": [
        (LEAK, "1 buffer in host memory with 512 bytes"),
        (LEAK, "1 model was not"),
        (LEAK, "1 function"),
        (LEAK, "1 runtime context"),
        (LEAK, "1 queue"),
        (LEAK, "1 notifier"),
    ],
    "nothing_is_given_back": [
        (LEAK, "2 buffers in device memory with 13312 bytes .* when the program ended"),
        (LEAK, "1 model"),
        (LEAK, "1 function"),
        (LEAK, "1 runtime context"),
        (LEAK, "1 queue"),
    ],
    "output_read_too_early": [
        (NOT_SYNCHRONISED, r"is read, but cnrtInvokeRuntimeContext \(call 1, .* which writes it")
    ],
    "input_overwritten": [(NOT_SYNCHRONISED, r"is written, but cnrtInvokeRuntimeContext \(call 1, .* which reads it")],
    "queues_in_no_order": [(NOT_SYNCHRONISED, "in another queue, which writes it, need not be over then")],
    "array_reused": [(REUSED, r"The array of buffers of the invocation \(16 bytes")],
    "source_changed": [(REUSED, r"The host memory that the copy reads \(4096 bytes at 0x\w+\) was changed or freed")],
    "destination_freed": [(REUSED, "The host memory that the copy writes .* was freed")],
    "destination_copied_on": [(REUSED, "The host memory that the copy writes .* was read before")],
    "memory_freed_too_early": [(NOT_SYNCHRONISED, "was freed, but cnrtInvokeRuntimeContext")],
    "queue_destroyed_too_early": [(NOT_SYNCHRONISED, r"The queue was destroyed while its work since .* \(1 in all\)")],
    "program_ends_too_early": [
        (NOT_SYNCHRONISED, "or the program ended, while a queue's work since"),
        *[(LEAK, "when the program ended")] * 5,
    ],
    "copy_too_long": [("wrong size", "5184 bytes were copied to it, more than it takes")],
    "output_too_small": [
        ("wrong size", r"output 0 has 4608 bytes left, the network needs 9216\. .* byte 0 of buffer 3")
    ],
    "host_memory_too_small": [("wrong size", "9216 bytes are copied from byte 0 on of buffer 3 .* past its end")],
    "wrong_direction": [("wrong direction", "The direction makes the destination .* but it is device memory")],
    "direction_turned": [("wrong direction", "The direction makes the destination .* only the other side is")],
    "copy_past_the_end": [
        ("wrong size", r"passes the end of the destination's .* 4032 bytes from .* byte 64 of buffer 1 \(4096 bytes"),
        ("wrong size", r"9217 elements .* byte 0 of buffer 2 \(9216 bytes"),
    ],
    "host_memory_as_input": [("no device memory", "The buffer of input 0 .* allocate it with cnrtMalloc")],
    "input_of_another_model": [("buffer of another model", '4096 bytes were copied to it, as model "small" needs')],
    "output_of_another_model": [("buffer of another model", r"with 27648 bytes lies there, which nobody has read")],
    "input_and_output_swapped": [("buffers swapped", "Pass the inputs first, then the outputs")],
    "context_not_initialised": [("not initialised", "The runtime context is not initialised")],
    "context_used_after_destroy": [(HANDLE, "is the handle of a runtime context that was destroyed")],
    "handle_of_another_kind": [(HANDLE, "is the handle of a queue, where that of a notifier is needed")],
    "duration_without_placing": [("notifier not placed", "The start notifier was not placed")],
    "wait_without_placing": [("notifier not placed", "this waits for nothing")],
    "no_init": [("not initialised", r"call cnrtInit\(0\) first")],
    "destroyed_twice": [("not initialised", "cnrtDestroy was called more often than cnrtInit")],
    "parameter_leaks_after_others": [
        (LEAK, r"cnrtCreateQuantizedParam \(call 1, at strict_cases.* 1 quantization param")
    ],
    "parameter_destroyed_twice": [(HANDLE, r"cnrtDestroyQuantizedParam \(call 2, at strict_cases\+0x")],
    "later_version_with_a_dead_context": [(HANDLE, r"cnrtInvokeRuntimeContext_V3 \(call 1, at strict_cases\+0x")],
}
# Kind -> what is to be done about it, in the words of every line of the kind; a case of its own where it differs.
REMEDIES = {
    DEREFERENCE[0]: r"The host cannot use device memory: copy it with cnrtMemcpy\.$",
    "host_reads_freed": r"Free it after its last use\.$",
    NEVER_WRITTEN: "Copy the input to it before; the buffer|Copy all of it before: |Write it before, or copy less",
    "use after free": r"Free it after its last use\.$",
    "double free": r"free each buffer once\.$",
    "free of what is no buffer": r"free what the allocation gave\.$",
    LEAK: r"Call cnrt(Free|Unload|Destroy)\w*\.$",
    NOT_SYNCHRONISED: r"Call cnrtSyncQueue before\.$|Let this queue wait for a notifier .*, or synchronise\.$",
    REUSED: r"Leave it alone until cnrtSyncQueue\.$",
    "output_too_small": r"Allocate what cnrtGetInputDataSize and cnrtGetOutputDataSize tell\.$",
    "host_memory_too_small": r"Allocate more with cnrtMallocHost, or copy less\.$",
    "copy_past_the_end": r"(Copy|Set) less, or allocate more\.$",
    "copy_too_long": "Copy what cnrtGetInputDataSize tells; the copy is cnrtMemcpy",
    "wrong_direction": r"pass CNRT_MEM_TRANS_DIR_HOST2DEV\.$",
    "direction_turned": r"pass CNRT_MEM_TRANS_DIR_DEV2HOST\.$",
    "no device memory": r"allocate it with cnrtMalloc\.$",
    "buffer of another model": "Give each model buffers of its own; ",
    "buffers swapped": "Pass the inputs first, then the outputs, each in the model's order",
    HANDLE: r"Destroy it after its last use, and once\.$|Pass that one: compare the order of the arguments",
    "notifier not placed": r"synchronise the queue first\.$|Call cnrtPlaceNotifier before\.$",
    "no_init": r"call cnrtInit\(0\) first\.$",
    "context_not_initialised": r"call cnrtInitRuntimeContext first\.$",
    "destroyed_twice": r"call it once for each cnrtInit\.$",
}
KINDS = {kind for expected in WRONG.values() for kind, _ in expected}
PLACE = r": (the code at \S+\+0x\w+|cnrt\w+ \(call \d+, at strict_\w+\+0x\w+\))"
RIGHT = (
    "right_once",
    "right_parts",
    "right_queues",
    "right_threads",
    "right_pool",
    "right_frees",
    "right_recoveries",
    "right_signal_ignored",
    "right_queues_that_end",
    "right_copies_in_order",
    "right_many_copies",
    "right_at_the_end",
)
ENDS = {
    "host_reads_with_a_handler": 7,
    "host_reads_with_a_later_handler": 7,
    "host_reads_after_recoveries": 7,
    "host_reads_with_a_handler_before_the_earlier": -signal.SIGSEGV,
    "host_reads_with_a_handler_that_goes": -signal.SIGSEGV,
    "host_reads_with_a_handler_for_once": -signal.SIGSEGV,
}  # what the program's own handler makes of it


def run(command: list[str], strict: bool) -> tuple[int, list[str]]:
    """The exit status and what was told."""
    environment = {**os.environ, "CNRT_SIMULATOR_STRICT": "1" if strict else "0"}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    return result.returncode, re.findall(r"^cnrt strict: (.*)$", result.stderr, re.MULTILINE)


def differences(name: str, told: list[str], expected: list[tuple[str, str]]) -> list[str]:
    """What is told and not expected, or the other way round."""
    problems = [f"{name}: {len(expected)} lines are expected, told was: {told}"] if len(told) != len(expected) else []
    for line, (kind, words) in zip(told, expected):
        if not line.startswith(kind) or not re.search(words, line):
            problems.append(f'{name}: "{kind}: {words}" is not in "{line}"')
        if kind in KINDS and not re.match(kind + PLACE, line):
            problems.append(f'{name}: where it is, is not in "{line}"')
        if kind in KINDS and not re.search(REMEDIES.get(name) or REMEDIES[kind], line):
            problems.append(f'{name}: what to do is not in "{line}"')
    return problems


def summary(number: int) -> tuple[str, str]:
    """The last line, of so many findings."""
    plural = "s" * (number != 1)
    return (f"{number} finding{plural} at {number} place{plural}" if number else "nothing found", "$")


def problems_of(name: str, command: list[str], sanitized: bool) -> list[str]:
    """Why a case is not as it should be."""
    expected = WRONG.get(name, [])
    problems = []
    code, told = run(command, strict=False)
    if (code != 0 or told) and not (sanitized and expected):
        problems.append(f"{name}: does not go unnoticed without: ends with {code}, {told}")
    code, told = run(command, strict=True)
    if sanitized and expected:
        return problems + differences(name, told[: len(expected)], expected)
    dereferences = any(line.startswith(DEREFERENCE[0]) for line in told)
    if dereferences != (code != 0) or (name in ENDS and code != ENDS[name]):
        problems.append(f"{name}: ends with {code}, {told}")
    return problems + differences(name, told, expected if dereferences else [*expected, summary(len(expected))])


def problems_of_fixed(command: list[str]) -> list[str]:
    """Why the places of a program that is linked for one address are not the addresses of its file."""
    _, told = run(command, strict=True)
    place = r"cnrtMalloc \(call 2, at strict_fixed\+0x[4-9a-f]\w{5}\)"  # the first 4 MiB hold nothing
    return [] if told and re.search(place, told[0]) else [f"{command[0]}: told was {told}"]


def arguments_and_emulator() -> tuple[list[str], list[str]]:
    """What stands before and behind ``--``."""
    end = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
    return sys.argv[1:end], sys.argv[end + 1 :]


def main() -> int:
    """1 when some case is not as it should be."""
    arguments, emulator = arguments_and_emulator()
    sanitized = "--sanitized" in arguments
    program, right_program, *rest = (argument for argument in arguments if argument != "--sanitized")
    models, fixed_program = rest[:3], rest[3:]
    # emulated, and slow: what depends on the processor, and nothing that looks at host memory, which qemu cannot
    wrong = [name for name, told in WRONG.items() if not emulator or told[0][0] == DEREFERENCE[0]]
    commands = {name: [*emulator, program, name, *models] for name in (*wrong, *RIGHT)}
    commands["the sequence of calls"] = [*emulator, right_program, models[0]]
    with ThreadPoolExecutor(4) as pool:
        problems = [
            line
            for lines in pool.map(lambda name: problems_of(name, commands[name], sanitized), commands)
            for line in lines
        ]
    if fixed_program:
        problems += problems_of_fixed([*emulator, *fixed_program, "host_reads", *models])
    print(
        "\n".join(problems)
        or f"{len(wrong)} wrong programs named, nothing said of {len(commands) - len(wrong)} right ones"
    )
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
