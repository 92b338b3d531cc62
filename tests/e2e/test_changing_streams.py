"""The daemon on cameras that change while they run."""

from __future__ import annotations

import pytest
from tests.faulty_cameras import RtspCamera, clip


def test_each_message_tells_the_geometry_of_its_own_frame(run_daemon, listen, endpoint: str):
    """A stream that goes from 320x240 to 640x200 and back: width, height and letterbox of each frame are its own, so
    that boxes are never laid over a picture of another shape."""
    with RtspCamera([clip(), clip(640, 200), clip()], each=20) as camera:
        listener = listen(endpoint)
        config = f'[[source]]\nid = "cam"\nurl = "{camera.url}"\n'
        daemon = run_daemon(config, "--wait-for-subscriber", "30")

        def sizes() -> list[tuple[int, int]]:
            return [(frame["width"], frame["height"]) for frame in listener.of_kind("frame", "cam")]

        listener.wait_for(lambda: (640, 200) in sizes() and sizes()[-1] == (320, 240), 60)
        frames = listener.of_kind("frame", "cam")
        assert daemon.stop() == 0
    assert set(sizes()) == {(320, 240), (640, 200)}
    for frame in frames:
        box = frame["letterbox"]
        network = [
            box[f"scale_{axis}"] * frame[side] + 2 * box[f"pad_{axis}"]
            for axis, side in (("x", "width"), ("y", "height"))
        ]
        assert network == pytest.approx([network[0]] * 2, abs=2)  # a square, filled by the picture and its two edges
        assert box["scale_x"] == pytest.approx(box["scale_y"], rel=0.03)
