"""``mlu-agent infer``: the classes of pictures and videos, or a network's plain outputs, printed and saved."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from mlu_client.text import printable, printable_json

from ..annotated import numbered, stem_of
from ..classes import Classes
from ..config.files import reason
from ..config.new_files import remove_left, whole_file
from ..detector import Detector
from ..errors import UserError
from ..model.bundle import ModelSpec, Thresholds, load_bundle
from ..model.output_spec import CLASSES, TENSORS
from ..publish.messages import class_list, tensor_map
from ..tensors import Tensors
from .inputs import check_inputs, declare_inputs, declare_runtime, items, tell

if TYPE_CHECKING:
    import argparse

    from numpy.typing import NDArray

    from .inputs import Item

SHOWN = 16  # numbers of a tensor that are printed one by one; of more their range is told


def declare(parser: argparse.ArgumentParser) -> None:
    """The arguments of the command."""
    declare_inputs(parser)
    parser.add_argument("--output", metavar="DIR", help="save each tensor as a .npy file, named after input and tensor")
    parser.add_argument("--runtime", default="auto", help="auto, device, simulator or the path of a library (auto)")
    parser.add_argument("--confidence", type=float, metavar="C", help="least confidence of a class (the manifest's)")
    declare_runtime(parser)


def run(arguments: argparse.Namespace) -> int:
    """0, or 2 if an input could not be read or a number was none; the readable ones are done all the same."""
    check_inputs(arguments)
    spec = load_bundle(arguments.model)
    thresholds = _thresholds(arguments, spec)
    problems: list[str] = []
    invalid = 0
    with contextlib.ExitStack() as exits:
        detector = exits.enter_context(Detector(arguments.model, arguments.runtime, thresholds, cores=arguments.cores))
        if detector.runtime == "simulator" and (arguments.runtime == "auto" or detector.standin is not None):
            tell(f"running on the simulator: {detector.reason}")
        files = _Files(arguments.output) if arguments.output else None
        for item, result in detector.results(items(arguments, problems)):
            invalid += result.invalid
            if isinstance(result, Classes):
                _print_classes(item, result, as_json=arguments.json)
            elif isinstance(result, Tensors):
                saved = files.save(item, result) if files else []
                _print_tensors(item, result, saved, as_json=arguments.json)
    if invalid:
        problems.append(
            f"{invalid} classes were thrown away: their numbers are not finite, or no confidences; the model is "
            "broken, or its manifest's activation is wrong"
        )
        tell(problems[-1])
    return 2 if problems else 0


def _thresholds(arguments: argparse.Namespace, spec: ModelSpec) -> Thresholds:
    """UserError also where the model and the options do not go together."""
    name, kind = spec.manifest_path.name, spec.output.kind
    if spec.output.task == "detect":
        raise UserError(f'{name}: task = "detect": the model finds objects; run it with mlu-agent detect')
    if arguments.output and kind != TENSORS:
        raise UserError(f'--output: {name} has output.kind = "{kind}", and only tensors are saved; leave it out')
    if arguments.confidence is None:
        return spec.thresholds
    if kind != CLASSES:
        raise UserError(f'--confidence: {name} has output.kind = "{kind}", whose numbers are no classes; leave it out')
    if not 0 <= arguments.confidence <= 1:
        raise UserError(f"--confidence {arguments.confidence:g}: give a number from 0 to 1")
    return dataclasses.replace(spec.thresholds, confidence=arguments.confidence)


def _head(item: Item) -> dict[str, Any]:
    height, width = item.pixels.shape[:2]
    return {"input": item.input, "frame": item.number, "width": width, "height": height}


def _print_classes(item: Item, classes: Classes, *, as_json: bool) -> None:
    found = class_list(classes)
    if as_json:
        print(printable_json({**_head(item), "classes": found}), flush=True)
        return
    print(item.place if found else f"{item.place}: no class is sure enough")
    for one in found:
        print(f"  {one['confidence']:.2f}  {printable(one['label'])}")


def _print_tensors(item: Item, tensors: Tensors, saved: list[str], *, as_json: bool) -> None:
    if as_json:
        maps = [tensor_map(name, array, data=not saved) for name, array in zip(tensors.names, tensors.arrays)]
        for one, file in zip(maps, saved):  # which has the numbers
            one["file"] = file
        print(printable_json({**_head(item), "tensors": maps}), flush=True)
        return
    print(item.place)
    for number, (name, array) in enumerate(zip(tensors.names, tensors.arrays)):
        shape = "x".join(map(str, array.shape))
        where = f" -> {saved[number]}" if saved else ""
        print(f"  {printable(name)} {shape} {array.dtype.name}: {_numbers(array)}{printable(where)}")


def _numbers(array: NDArray[Any]) -> str:
    """The numbers themselves, or of many their range."""
    values = array.reshape(-1)
    if len(values) <= SHOWN:
        return ", ".join(f"{value:.4g}" for value in values.tolist())
    finite = values[np.isfinite(values)].astype(np.float64)
    odd = len(values) - len(finite)
    told = [f"{odd} of {len(values)} are not finite"] if odd else []
    if len(finite):
        told.insert(0, f"{finite.min():.4g} to {finite.max():.4g}, mean {finite.mean():.4g}")
    return ", ".join(told)


class _Files:
    """The folder that tensors are saved into: files of this run never take each other's names."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)
        self._used: set[str] = set()
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"--output {folder}: the folder cannot be made: {error.strerror}") from None
        removed = remove_left(self._folder)
        if removed:
            tell(f"{folder}: removed {removed} unfinished files of killed runs")

    def save(self, item: Item, tensors: Tensors) -> list[str]:
        """A file for each tensor; their paths. UserError if one cannot be written."""
        frame = "" if item.video is None else f"-{item.number:06}"
        return [
            self._save(f"{stem_of(item.input)}{frame}.{_file_name(name)}", array)
            for name, array in zip(tensors.names, tensors.arrays)
        ]

    def _save(self, stem: str, array: NDArray[Any]) -> str:
        file = next(file for file in numbered(stem, ".npy") if file not in self._used)
        self._used.add(file)
        path = self._folder / file
        try:
            with whole_file(path) as handle:
                np.save(handle, array, allow_pickle=False)
        except OSError as error:
            raise UserError(f"{path} cannot be written: {reason(error)}") from None
        return str(path)


def _file_name(name: str) -> str:
    """Of a tensor: no separator and no hidden file comes of it."""
    return "".join(letter if letter.isalnum() or letter in "_-" else "_" for letter in name)[:64] or "tensor"
