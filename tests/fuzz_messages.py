"""Messages of any bytes, for a while: nothing but a sentence may come out.

    python tests/fuzz_messages.py SECONDS [SEED]

Golden messages with bytes replaced, taken away, doubled and exchanged, from the wire to the line of ``subscribe`` and
to arrays. Prints how many there were; the first that raises anything else ends it with its bytes and a traceback.
"""

from __future__ import annotations

import contextlib
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.client.goldens import ALL, golden

from mlu_agent.commands.subscribe import line
from mlu_client import codec, convert
from mlu_client.errors import DataError
from mlu_client.reading import read_message
from mlu_client.text import printable_json
from mlu_client.values import Frame, Tensors

TELLING = [0x80, 0x90, 0xA0, 0xC0, 0xC1, 0xC4, 0xC7, 0xCB, 0xCF, 0xD3, 0xD6, 0xDC, 0xDD, 0xDE, 0xDF, 0xFF]


def changed(made: random.Random, data: bytes, others: list[bytes]) -> bytes:
    """One to six changes."""
    new = bytearray(data)
    for _ in range(made.randint(1, 6)):
        place, size = made.randrange(len(new) + 1), made.randint(0, 9)
        action = made.randrange(5)
        if action == 0:
            new[place : place + 1] = made.randbytes(1)
        elif action == 1:
            new[place : place + 1] = bytes([made.choice(TELLING)])
        elif action == 2:
            del new[place : place + size]
        elif action == 3:
            new[place:place] = new[place : place + size] * made.choice([1, 1, 1, 300])
        else:
            other = made.choice(others)
            begin = made.randrange(len(other))
            new[place : place + size] = other[begin : begin + size]
    return bytes(new)


def message(raw: bytes) -> None:
    """From the wire to a terminal, and to arrays."""
    decoded = codec.decode(raw)[1]
    printable_json(decoded)
    value = read_message(decoded)
    assert line(value).isprintable()
    if isinstance(value, Frame):
        convert.to_arrays(value)
    if isinstance(value, Tensors):
        for one in value.tensors:
            convert.to_array(one)


def main() -> None:
    """By the command line."""
    seconds, seed = float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else time.time_ns()
    made, end, count, read = random.Random(seed), time.monotonic() + seconds, 0, 0
    messages = [golden(kind, version) for version, kind in ALL]
    while time.monotonic() < end:
        for base in messages:
            raw = changed(made, base, messages)
            count += 1
            try:
                with contextlib.suppress(DataError):
                    message(raw)
                    read += 1
            except Exception:
                print(f"seed {seed}, message {raw.hex()}", flush=True)
                raise
    print(f"{count} messages, {read} of them read; seed {seed}; no report")


if __name__ == "__main__":
    main()
