"""The manifest's table [output]: read, and checked against the container that it describes."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..config.fields import Fields, is_number, show
from .output_spec import (
    ACTIVATIONS,
    ANCHORED,
    CLASSES,
    COEFFICIENTS,
    DECODES,
    DISTANCES,
    FIELDS,
    KEYPOINTS,
    MAX_COEFFICIENTS,
    MAX_KEYPOINTS,
    MAX_PROTOTYPE_STRIDE,
    MAX_REG,
    POSES,
    PROTOTYPE_STRIDE,
    ROW_FIELDS,
    ROW_HEADER,
    SEGMENTS,
    TENSORS,
    HeadSpec,
    OutputSpec,
    PlainSpec,
    stored_shape,
)
from .prior_reader import read_priors
from .prior_spec import SSD_HEADS, lies_in_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from .offline_model import OfflineModel, TensorInfo

MAX_NAME = 1024  # bytes of an output's name
MAX_TOP = 1000
ACTIVATED = ("objectness", "classes", "angle")  # fields that may have gone through their function in the network


def read_output(table: Fields) -> OutputSpec:
    """The table ``[output]``; what is wrong is noted in it."""
    kind = table.text("kind", choices=("yolo_heads", SSD_HEADS, "detection_output", CLASSES, TENSORS))
    if kind == "detection_output":
        spec = OutputSpec(
            kind,
            coordinates=table.text("coordinates", choices=("normalized", "pixels")),
            max_boxes=table.integer("max_boxes", minimum=1, maximum=65536),
            background=table.boolean("background", False),
        )
    elif kind == TENSORS:
        spec = OutputSpec(kind, plain=_read_plain(table))
    elif kind == SSD_HEADS:
        spec = OutputSpec(kind, priors=read_priors(table, _read_anchors, _read_tensors))
    elif kind == CLASSES:
        spec = OutputSpec(
            kind,
            activation=table.text("activation", choices=ACTIVATIONS),
            top=table.integer("top", 5, minimum=1, maximum=MAX_TOP),
        )
    else:
        spec = _read_heads(table, kind)
    order = () if kind == TENSORS else _read_order(table)
    table.close()
    return replace(spec, order=order) if order else spec


def _read_order(table: Fields) -> tuple[int, ...]:
    remedy = "write each output's number once, counted from 0"
    order = table.array("order", [], longest=64, remedy=remedy)
    if not all(type(one) is int and 0 <= one < 64 for one in order) or len(set(order)) != len(order):
        table.problem("order", f"{show(order)} is not accepted; {remedy}")
        return ()
    return tuple(order)


def _read_plain(table: Fields) -> tuple[PlainSpec, ...]:
    names = table.array("names", longest=64, remedy="write the outputs' names in quotes")
    shapes = table.array("shapes", longest=64, remedy="write the outputs' shapes, as [[1, 1000]]")
    for index, name in enumerate(names):
        if not isinstance(name, str) or not name.isprintable() or not 1 <= len(name.encode()) <= MAX_NAME:
            table.problem(f"names[{index}]", f"{show(name)} is not accepted; write a name of 1 to {MAX_NAME} bytes")
    for index, shape in enumerate(shapes):
        sizes = shape if isinstance(shape, list) and len(shape) <= 8 else [0]
        if not all(type(size) is int and 1 <= size <= 1 << 24 for size in sizes):
            table.problem(f"shapes[{index}]", f"{show(shape)} is not accepted; write up to 8 sizes of 1 to {1 << 24}")
            return ()
    if len(names) != len(shapes):
        table.problem("shapes", f"{len(shapes)} shapes for {len(names)} names; write one of each per output")
    return tuple(PlainSpec(str(name), tuple(shape)) for name, shape in zip(names, shapes))


def _read_heads(table: Fields, kind: str) -> OutputSpec:
    decode = table.text("decode", choices=DECODES) or DECODES[0]
    heads = tuple(_read_head(head, decode) for head in table.tables("heads", longest=16))
    if not heads:
        table.problem("heads", "is missing; write one [[output.heads]] per level")
    if decode in ANCHORED:
        return OutputSpec(kind, decode, heads)
    fields = FIELDS[decode]
    scores = tuple(field for field in fields if field in ACTIVATED)
    spec = OutputSpec(
        kind,
        decode,
        heads,
        reg_max=table.integer("reg_max", 16, minimum=1, maximum=MAX_REG) if decode in DISTANCES else 1,
        tensors=_read_tensors(table, fields),
        activated=_read_activated(table, scores),
        joined=table.boolean("joined", False),
    )
    return _with_shapes(table, spec)


def _with_shapes(table: Fields, spec: OutputSpec) -> OutputSpec:
    """With what is to be known of masks and keypoints."""
    if spec.decode == SEGMENTS:
        most, steps = MAX_COEFFICIENTS, MAX_PROTOTYPE_STRIDE
        count = table.integer("coefficients", COEFFICIENTS, minimum=1, maximum=most)
        stride = table.integer("prototype_stride", PROTOTYPE_STRIDE, minimum=1, maximum=steps)
        return replace(spec, coefficients=count, prototype_stride=stride)
    return replace(spec, keypoints=_read_keypoints(table)) if spec.decode == POSES else spec


def _read_keypoints(table: Fields) -> tuple[int, int]:
    remedy = f"write how many there are, 1 to {MAX_KEYPOINTS}, and 2 (x, y) or 3 (with visibility), as [17, 3]"
    pair = table.array("keypoints", list(KEYPOINTS), longest=2, remedy=remedy)
    right = len(pair) == 2 and all(type(one) is int for one in pair)
    if not right or not 1 <= pair[0] <= MAX_KEYPOINTS or pair[1] not in (2, 3):
        table.problem("keypoints", f"{show(pair)} is not accepted; {remedy}")
        return KEYPOINTS
    return pair[0], pair[1]


def _read_tensors(table: Fields, fields: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
    remedy = f"write the fields of each tensor, as [{_quoted(fields)}], so that each of them is in one tensor"
    tensors = table.array("tensors", [list(fields)], longest=len(fields), remedy=remedy)
    flat = [field for tensor in tensors if isinstance(tensor, list) for field in tensor]
    right = all(isinstance(tensor, list) and tensor for tensor in tensors)
    if not right or len(flat) != len(fields) or any(field not in flat for field in fields):
        table.problem("tensors", f"{show(tensors)} is not accepted; {remedy}")
        return (fields,)
    return tuple(tuple(tensor) for tensor in tensors)


def _read_activated(table: Fields, scores: tuple[str, ...]) -> tuple[str, ...]:
    """The fields that are probabilities already: of scores alone, boxes never are."""
    remedy = f"write those of {_quoted(scores)} that went through a sigmoid in the network"
    values = table.array("activated", [], longest=len(scores), remedy=remedy)
    if any(value not in scores for value in values):
        table.problem("activated", f"{show(values)} is not accepted; {remedy}")
        return ()
    return tuple(values)


def _quoted(names: tuple[str, ...]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"


def _read_head(table: Fields, decode: str) -> HeadSpec:
    anchors = _read_anchors(table) if decode in ANCHORED else np.empty((0, 2), np.float32)
    scale = table.number("scale_x_y", 1.0, minimum=1.0, maximum=4.0)
    if decode != "yolov3" and scale != 1.0:
        table.problem("scale_x_y", f'{scale} is not accepted; it belongs to decode = "yolov3" only: remove it')
    stride = table.integer("stride", minimum=1, maximum=1024)
    table.close()
    return HeadSpec(stride, anchors, scale)


def _read_anchors(table: Fields) -> NDArray[np.float32]:
    remedy = "write 1 to 16 pairs [width, height] above 0"
    pairs = table.array("anchors", longest=16, remedy=remedy)
    right = all(
        isinstance(pair, list) and len(pair) == 2 and all(is_number(side) and 0 < side <= 1e5 for side in pair)
        for pair in pairs
    )
    if not pairs or not right:
        table.problem("anchors", f"{show(pairs)} is not accepted; {remedy}")
        pairs = [[1, 1]]
    return np.array(pairs, np.float32)


def check_output(
    spec: OutputSpec, width: int, height: int, classes: int, offline: OfflineModel, problems: list[str]
) -> None:
    """Notes in ``problems`` where ``spec``, with that input and as many labels, is not what ``offline`` puts out."""
    if spec.order and max(spec.order) >= len(offline.outputs):
        problems.append(
            f"output.order: {max(spec.order)} is no output of the model, which has {len(offline.outputs)}, counted "
            "from 0; correct it"
        )
        return
    if spec.kind == TENSORS:
        _check_plain(spec, offline, problems)
        return
    outputs = spec.chosen(offline.outputs)
    if spec.kind == CLASSES:
        _check_classes(outputs, classes, offline, problems)
        return
    shapes = [tensor.shape for tensor in outputs]
    batch = offline.inputs[0].shape[0] if offline.inputs else 0
    for index, tensor in enumerate(outputs):
        right = len(tensor.shape) == 4 or spec.kind == "detection_output"
        if tensor.dtype not in ("float16", "float32") or not right or tensor.shape[0] != batch:
            number = spec.order[index] if spec.order else index
            problems.append(
                f"output: the model's output {number} is {tensor.dtype} {list(tensor.shape)}; "
                f"float16 or float32 of rank 4 and batch {batch} can be served: rebuild it"
            )
            return
    if spec.kind == "detection_output":
        row = ROW_HEADER + ROW_FIELDS * spec.max_boxes
        if len(shapes) != 1 or int(np.prod(shapes[0][1:])) != row:
            problems.append(
                f"output.max_boxes: {spec.max_boxes} needs one output of {row} numbers, the model has {show(shapes)}"
            )
        return
    expected = spec.shapes(width, height, classes)
    if len(expected) != len(shapes):
        problems.append(
            f"output.heads: {len(spec.priors.levels if spec.priors else spec.heads)} heads make {len(expected)} "
            f"outputs, but the model has {len(shapes)} outputs; describe each"
        )
        return
    joined = spec.priors.joined if spec.priors else spec.joined
    for index, (wanted, shape) in enumerate(zip(expected, shapes)):
        got = tuple(shape[1:])
        if got != wanted and not (joined and wanted[1] == 1 and lies_in_rows(got, wanted[0], wanted[2]) is not None):
            problems.append(_wrong_shape(spec, index, wanted, got, classes))


def _check_plain(spec: OutputSpec, offline: OfflineModel, problems: list[str]) -> None:
    batch = offline.inputs[0].shape[0] if offline.inputs else 0
    if len(spec.plain) != len(offline.outputs):
        problems.append(
            f"output.names: {len(spec.plain)} names, but the model has {len(offline.outputs)} outputs; describe each"
        )
        return
    for index, (plain, tensor) in enumerate(zip(spec.plain, spec.chosen(offline.outputs))):
        if batch * math.prod(plain.shape) != math.prod(tensor.shape):
            problems.append(
                f"output.shapes[{index}]: {list(plain.shape)} for each of {batch} pictures is not the model's "
                f"{list(tensor.shape)}; correct it"
            )
        elif len(plain.shape) in (3, 4) and (batch * plain.shape[0], *stored_shape(plain.shape)[1:]) != tensor.shape:
            problems.append(
                f"output.shapes[{index}]: {list(plain.shape)} lies in the model as {list(stored_shape(plain.shape))}, "
                f"but its output is {list(tensor.shape)}, N, H, W, C; write the sizes as N, C, H, W"
            )


def _check_classes(outputs: Sequence[TensorInfo], labels: int, offline: OfflineModel, problems: list[str]) -> None:
    batch = offline.inputs[0].shape[0] if offline.inputs else 0
    if len(outputs) != 1:
        problems.append(
            f'output.kind: "classes" goes with 1 output, but the model has {len(outputs)}; name it, as order = [0], or '
            'describe them with "tensors"'
        )
        return
    tensor = outputs[0]
    if tensor.dtype not in ("float16", "float32") or batch * labels != math.prod(tensor.shape):
        problems.append(
            f"labels: {labels} labels for each of {batch} pictures are not the numbers of the model's output, "
            f"{tensor.dtype} {list(tensor.shape)}; write one label for each of its float16 or float32 numbers"
        )


def _wrong_shape(spec: OutputSpec, index: int, wanted: tuple[int, ...], got: tuple[int, ...], classes: int) -> str:
    if spec.priors is not None:
        return (
            f"output {index}: priors and {classes} labels make {list(wanted)}, but the model's output is {list(got)}; "
            "correct stride, cells, anchors, tensors or labels"
        )
    if "coefficients" in FIELDS.get(spec.decode, ()) and index == len(spec.shapes(1, 1, classes)) - 1:
        return (
            f"output {index}: {spec.coefficients} prototypes with prototype_stride {spec.prototype_stride} make "
            f"{list(wanted)}, but the model's output is {list(got)}; correct coefficients, prototype_stride or order"
        )
    if spec.joined:
        what, parts = f"output {index}", f"strides {[head.stride for head in spec.heads]}"
    else:
        number = index // (1 if spec.anchored else len(spec.layout))
        head = spec.heads[number]
        what, parts = f"output.heads[{number}]", f"stride {head.stride}"
        parts += f", {len(head.anchors)} anchors" if spec.anchored else ""
    if spec.anchored:
        correct = "stride, anchors or labels"
    else:
        fields = spec.layout[index % len(spec.layout)]
        parts += f", {' + '.join(fields)}" + (f", reg_max {spec.reg_max}" if spec.distances else "")
        parts += f", {spec.keypoints[0]} keypoints of {spec.keypoints[1]}" if "keypoints" in fields else ""
        parts += f", {spec.coefficients} coefficients" if "coefficients" in fields else ""
        named = [name for name in ("keypoints", "coefficients") if name in fields]
        correct = ", ".join(["stride", "tensors", *(["reg_max"] if spec.distances else []), *named]) + " or labels"
    return (
        f"{what}: {parts} and {classes} labels make {list(wanted)}, but the model's output is {list(got)}; "
        f"correct {correct}"
    )
