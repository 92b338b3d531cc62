"""The daemon's configuration as values; ``systemd/mlu-agent.toml`` has every option with its default and its reason."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class ModelConfig:
    """Which model runs, and where. A threshold of None is the manifest's; ``cores`` None takes all.
    ``batch_wait_ms``: how long the first frame of a batch waits for others.

    ``name``: what sources, commands and status call it; of several models each has its own. ``trust``: where the public
    keys are of which one must have signed the model's bundle (``require_signature`` False: may have); None: nowhere.
    """

    path: Path = Path()
    confidence: float | None = None
    iou: float | None = None
    max_detections: int | None = None
    runtime: str = "auto"
    cores: int | None = None
    name: str = "main"
    trust: Path | None = None
    require_signature: bool = True
    batch_wait_ms: float = 0.0


@dataclass(frozen=True)
class WatchConfig:
    """When a camera's picture counts as frozen, black, covered or moved (``sources/watch.py``); 0 switches one off."""

    enabled: bool = True
    frozen_s: float = 10.0
    frozen_noise: float = 0.05
    black_level: float = 24.0
    covered_detail: float = 0.02
    moved_share: float = 0.6
    hold_s: float = 5.0


@dataclass(frozen=True)
class SourceConfig:
    """One source.

    ``kind``      "url", "snapshot", "path", "camera" or "synthetic": which of the five the file says.
    ``location``  the URL with user and password in it (show it with ``shown``), the path, the camera's index or device
                  path, or "WIDTHxHEIGHT@FPS".
    ``transport`` how RTSP carries its packets: "tcp" or "udp".
    ``model``     the name of the model that looks at its frames; "" is the first.
    ``max_fps``   frames per second taken at most; 0 takes all.
    ``min_fps``   frames per second that the model looks at whatever other sources want; 0 promises none.
    ``priority``  1 to 9: who is looked at first when more frames wait than the device can do; 1 is the most important.
    ``classes``   the labels that are wanted, each with the confidence that it needs, or 0; empty: all.
    ``confidence``  what the others need, and all if there are no others; 0: as of the model.
    ``roi``       the part of the frame that the model sees: left, top, right, bottom in 0..1.
    ``password_file``  where the password was read from; None if it stands in the configuration.
    """

    id: str
    kind: str
    location: str = field(repr=False)
    loop: bool = False
    realtime: bool = False
    max_fps: float = 0.0
    min_fps: float = 0.0
    priority: int = 5
    classes: tuple[tuple[str, float], ...] = ()
    confidence: float = 0.0
    roi: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)
    stall_timeout_s: float = 2.0
    open_timeout_s: float = 3.0
    transport: str = "tcp"
    reconnect_min_s: float = 0.5
    reconnect_max_s: float = 3.0
    password_file: Path | None = None
    watch: WatchConfig = field(default_factory=WatchConfig)
    model: str = ""

    @property
    def live(self) -> bool:
        """Whether frames go by whether or not they are taken: then the newest one counts, else none is dropped."""
        return self.kind in ("url", "snapshot", "camera") or self.realtime


@dataclass(frozen=True)
class PublishConfig:
    """The ZeroMQ socket. ``high_water_mark`` is in messages per subscriber."""

    endpoint: str = "ipc:///run/mlu-agent/detections.sock"
    insecure: bool = False
    high_water_mark: int = 100
    heartbeat_s: float = 1.0
    empty_frames: bool = True
    linger_ms: int = 500


@dataclass(frozen=True)
class LogConfig:
    """``level``: debug, info, warning, error. ``format``: json or text. ``summary_s``: between summaries, 0: none."""

    level: str = "info"
    format: str = "json"
    summary_s: float = 60.0


@dataclass(frozen=True)
class ServiceConfig:
    """``watchdog``: feed systemd's, if it asks. ``stop_timeout_s``: after that the process ends, whatever hangs.

    ``device_timeout_s``, ``device_start_timeout_s``: a call of the device that takes longer hangs, when it runs and
    when it is opened and loaded. ``golden_interval_s``: between two runs of the golden frame; 0: it is never run.
    """

    watchdog: bool = True
    device_timeout_s: float = 2.0
    device_start_timeout_s: float = 4.0
    golden_interval_s: float = 300.0
    stop_timeout_s: float = 5.0


@dataclass(frozen=True)
class ControlConfig:
    """The socket of ``mlu-agent ctl`` and ``mlu-agent status``. ``socket``: None for none. ``group``: whose members may
    use it; "": that of the process, or of the folder where that hands its own on."""

    socket: Path | None = Path("/run/mlu-agent/control.sock")
    group: str = ""


@dataclass(frozen=True)
class MetricsConfig:
    """Figures for Prometheus. ``listen``: "HOST:PORT" where they are given out, "" for nowhere."""

    listen: str = ""
    insecure: bool = False


@dataclass(frozen=True)
class SimulatorConfig:
    """What concerns the simulator alone, nobody where a device computes. ``standins``: the folder of the models that
    compute there for device files; None: the one that CNRT_SIMULATOR_STANDINS names, if it is set."""

    standins: Path | None = None


@dataclass(frozen=True)
class Config:
    """All of it. ``box`` is this machine's name in messages and topics. ``models``: at least one, the first is what
    sources have that name none, and what heartbeats tell of."""

    box: str
    models: tuple[ModelConfig, ...]
    sources: tuple[SourceConfig, ...]
    publish: PublishConfig = field(default_factory=PublishConfig)
    log: LogConfig = field(default_factory=LogConfig)
    service: ServiceConfig = field(default_factory=ServiceConfig)
    control: ControlConfig = field(default_factory=ControlConfig)
    metrics: MetricsConfig = field(default_factory=MetricsConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)

    def sources_of(self, model: ModelConfig) -> tuple[SourceConfig, ...]:
        """The sources that one of the models looks at."""
        return tuple(source for source in self.sources if (source.model or self.models[0].name) == model.name)
