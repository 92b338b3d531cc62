"""``mlu-export verify``: proves that a model file computes what its checkpoint (or its weights and recipe) says.

First what the file holds: the network is made again from the weights and compared, operator by operator, by value.
Then what it computes: on pictures, or on random inputs, every layer's quantized input, integer sums and output in the
simulator against the exact torch network, bit for bit; and the outputs of the very file.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_agent.config.toml import parse_toml
from mlu_agent.engine import Engine
from mlu_agent.errors import DataError, UserError
from mlu_agent.model.bundle import load_bundle
from mlu_agent.model.output_spec import DETECTION_OUTPUT
from mlu_agent.preprocess import preprocess

from ...formats.container_reader import load_network
from ...formats.pictures import list_pictures, read_picture
from ...importers.darknet.archs import OPEN, find_arch
from ...lowering.detection_output import DTYPES
from ...runners.simulator import Runner, simulator
from ...support.files import read_bounded
from ...support.torch_needed import import_torch
from ...values import network as net
from ...values.heads import HeadRequest, request_of
from ...values.pixels import CHANNEL_SOURCES, INPUT_DTYPES
from ..build import lowered, prepare
from ..compile import checkpoint_recipe
from ..read import read_network
from ..request import Files, Form, Pixels, Quantization, Suppression, Wanted
from .probes import is_quantized, parts
from .stored import stored_differences

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from ...values.network import Array, Network, Operator

MAX_MANIFEST_BYTES = 1 << 20
SCHEMA = 1


@dataclass(frozen=True)
class VerifyRequest:
    """What the command line asked for; None where it said nothing."""

    model: Path
    files: Files = field(default_factory=Files)
    recipe: Path | None = None
    images: Path | None = None
    count: int = 2
    seed: int = 0


@dataclass
class Layer:
    """One operator: how many output values were compared, and whether what it holds and computes is equal.

    ``codes`` (the quantized input) and ``sums`` are None for layers without integers. ``difference`` is empty, or says
    what differs first.
    """

    name: str
    operator: str
    elements: int = 0
    stored: bool = True
    codes: bool | None = None
    sums: bool | None = None
    output: bool | None = None
    difference: str = ""


@dataclass(frozen=True)
class Verification:
    """The layers in execution order, and what differs beyond them (the file's own outputs, its ends)."""

    model: str
    inputs: str
    layers: tuple[Layer, ...]
    other: str

    @property
    def difference(self) -> str:
        """The first thing that differs, empty if nothing does."""
        told = [f"layer {layer.name}: {layer.difference}" for layer in self.layers if layer.difference]
        return next(iter([*told, *filter(None, [self.other])]), "")

    def json(self) -> str:
        layers = [asdict(layer) for layer in self.layers]
        found = {"equal": not self.difference, "difference": self.difference or None}
        return json.dumps({"schema": SCHEMA, "model": self.model, "inputs": self.inputs, **found, "layers": layers})

    def text(self) -> str:
        """A table of the layers."""
        width = max([5, *(len(layer.name) for layer in self.layers)])
        lines = [
            f"{'layer':{width}}  {'operator':16} {'stored':>7} {'codes':>7} {'sums':>7} {'output':>7} {'elements':>10}"
        ]
        for layer in self.layers:
            marks = (_mark(value) for value in (layer.stored, layer.codes, layer.sums, layer.output))
            cells = " ".join(f"{mark:>7}" for mark in marks)
            lines.append(f"{layer.name:{width}}  {layer.operator:16} {cells} {layer.elements:10}")
        if not self.difference:
            total = sum(layer.elements for layer in self.layers)
            lines.append(f"{self.model}: {len(self.layers)} layers and {total} values are equal, on {self.inputs}")
        return "\n".join(lines)


def verify(request: VerifyRequest) -> Verification:
    """Compares file and checkpoint. Raises UserError and DataError where they cannot be read or belong to others."""
    found = load_network(request.model)
    expected = expected_network(request, found)
    layers = [Layer(operator.name, net.OPCODES.get(operator.opcode, "?")) for operator in expected.operators]
    odd = stored_differences(expected, found)
    for layer in layers:
        if layer.name in odd:
            layer.stored, layer.difference = False, odd[layer.name]
    if odd:
        return Verification(
            request.model.name, "nothing: the file holds something else", tuple(layers), odd.get("", "")
        )
    inputs, described = _inputs(request, found)
    other = ""
    for arrays in inputs:
        other = other or _compute(request.model, expected, found, arrays, layers)
    return Verification(request.model.name, described, tuple(layers), other)


def expected_network(request: VerifyRequest, found: Network) -> Network:
    """The network that weights and recipe, or a checkpoint, give for an input like the file's. UserError, DataError."""
    beside = request.model.with_name(f"{request.model.stem}.recipe.toml")
    manifest = _manifest(request.model)
    asked = Wanted(request.files, _entry(found, manifest))
    if request.recipe is not None:
        prepared = prepare(asked, Quantization(request.recipe))
        return lowered(prepared.model, prepared.recipe)[0]
    asked = _as_described(asked, request.model, manifest)
    read = read_network(asked)
    if read.model.quantized is not None:
        asked = _with_operator(asked, found)
        model = read.model
        model = replace(model, labels=model.labels or tuple(str(number) for number in range(model.classes)))
        return lowered(model, checkpoint_recipe(asked, replace(read, model=model)))[0]
    if beside.is_file():
        prepared = prepare(asked, Quantization(beside), read=read)
        return lowered(prepared.model, prepared.recipe)[0]
    raise UserError(
        f"{read.source.name} has float weights: give --recipe with the recipe that the model was built from, "
        "or --weights with its quantized checkpoint"
    )


def _with_operator(asked: Wanted, found: Network) -> Wanted:
    """A checkpoint does not tell whether its model was to end in a detection output, nor with which thresholds."""
    last = found.operators[-1]
    if last.opcode != net.DETECTION_OUTPUT:
        return asked
    kind = next((name for name, dtype in DTYPES.items() if dtype == found.tensors[last.output].dtype), None)
    confidence, iou = (net.word_float(last.attributes[place]) for place in (5, 6))
    form = replace(asked.form, detection_output=kind, max_boxes=last.attributes[7])
    return replace(asked, form=form, suppression=Suppression(confidence, iou))


def _entry(found: Network, manifest: Mapping[str, Any]) -> Form:
    """Size, batch, type and channel order of the file's input; the order by the manifest where it says one."""
    tensor = found.tensors[found.inputs[0]]
    batch, height, width, channels = tensor.dims
    kind = next((name for name, dtype in INPUT_DTYPES.items() if dtype == tensor.dtype), None)
    told = _table(manifest, "input").get("channels")
    if kind is not None and told in CHANNEL_SOURCES and len(str(told)) == channels:
        return Form(size=(height, width), batch=batch, input=kind, channels=told)
    sources = found.operators[0].attributes if found.operators[0].opcode == net.NORMALIZE else (0, 1, 2)
    for name, order in CHANNEL_SOURCES.items():
        if len(name) == channels and order == sources and kind is not None:
            return Form(size=(height, width), batch=batch, input=kind, channels=name)
    raise DataError(
        "the file's input is not that of a network of mlu-export: verify compares what build and compile make"
    )


def _manifest(model: Path) -> dict[str, Any]:
    """The manifest beside the file, whose digest is not the question here; empty if there is none. Raises DataError."""
    path = model.with_suffix(".toml")
    return (
        parse_toml(read_bounded(path, MAX_MANIFEST_BYTES, "manifest"), path.name, DataError) if path.is_file() else {}
    )


def _table(manifest: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = manifest.get(key)
    return value if isinstance(value, dict) else {}


def _arch_of(model: Path, manifest: Mapping[str, Any]) -> str:
    """The network's name by the manifest beside the file. Raises UserError."""
    found = _table(manifest, "provenance").get("arch")
    if not isinstance(found, str):
        raise UserError(f"which network {model.name} is cannot be read from a manifest beside it: give --arch NAME")
    return found


def _as_described(asked: Wanted, model: Path, manifest: Mapping[str, Any]) -> Wanted:
    """With the network's name, and with what only the user could say of an ONNX file or a module when it was built: the
    bundle remembers it.
    """
    files = replace(asked.files, arch=asked.files.arch or _arch_of(model, manifest))
    if find_arch(files.arch or "").family not in OPEN:
        return replace(asked, files=files)
    spec = load_bundle(model)
    colours = _table(manifest, "provenance").get("colours", "rgb")
    pixels = Pixels(spec.input.resize, spec.input.mean, spec.input.std, colours)
    heads = HeadRequest() if spec.output.kind == DETECTION_OUTPUT else request_of(spec)
    return replace(asked, files=files, heads=heads, pixels=pixels)


def _inputs(request: VerifyRequest, found: Network) -> tuple[Iterator[list[Array]], str]:
    """Input arrays of whole batches, and what they are in words. Raises UserError, DataError."""
    tensor = found.tensors[found.inputs[0]]
    if request.images is not None:
        paths = list_pictures(request.images)[: request.count]
        return _pictures(request.model, paths, tensor), f"{len(paths)} pictures of {request.images.name}"
    return _random(request, tensor), f"{request.count} random inputs (seed {request.seed})"


def _pictures(model: Path, paths: list[Path], tensor: net.Tensor) -> Iterator[list[Array]]:
    spec = load_bundle(model).input
    for start in range(0, len(paths), tensor.dims[0]):
        array = np.zeros(tensor.dims, net.DTYPES[tensor.dtype])
        for place, path in enumerate(paths[start : start + tensor.dims[0]]):
            preprocess(read_picture(path), spec, array[place])
        yield [array]


def _random(request: VerifyRequest, tensor: net.Tensor) -> Iterator[list[Array]]:
    """Pixels of all values; of float inputs what pixels become."""
    rng = np.random.default_rng(request.seed)
    for _ in range(-(-request.count // tensor.dims[0])):
        pixels = rng.integers(0, 256, tensor.dims)
        yield [(pixels if tensor.dtype == net.UINT8 else pixels / 255).astype(net.DTYPES[tensor.dtype])]


def _compute(path: Path, expected: Network, found: Network, inputs: list[Array], layers: list[Layer]) -> str:
    """Enters into ``layers`` how each computes for one input; what the file itself gives otherwise is returned."""
    watcher = _Watcher(found, inputs, layers)
    import_torch("computing the layers again needs torch: pip install 'mlu-export[torch]'")
    from ...runners.exact.network import run_network  # noqa: PLC0415 - torch

    wanted = run_network(expected, inputs, watcher.see, "verifying")
    watcher.close()
    shipped = _Shipped(path)
    try:
        given = shipped.run(inputs)
    finally:
        shipped.close()
    for name, one, other in zip(found.output_names, wanted, given):
        odd = _first(one, other)
        if odd:
            return f"output {name} of the file differs, though the layers are equal one by one: {odd}"
    return ""


class _Watcher:
    """Compares each layer of the torch network, as it comes, with the simulator's part that shows it."""

    def __init__(self, network: Network, inputs: list[Array], layers: list[Layer]) -> None:
        self._network, self._inputs, self._layers = network, inputs, layers
        self._parts = parts(network)
        self._shown: dict[tuple[int, str], Array] = {}
        self._index = 0

    def see(self, operator: Operator, output: Any, codes: Any, sums: Any) -> None:
        """Called with every operator in order."""
        index, layer = self._index, self._layers[self._index]
        self._index += 1
        if (index, "output") not in self._shown:
            self._next_part()
        layer.elements += output.numel()
        ways = {"output": output}
        if is_quantized(self._network, operator):
            ways = {"codes": codes.float() + 0.0, "sums": sums.float(), "output": output}  # integers have one zero
        for what, values in ways.items():
            odd = _first(values.contiguous().numpy(), self._shown.pop((index, what)))
            setattr(layer, what, getattr(layer, what) is not False and not odd)
            if odd and not layer.difference:
                layer.difference = f"its {what} differ{'s' if what == 'output' else ''}: {odd}"

    def _next_part(self) -> None:
        part = next(self._parts)
        runner = Runner(part.network)
        try:
            self._shown = dict(zip(part.shown, runner.run(self._inputs)))
        finally:
            runner.close()

    def close(self) -> None:
        """Everything was seen."""
        assert self._index == len(self._layers)
        assert not self._shown


class _Shipped(Runner):
    """The very file, as it is."""

    def __init__(self, path: Path) -> None:
        self._engine = Engine(simulator(), path, slots=1)


def _first(torch_values: Array, simulated: Array) -> str:
    """How many values differ in a bit, and where the first one is; empty if none does."""
    kind = f"u{torch_values.itemsize}"
    places = np.argwhere(torch_values.view(kind) != simulated.reshape(torch_values.shape).view(kind))
    if not len(places):
        return ""
    where = tuple(int(place) for place in places[0])
    return (
        f"{len(places)} of {torch_values.size} values, the first at {list(where)}: torch {torch_values[where]!s}, "
        f"simulator {simulated.reshape(torch_values.shape)[where]!s}"
    )


def _mark(value: bool | None) -> str:
    return {None: "-", True: "equal", False: "DIFFERS"}[value]
