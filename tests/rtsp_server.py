#!/usr/bin/python3
"""A real RTSP server for tests: loops a clip as H.264 until it is told to stop.

    /usr/bin/python3 tests/rtsp_server.py --port 8554 --file CLIP --mount /clip [--lifetime S] [--until-eof]

Runs in the system's Python, whose gi bindings come with Debian's gir1.2-gst-rtsp-server-1.0; needs ffmpeg. Prints one
line, "ready rtsp://127.0.0.1:PORT/MOUNT", when it listens (with --port 0 the system chooses), and ends on SIGTERM,
SIGINT, after --lifetime seconds or, with --until-eof, when its standard input closes: a test that dies takes it along.

ffmpeg decodes and repeats the clip into a pipe, so any file it reads will do; GStreamer encodes with a key frame each
second, so a late client sees a picture soon. All clients
share one pipeline, paced by the clock; the first frame a client gets
may be any frame of the clip.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402 (the versions must be chosen before)

_ENCODERS = (
    ("x264enc", "x264enc tune=zerolatency speed-preset=ultrafast key-int-max={fps} bitrate=2000 threads=1"),
    ("openh264enc", "openh264enc gop-size={fps} bitrate=2000000"),
)


def _encoder(fps: int) -> str:
    for element, launch in _ENCODERS:
        if Gst.ElementFactory.find(element) is not None:
            return launch.format(fps=fps)
    sys.exit("rtsp_server: no H.264 encoder; install gstreamer1.0-plugins-ugly or gstreamer1.0-plugins-bad")


class LoopingFactory(GstRtspServer.RTSPMediaFactory):
    """Makes the pipeline when the first client comes, and ends its ffmpeg when the last one has gone."""

    def __init__(self, file: str, fps: int, size: str) -> None:
        super().__init__()
        self._file, self._fps, self._size = file, fps, size
        self._decoders: list[subprocess.Popen[bytes]] = []
        self.set_shared(True)
        self.connect("media-configure", self._on_media)

    def do_create_element(self, _url: object) -> Gst.Element:
        """Starts ffmpeg and returns the pipeline that reads its pictures."""
        command = ["ffmpeg", "-nostdin", "-loglevel", "error", "-threads", "1", "-stream_loop", "-1", "-i", self._file]
        command += [
            "-vf",
            f"fps={self._fps},scale={self._size.replace('x', ':')}",
            "-pix_fmt",
            "yuv420p",
            "-f",
            "rawvideo",
            "-",
        ]
        decoder = subprocess.Popen(command, stdout=subprocess.PIPE)
        self._decoders.append(decoder)
        assert decoder.stdout is not None
        width, height = self._size.split("x")
        parse = f"rawvideoparse format=i420 width={width} height={height} framerate={self._fps}/1"
        payload = (
            "video/x-h264,profile=constrained-baseline ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=-1"
        )
        source = f"fdsrc fd={decoder.stdout.fileno()} ! {parse}"
        return Gst.parse_launch(f"( {source} ! {_encoder(self._fps)} ! {payload} )")

    def _on_media(self, _factory: object, media: GstRtspServer.RTSPMedia) -> None:
        media.connect("unprepared", lambda _media: self.stop())

    def stop(self) -> None:
        """End every ffmpeg that is still running."""
        while self._decoders:
            decoder = self._decoders.pop()
            decoder.kill()
            decoder.wait()
            assert decoder.stdout is not None
            decoder.stdout.close()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="loop a clip over RTSP, for tests")
    parser.add_argument("--port", type=int, required=True, help="TCP port on 127.0.0.1; 0: any free one")
    parser.add_argument("--file", required=True, help="the clip")
    parser.add_argument("--mount", default="/clip", help="path in the URL")
    parser.add_argument("--lifetime", type=float, help="seconds until it ends by itself")
    parser.add_argument("--until-eof", action="store_true", help="end when standard input closes")
    parser.add_argument("--fps", type=int, default=25)
    parser.add_argument("--size", default="640x272", help="WIDTHxHEIGHT of the stream")
    return parser.parse_args()


def _quit_on(loop: GLib.MainLoop, arguments: argparse.Namespace) -> None:
    def quit_loop(*_: object) -> bool:
        loop.quit()
        return False

    for number in (signal.SIGTERM, signal.SIGINT):
        GLib.unix_signal_add(GLib.PRIORITY_HIGH, number, quit_loop)
    if arguments.lifetime is not None:
        GLib.timeout_add(int(arguments.lifetime * 1000), quit_loop)
    if arguments.until_eof:
        GLib.io_add_watch(
            sys.stdin.fileno(), GLib.PRIORITY_DEFAULT, GLib.IOCondition.HUP | GLib.IOCondition.IN, quit_loop
        )


def main() -> None:
    """Serve until told to stop."""
    arguments = _arguments()
    Gst.init(None)
    loop = GLib.MainLoop()
    _quit_on(loop, arguments)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(str(arguments.port))
    factory = LoopingFactory(arguments.file, arguments.fps, arguments.size)
    server.get_mount_points().add_factory(arguments.mount, factory)
    if server.attach(None) == 0:
        sys.exit(f"rtsp_server: cannot listen on 127.0.0.1:{arguments.port}")
    print(f"ready rtsp://127.0.0.1:{server.get_bound_port()}{arguments.mount}", flush=True)
    try:
        loop.run()
    finally:
        factory.stop()


if __name__ == "__main__":
    main()
