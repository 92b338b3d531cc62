"""One engine with one network in a process of its own, that runs it whenever it is asked to.

    python benchmarks/contest/contender.py ENGINE FOLDER THREADS [BATCH]

Each line of its standard input is a command: ``run`` is answered with the milliseconds of one inference, wall and of
all its threads' CPU time; ``loop SECONDS`` with how many inferences were made and how long they took; ``outputs FILE``
writes the network's heads there (.npz, float32, NHWC). The first line that it writes tells what it is. It waits on its
input between, so all contenders stay loaded while one of them runs. Other batches than 1: ours and the int8 networks of
ONNX Runtime and OpenVINO.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

Run = Callable[[np.ndarray], list[np.ndarray]]  # the heads, as the engine lays them out
WARM_UPS = 1  # the first rounds warm up as well: a median forgets them
BATCH = int(sys.argv[4]) if len(sys.argv) > 4 and __name__ == "__main__" else 1


def ours(folder: Path, threads: int) -> tuple[Run, str]:
    """The simulator's library by its own calls, as the daemon uses it; the picture is quantized pixels, RGBA."""
    from mlu_agent.cnrt import open_library
    from mlu_agent.engine import Engine

    path = folder / f"ours-{1 if threads == 1 else 4}{f'-batch{BATCH}' if BATCH > 1 else ''}.cambricon"
    library = open_library("simulator")
    engine = Engine(library, path, cores=1 if threads == 1 else 4, slots=1)

    def run(value: np.ndarray) -> list[np.ndarray]:
        slot = engine.acquire()
        slot.inputs[0][...] = value
        engine.submit(slot)
        done = engine.collect()
        engine.release(done)
        return done.outputs

    return run, "mlu-agent"


def onnxruntime(name: str, exact: bool = False) -> Callable[[Path, int], tuple[Run, str]]:
    """ONNX Runtime's CPU provider with all its optimizations."""

    def load(folder: Path, threads: int) -> tuple[Run, str]:
        import onnxruntime as runtime

        options = runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        if exact:
            options.add_session_config_entry("session.x64quantprecision", "1")
        model = str(folder / name) if BATCH == 1 else _batched(folder / name)
        session = runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return lambda value: session.run(None, {"input": value}), f"onnxruntime {runtime.__version__}"

    return load


def _batched(path: Path) -> bytes:
    """An ONNX file for another batch: only its inputs and outputs say one."""
    import onnx

    model = onnx.load(str(path))
    for one in (*model.graph.input, *model.graph.output):
        one.type.tensor_type.shape.dim[0].dim_value = BATCH
    model.graph.ClearField("value_info")
    made: bytes = model.SerializeToString()
    return made


def openvino(name: str, precision: str = "") -> Callable[[Path, int], tuple[Run, str]]:
    """OpenVINO with its latency hint. Without ``precision`` it computes what is not quantized as it likes: in bfloat16
    where the processor has that."""

    def load(folder: Path, threads: int) -> tuple[Run, str]:
        import openvino as runtime

        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1}
        if precision:
            settings["INFERENCE_PRECISION_HINT"] = precision
        model = runtime.Core().read_model(str(folder / name))
        if BATCH > 1:
            model.reshape([BATCH, *model.inputs[0].shape[1:]])
        compiled = runtime.Core().compile_model(model, "CPU", settings)
        request = compiled.create_infer_request()

        def run(value: np.ndarray) -> list[np.ndarray]:
            request.infer([value], share_inputs=True)
            return [request.get_output_tensor(number).data for number in range(len(compiled.outputs))]

        return run, f"openvino {runtime.__version__.split('-')[0]}, {_primitives(compiled)}"

    return load


def _primitives(compiled: Any) -> str:
    """Which of its kernels run the convolutions, most frequent first: they name the instructions."""
    kinds: Counter[str] = Counter()
    for operation in compiled.get_runtime_model().get_ops():
        told = operation.get_rt_info()
        if told["layerType"].astype(str) == "Convolution":
            kinds[told["primitiveType"].astype(str)] += 1
    return ", ".join(kind for kind, _ in kinds.most_common(2))


def ncnn(name: str) -> Callable[[Path, int], tuple[Run, str]]:
    """ncnn with its usual options but half precision, which float32 is compared without."""

    def load(folder: Path, threads: int) -> tuple[Run, str]:
        import ncnn as runtime

        net = runtime.Net()
        net.opt.num_threads = threads
        net.opt.use_vulkan_compute = False
        for option in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage"):
            setattr(net.opt, option, False)
        if net.load_param(str(folder / name)) or net.load_model(str((folder / name).with_suffix(".bin"))):
            raise SystemExit(f"ncnn does not read {folder / name}")
        outputs = net.output_names()

        def run(value: np.ndarray) -> list[np.ndarray]:
            extractor = net.create_extractor()
            extractor.input("input", runtime.Mat(value[0]))
            made = []
            for output in outputs:
                status, blob = extractor.extract(output)
                assert status == 0, output
                made.append(np.array(blob)[None])
            return made

        return run, f"ncnn {runtime.__version__}"

    return load


def opencv(folder: Path, threads: int) -> tuple[Run, str]:
    """OpenCV's own engine."""
    import cv2

    cv2.setNumThreads(threads)
    net = cv2.dnn.readNetFromONNX(str(folder / "float.onnx"))
    names = net.getUnconnectedOutLayersNames()

    def run(value: np.ndarray) -> list[np.ndarray]:
        net.setInput(value)
        return list(net.forward(names))

    return run, f"opencv {cv2.__version__}"


