"""Video through FFmpeg, by PyAV: files, RTSP and HTTP streams, cameras."""

from .camera import CameraCapture
from .file import FileCapture
from .stream import STREAM_SCHEMES, StreamCapture, is_stream

__all__ = ["STREAM_SCHEMES", "CameraCapture", "FileCapture", "StreamCapture", "is_stream"]
