"""What others wrote for this machine: the daemon's configuration.

The readers of files and TOML under it are those of manifests and recipes too.
"""

from .addresses import scrub, shown
from .control import check_group
from .endpoints import endpoint_problem, is_local_endpoint
from .exposure import remarks
from .read import load_config, load_control, parse_config
from .sources import parse_synthetic
from .values import (
    Config,
    ControlConfig,
    LogConfig,
    MetricsConfig,
    ModelConfig,
    PublishConfig,
    ServiceConfig,
    SimulatorConfig,
    SourceConfig,
    WatchConfig,
)

__all__ = [
    "Config",
    "ControlConfig",
    "LogConfig",
    "MetricsConfig",
    "ModelConfig",
    "PublishConfig",
    "ServiceConfig",
    "SimulatorConfig",
    "SourceConfig",
    "WatchConfig",
    "check_group",
    "endpoint_problem",
    "is_local_endpoint",
    "load_config",
    "load_control",
    "parse_config",
    "parse_synthetic",
    "remarks",
    "scrub",
    "shown",
]
