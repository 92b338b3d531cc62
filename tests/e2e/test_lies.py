"""Outputs that are wrong once, in a frame of the daemon: named in the log and in the heartbeat, and made again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

FIRST_S, APART_S = 1.5, 0.3
SOURCE = '[[source]]\nid = "camera"\nsynthetic = "64x48@50"\nrealtime = true\n'
LIES = [
    ('function = "cnrtInvokeRuntimeContext"\noutput = "zero"', "zero"),
    ('function = "cnrtMemcpy"\ndirection = "out"\noutput = "zero"', "zero"),
    ('function = "cnrtInvokeRuntimeContext"\noutput = "stale"', "stale"),
    ('function = "cnrtInvokeRuntimeContext"\noutput = "skipped"', "stale"),
    ('function = "cnrtMemcpy"\ndirection = "out"\noutput = "skipped"', "stale"),
]


def test_each_of_a_list_of_lies_is_named_and_its_frame_made_again(run_daemon, listen, endpoint: str, tmp_path: Path):
    """Outputs that are zero, old or never written, once each: no frame is lost, the counters tell, the device is
    suspect from then on."""
    faults = tmp_path / "faults.toml"
    faults.write_text(
        "".join(
            f"[[fault]]\nafter_s = {FIRST_S + APART_S * number:.1f}\nnth = 1\n{fault}\n"
            for number, (fault, _) in enumerate(LIES)
        )
    )
    listener = listen(endpoint)
    daemon = run_daemon(SOURCE, environment={"CNRT_SIMULATOR_FAULTS": str(faults)})

    def counted() -> dict[str, int]:
        beats = listener.of_kind("heartbeat")
        return beats[-1]["counters"] if beats else {}

    listener.wait_for(lambda: counted().get("device_zero") == 2 and counted().get("device_stale") == 3, 60)
    lines = [line["fault"] for line in daemon.lines if line["event"].startswith("the outputs of a frame were wrong")]
    assert lines == [kind for _, kind in LIES]
    assert counted()["failed"] == 0
    states = [(beat["device"]["state"], beat["device"]["reason"]) for beat in listener.of_kind("heartbeat")]
    assert states[0] == ("ok", "")
    assert states[-1] == ("suspect", "the outputs of a frame were wrong (stale) and were made again")
    assert daemon.stop() == 0
