"""From the files that a user names to the float network: which importer reads what."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlu_agent.errors import DataError, UserError

from ..formats.labels import fitting_names
from ..formats.names_beside import choose_names, names_beside, names_of_recipe
from ..support.files import read_bounded, sha256_hex
from ..values.heads import AUTO, HeadRequest
from .darknet.cfg import CfgError, Section, parse_cfg
from .darknet.importer import import_darknet
from .module.file import load_module
from .module.importer import import_module
from .module.names import names_of_module
from .onnx.file import read_companions
from .onnx.graph import import_onnx
from .torchscript.file import is_torchscript
from .torchscript.importer import import_torchscript
from .yolov5.importer import import_yolov5

if TYPE_CHECKING:
    from collections.abc import Container, Mapping
    from pathlib import Path

    from ..values.graph import ImportedModel
    from ..values.quantizer_parameters import QuantParameters
    from .darknet.archs import Arch

MAX_WEIGHT_BYTES = (1 << 31) - 1
MAX_CFG_BYTES = 1 << 20
# Channels of the first layer in the published checkpoints.
YOLOV5_WIDTHS = {16: "yolov5n", 32: "yolov5s", 48: "yolov5m", 64: "yolov5l", 80: "yolov5x"}
DEFAULT_SIZE = 640


@dataclass(frozen=True)
class Source:
    """A weight file as read, with its digests; ``cfg`` holds the sections of a Darknet network, ``companions`` the
    files beside an ONNX file that hold its weights, ``module`` a torch module of the user, ``parameters`` the
    quantization of its layers where the weights are a quantized checkpoint, ``cfg_name`` the file of the sections,
    ``names`` what files beside it have as names of classes.
    """

    weights: bytes
    name: str
    sha256: str
    cfg: tuple[Section, ...] | None
    cfg_sha256: str
    companions: Mapping[str, bytes] = field(default_factory=dict)
    module: Any = None
    parameters: Mapping[str, QuantParameters] = field(default_factory=dict)
    cfg_name: str = ""
    names: Mapping[str, tuple[str, ...] | str] = field(default_factory=dict)


def read_source(arch: Arch, weights: Path | None, cfg: Path | None, module: str | None = None) -> Source:
    """Reads weights (and cfg) from disk; ``module`` is FILE.py:FUNCTION of ``--arch module``.

    Raises UserError if the arch needs what is missing or has no use for what is given; DataError.
    """
    if (module is not None) != (arch.family == "module"):
        raise UserError("--arch module and --module FILE.py:FUNCTION belong together: give both")
    if cfg is not None and arch.family != "darknet":
        raise UserError(f"--cfg belongs to Darknet networks; --arch {arch.name} takes none")
    if cfg is None and arch.needs_cfg:
        raise UserError("--arch darknet needs the network's description: give --cfg FILE")
    if module is not None:
        return _read_module(module, weights)
    if weights is None:
        raise UserError("give the network's weights: --weights FILE")
    if weights.is_dir():
        raise UserError(f"cannot read the weights {weights}: it is a folder, or an empty name; give the weights' file")
    data = read_bounded(weights, MAX_WEIGHT_BYTES, "weights")
    if (arch.family == "torchscript") != is_torchscript(data):
        raise DataError(
            f"{weights.name}: it is a TorchScript file (torch.jit.save): say --arch torchscript"
            if arch.family != "torchscript"
            else f"{weights.name}: it is no TorchScript file (torch.jit.save); other files have another --arch"
        )
    if arch.family == "onnx":
        try:
            companions = read_companions(data, weights)
        except DataError as error:
            raise DataError(f"{weights.name}: {error}") from error
        digest = sha256_hex(data + "".join(map(sha256_hex, companions.values())).encode())
        return Source(data, weights.name, digest, None, "", companions)
    if cfg is None:
        sections = arch.sections() if arch.sections else None
        names = names_of_recipe(weights) or (names_beside(weights, own_alone=True) if sections else {})
        return Source(data, weights.name, sha256_hex(data), sections, "", names=names)
    text = read_bounded(cfg, MAX_CFG_BYTES, "cfg")
    return Source(
        data, weights.name, sha256_hex(data), parse_cfg(text, cfg.name), sha256_hex(text), cfg_name=cfg.name,
        names=names_of_recipe(weights) or names_beside(cfg, own_alone=False),
    )  # fmt: skip


def _read_module(module: str, weights: Path | None) -> Source:
    state = None if weights is None else read_bounded(weights, MAX_WEIGHT_BYTES, "weights")
    loaded = load_module(module, state)
    name = loaded.file if weights is None else weights.name
    names = {} if weights is None else names_of_recipe(weights)
    return Source(
        state or b"", name, loaded.sha256, None, loaded.file_sha256, {}, loaded.module, loaded.parameters, names=names
    )


def import_model(
    arch: Arch, source: Source, size: tuple[int, int] | None, heads: HeadRequest | None = None
) -> ImportedModel:
    """The float network of a source for an input of ``size`` (height, width; None: its own). ``heads`` says of an ONNX
    file or a module what it does not say itself. Raises DataError, UserError.
    """
    try:
        if arch.family == "onnx":
            return import_onnx(source.weights, source.companions, size, heads)
        if arch.family == "torchscript":
            return import_torchscript(source.weights, _given(size), heads)
        if arch.family == "module":
            model = _with_parameters(import_module(source.module, _given(size), heads), source)
            labels, problem = fitting_names(*names_of_module(source.module, model.classes))
            return _with_names(replace(model, labels=labels, names_problem=problem), source)
        _check_own_network(arch, size, heads)
        if arch.family == "yolov5":
            model = import_yolov5(source.weights, size or (DEFAULT_SIZE, DEFAULT_SIZE), arch.activation)
            _check_width(arch.name.partition("@")[0], model)
            return _with_names(model, source)
        assert source.cfg is not None
        return _with_names(import_darknet(_resized(source.cfg, size), source.weights, source.sha256), source)
    except CfgError as error:
        raise DataError(f"{source.cfg_name or f'--arch {arch.name}'}: {error}") from error
    except DataError as error:
        raise DataError(f"{source.name}: {error}") from error


def _with_names(model: ImportedModel, source: Source) -> ImportedModel:
    """With the names of files beside the source, where it has none itself."""
    if model.labels is not None or model.names_problem or not model.classes:
        return model
    labels, problem, name = choose_names(source.names, model.classes)
    told = "" if name.endswith(".recipe.toml") else name  # that is of the network's own making
    return replace(model, labels=labels, names_problem=problem, names_of=told)


def _with_parameters(model: ImportedModel, source: Source) -> ImportedModel:
    """A module with the quantization of its layers; one that is used twice has the same both times."""
    known = {path for path, _ in source.module.named_modules()}
    keys = {name: _layer_of(place, known) for name, place in (model.keys or {}).items()}
    quantized = {name: source.parameters[key] for name, key in keys.items() if key in source.parameters}
    return replace(model, quantized=quantized or None, keys=keys)


def _layer_of(place: str, known: Container[str]) -> str:
    """The module that a convolution came from: a second use of it has another word behind its path."""
    return place if place in known else place.rpartition(".")[0]


def _given(size: tuple[int, int] | None) -> tuple[int, int]:
    if size is None:
        raise UserError("the network does not say how large its input is: give --size")
    return size


def _check_own_network(arch: Arch, size: tuple[int, int] | None, heads: HeadRequest | None) -> None:
    """Networks that are known know their own heads, and halve the picture five times."""
    if heads is not None and heads != HeadRequest(decode=AUTO) and heads.table():
        options = ", ".join(f"--{key}" for key in heads.table())
        raise UserError(
            f"--arch {arch.name} knows its own outputs: {options} are for --arch onnx, torchscript and module; leave "
            "them out"
        )
    if size is not None and any(side % 32 for side in size):
        raise UserError(f"--size {size[1]}x{size[0]}: --arch {arch.name} takes multiples of 32 up to 8192")


def _check_width(name: str, model: ImportedModel) -> None:
    """The published sizes of YOLOv5 differ in their first layer; a width that none of them has is left alone."""
    width = model.graph.convolutions()[0].weight.shape[0]
    found = YOLOV5_WIDTHS.get(width, name)
    if found != name:
        raise DataError(
            f"its first layer has {width} channels, which makes it {found}, not {name}: give --arch {found}"
        )


def _resized(sections: tuple[Section, ...], size: tuple[int, int] | None) -> tuple[Section, ...]:
    if size is None:
        return sections
    net = replace(sections[0], options={**sections[0].options, "height": str(size[0]), "width": str(size[1])})
    return (net, *sections[1:])