def torch(folder: Path, threads: int) -> tuple[Run, str]:
    """Torch, layer by layer, with batch-norm folded, in the layout that is fastest for it (channels last)."""
    import onnx
    import torch as runtime
    from onnx import numpy_helper

    runtime.set_num_threads(threads)
    graph = onnx.load(str(folder / "float.onnx")).graph
    held = {one.name: runtime.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer}
    held = {
        name: value.contiguous(memory_format=runtime.channels_last) if value.ndim == 4 else value
        for name, value in held.items()
    }
    steps = [(node.op_type, list(node.input), node.output[0], _attributes(node)) for node in graph.node]
    outputs = [one.name for one in graph.output]

    def run(value: np.ndarray) -> list[np.ndarray]:
        with runtime.inference_mode():
            values = {**held, "input": runtime.from_numpy(value).contiguous(memory_format=runtime.channels_last)}
            for kind, inputs, output, given in steps:
                values[output] = _torch_step(runtime, kind, [values.get(name) for name in inputs], given)
            return [values[name].numpy() for name in outputs]

    return run, f"torch {runtime.__version__}"


def _attributes(node: Any) -> dict[str, Any]:
    import onnx

    return {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}


def _torch_step(runtime: Any, kind: str, inputs: list[Any], given: dict[str, Any]) -> Any:
    functional = runtime.nn.functional
    if kind == "Conv":
        top, left, bottom, right = given["pads"]
        value, weight, bias = inputs
        if (top, left) != (bottom, right):
            value, top, left = functional.pad(value, (left, right, top, bottom)), 0, 0
        return functional.conv2d(value, weight, bias, given["strides"], (top, left), given["dilations"], given["group"])
    if kind == "MaxPool":
        top, left, bottom, right = given["pads"]
        value = functional.pad(inputs[0], (left, right, top, bottom), value=float("-inf"))
        return functional.max_pool2d(value, given["kernel_shape"], given["strides"])
    if kind == "Resize":
        return functional.interpolate(inputs[0], scale_factor=float(inputs[2][-1]), mode="nearest")
    if kind == "Concat":
        return runtime.cat(inputs, given["axis"])
    if kind == "LeakyRelu":
        return functional.leaky_relu(inputs[0], given["alpha"])
    simple = {"Add": runtime.add, "Mul": runtime.mul, "Relu": runtime.relu, "Sigmoid": runtime.sigmoid}
    return simple[kind](*inputs)


ENGINES: dict[str, Callable[[Path, int], tuple[Run, str]]] = {
    "ours": ours,
    "onnxruntime int8": onnxruntime("int8.onnx"),
    "onnxruntime 7 bits": onnxruntime("int7.onnx"),
    "onnxruntime exact": onnxruntime("int8.onnx", exact=True),
    "onnxruntime float": onnxruntime("float.onnx"),
    "openvino int8": openvino("openvino-int8.xml"),
    "openvino float": openvino("openvino-float.xml", "f32"),
    "openvino bfloat16": openvino("openvino-float.xml"),
    "ncnn int8": ncnn("ncnn-int8.param"),
    "ncnn float": ncnn("ncnn-float.param"),
    "opencv float": opencv,
    "torch float": torch,
}


def inputs(folder: Path, engine: str) -> np.ndarray:
    """The first picture that was kept, as the engine takes it: for ours RGBA bytes, else float32 [1, 3, H, W]."""
    import cv2

    pixels = cv2.imread(str(folder / "pictures" / "0.png"))
    if engine == "ours":
        return np.repeat(cv2.cvtColor(pixels, cv2.COLOR_BGR2RGBA)[None], BATCH, 0)
    value = pixels[:, :, ::-1].transpose(2, 0, 1)[None].astype(np.float32) / 255
    return np.ascontiguousarray(np.repeat(value, BATCH, 0))


def commands() -> Iterator[list[str]]:
    """What is asked, line by line."""
    for line in sys.stdin:
        yield line.split(maxsplit=1)


def main() -> int:
    """By the command line."""
    engine, folder, threads = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    answers = sys.stdout
    sys.stdout = sys.stderr  # what libraries print is no answer
    value = inputs(folder, engine)
    run, version = ENGINES[engine](folder, threads)
    for _ in range(WARM_UPS):
        outputs = run(value)
    answers.write(json.dumps({"version": version}) + "\n")
    answers.flush()
    for command in commands():
        if command[0] == "outputs":
            made = [np.asarray(one, np.float32) for one in outputs]
            heads = made if engine == "ours" else [one.transpose(0, 2, 3, 1) for one in made]
            np.savez(command[1].strip(), *heads)
            answers.write("0 0\n")
        elif command[0] == "loop":
            begin, count = time.perf_counter(), 0
            while time.perf_counter() - begin < float(command[1]):
                run(value)
                count += 1
            answers.write(f"{count} {time.perf_counter() - begin:.4f}\n")
        else:
            wall, cpu = time.perf_counter(), time.process_time()
            outputs = run(value)
            answers.write(f"{(time.perf_counter() - wall) * 1e3:.4f} {(time.process_time() - cpu) * 1e3:.4f}\n")
        answers.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
