"""Makes the files that each contender loads, of one network: ours, ONNX, OpenVINO IR and ncnn, float and int8.

    python benchmarks/contest/prepare.py NETWORK FOLDER [--weights DIR] [--pictures DIR] [--sizes N,N] [--batches N,N]

What is there is not made again. Each quantizer is given the same pictures, as its documentation says to use it.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from contest import ncnn_file, networks, onnx_file

from mlu_export.cli import main as mlu_export
from mlu_export.runners.float_graph import FloatRunner

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlu_export.values.graph import ImportedModel

PICTURES = 4
CORES = (1, 4)  # of the simulated device: an invocation takes one thread, or as many as the host has up to four


def main() -> int:
    """By the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", choices=networks.NETWORKS)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", type=Path, help="folder of published weights; random ones where it has none")
    parser.add_argument("--pictures", type=Path, help="folder to calibrate with; made-up ones without it")
    parser.add_argument("--sizes", default="", help="other sizes of the input: folders NETWORK-SIZE, int8 alone")
    parser.add_argument("--batches", default="", help="other batches: of ours, one thread, alone")
    arguments = parser.parse_args()
    network = networks.NETWORKS[arguments.network]
    weights = network.real(arguments.weights)
    maker = Maker(network, weights, arguments.folder / network.name, arguments.pictures)
    maker.make()
    for batch in filter(None, arguments.batches.split(",")):
        maker.ours(CORES[0], int(batch))
    for size in filter(None, arguments.sizes.split(",")):
        folder = arguments.folder / f"{network.name}-{size}"
        Maker(network, weights, folder, arguments.pictures, int(size)).make_few()
    return 0


class Maker:
    """Makes the files of one network, whole or not at all, in the order in which they need each other."""

    def __init__(
        self,
        network: networks.Network,
        weights: Path | None,
        folder: Path,
        pictures: Path | None,
        size: int | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.network = network
        self.weights = weights
        self.folder = folder
        self.size = size
        self.model: ImportedModel = networks.load(network, weights)
        if size:
            self.model = replace(self.model, graph=replace(self.model.graph, input_shape=(size, size, 3)))
        height, width, _ = self.model.graph.input_shape
        self.pictures = _pictures(pictures, folder, height, width)
        self.onnx = folder / "float.onnx"

    def make(self) -> None:
        """All of them."""
        if not self.onnx.exists():
            _whole(self.onnx, lambda path: onnx_file.write(self.model.graph, path))
        for cores in CORES:
            self.ours(cores)
        for bits in (8, 7):
            path = self.folder / f"int{bits}.onnx"
            if not path.exists():
                _whole(path, lambda made, bits=bits: self._onnx_int8(made, bits))
        self._openvino()
        self._ncnn()

    def make_few(self) -> None:
        """What curves over sizes compare."""
        if not self.onnx.exists():
            _whole(self.onnx, lambda path: onnx_file.write(self.model.graph, path))
        self.ours(CORES[0])
        if not (self.folder / "int8.onnx").exists():
            _whole(self.folder / "int8.onnx", lambda path: self._onnx_int8(path, 8))
        self._openvino()

    def inputs(self) -> Iterator[np.ndarray]:
        """The pictures as float32 [1, 3, H, W], 0..1, RGB."""
        for pixels in self.pictures:
            yield np.ascontiguousarray(pixels[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255)

    def ours(self, cores: int, batch: int = 1) -> None:
        """The model file for so many cores of an invocation and pictures in it."""
        name = f"ours-{cores}" + (f"-batch{batch}" if batch > 1 else "")
        if (self.folder / f"{name}.cambricon").exists():
            return
        options = ["--calibration", str(self.folder / "pictures"), "--core-number", str(cores), "--name", name]
        options += ["--batch", str(batch)] + (["--size", str(self.size)] if self.size and self.weights else [])
        if self.weights is not None:
            source = ["--arch", self.network.arch, "--weights", str(self.weights)]
        else:
            anchors = "/".join(",".join(f"{w:g},{h:g}" for w, h in head.anchors) for head in self.model.heads)
            source = ["--arch", "onnx", "--weights", str(self.onnx), "--decode", self.model.decode]
            source += ["--anchors", anchors]
        labels = self.folder / "labels.txt"
        labels.write_text("".join(f"class {number}\n" for number in range(self.model.classes)), encoding="ascii")
        if self.model.labels is None:
            options += ["--labels", str(labels)]
        observer = ["--observer", "minmax", "--workers", "1"]
        status = mlu_export(["build", *source, *options, *observer, "--output", str(self.folder)])
        if status:
            raise SystemExit(status)

    def _onnx_int8(self, path: Path, bits: int) -> None:
        """Unsigned activations, signed weights of one symmetric scale per channel, as its guide for x86-64 says; with 7
        bits its ``reduce_range``, for processors where 8 bits saturate."""
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process

        class Reader(CalibrationDataReader):
            def __init__(self, inputs: Iterator[np.ndarray]) -> None:
                self.inputs = inputs

            def get_next(self) -> dict[str, np.ndarray] | None:
                value = next(self.inputs, None)
                return None if value is None else {"input": value}

        ready = self.folder / "ready.onnx"
        quant_pre_process(str(self.onnx), str(ready), skip_symbolic_shape=True)
        quantize_static(
            str(ready),
            str(path),
            Reader(self.inputs()),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=bits == 7,
            extra_options={"WeightSymmetric": True},
        )
        ready.unlink()

    def _openvino(self) -> None:
        import openvino

        plain, quantized = self.folder / "openvino-float.xml", self.folder / "openvino-int8.xml"
        if plain.exists() and quantized.exists():
            return
        model = openvino.convert_model(str(self.onnx))
        openvino.save_model(model, plain, compress_to_fp16=False)
        import nncf

        data = nncf.Dataset(list(self.inputs()))
        made = nncf.quantize(model, data, preset=nncf.QuantizationPreset.MIXED, subset_size=len(self.pictures))
        openvino.save_model(made, quantized, compress_to_fp16=False)

    def _ncnn(self) -> None:
        plain, quantized = self.folder / "ncnn-float.param", self.folder / "ncnn-int8.param"
        if plain.exists() and quantized.exists():
            return
        ncnn_file.write(self.model.graph, plain)
        largest: dict[str, float] = {}

        def observe(name: str, values: Any) -> None:
            largest[name] = max(largest.get(name, 1e-6), float(np.abs(values).max()))

        runner = FloatRunner(self.model.graph)
        for value in self.inputs():
            runner.run(value.transpose(0, 2, 3, 1), observe)
        ncnn_file.write(self.model.graph, quantized, largest)


def _whole(path: Path, make: Any) -> None:
    """The file appears when it is finished."""
    temporary = path.with_name(f"part-{path.name}")
    make(temporary)
    temporary.replace(path)


def _pictures(given: Path | None, folder: Path, height: int, width: int) -> list[np.ndarray]:
    """The pictures to calibrate with, BGR uint8 of the network's size, also left as files for mlu-export."""
    kept = folder / "pictures"
    kept.mkdir(exist_ok=True)
    files = sorted(path for path in given.iterdir() if path.suffix in {".jpg", ".png"})[:PICTURES] if given else []
    read = [cv2.resize(cv2.imread(str(file)), (width, height)) for file in files]
    pictures = read or [networks.picture(height, width, seed) for seed in range(PICTURES)]
    for number, pixels in enumerate(pictures):
        cv2.imwrite(str(kept / f"{number}.png"), pixels)
    return pictures


if __name__ == "__main__":
    sys.exit(main())
