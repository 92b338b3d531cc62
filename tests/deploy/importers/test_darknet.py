"""Importing Darknet networks."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest
from tests.deploy import nets

from mlu_agent.errors import DataError
from mlu_export.importers.darknet.archs import ARCHS
from mlu_export.importers.darknet.cfg import parse_cfg
from mlu_export.importers.darknet.importer import _Builder, import_darknet
from mlu_export.importers.darknet.values import ConvValues
from mlu_export.values.graph import Activation, Conv, MaxPool, Slice, infer_shapes


def load(cfg: str = nets.TINY_CFG, weights: bytes | None = None, sha256: str = ""):
    return import_darknet(parse_cfg(cfg.encode(), "a.cfg"), nets.tiny_weights() if weights is None else weights, sha256)


def test_every_section_kind_becomes_its_node_with_darknets_sizes():
    """Strides, dilation, groups, Darknet's uneven pool padding, routes by group and dropout's place in the count."""
    model = load()
    shapes = infer_shapes(model.graph)
    nodes = {node.name: node for node in model.graph.nodes}
    assert shapes["0_conv"] == (16, 32, 8)
    assert nodes["4_maxpool"].pad == (0, 0, 1, 1)
    assert shapes["4_maxpool"] == (8, 16, 8)
    assert nodes["6_maxpool"].pad == (1, 1, 1, 1)
    assert shapes["6_maxpool"] == shapes["5_conv"] == (8, 16, 12)
    assert isinstance(nodes["7_group0"], Slice)
    assert nodes["7_group0"].begin == (0, 0, 6)
    assert shapes["9_route"] == (16, 32, 14)
    assert nodes["14_conv"].inputs == ("9_route",)
    assert nodes["5_conv"].pad == (2, 2, 2, 2)
    assert nodes["1_conv"].is_depthwise
    assert not nodes["5_conv"].is_depthwise
    assert isinstance(nodes["5_silu"], Activation)
    assert [(head.tensor, head.stride, head.anchors) for head in model.heads] == [
        ("11_conv", 4, ((8.0, 9.0), (16.0, 12.0))),
        ("14_conv", 8, ((4.0, 5.0), (8.0, 9.0))),
    ]


def test_values_are_taken_in_the_files_order():
    """Beta, gamma, mean, variance, then weights as out, in, row, column."""
    stream = np.frombuffer(nets.tiny_weights(), "<f4", offset=20)
    conv = next(node for node in load().graph.nodes if isinstance(node, Conv))
    assert (conv.norm.beta == stream[:8]).all()
    assert (conv.norm.gamma == stream[8:16]).all()
    assert (conv.norm.mean == stream[16:24]).all()
    assert (conv.norm.variance == stream[24:32]).all()
    assert (conv.weight.ravel() == stream[32 : 32 + 8 * 27]).all()


def test_an_old_header_has_a_shorter_count_of_seen_pictures():
    """Versions before 0.2 keep it in four bytes."""
    new = nets.tiny_weights()
    old = struct.pack("<iiii", 0, 1, 0, 1234) + new[20:]
    first, second = load(weights=old).graph.nodes[0], load().graph.nodes[0]
    assert (first.weight == second.weight).all()


@pytest.mark.parametrize(
    "damage, sentence",
    [
        (lambda data: data[:-4], "truncated"),
        (lambda data: data[:-3], "truncated"),
        (lambda data: data[:12], "header"),
        (lambda data: b"", "header"),
        (lambda data: data + bytes(4), "belongs to another cfg"),
        (lambda data: data[:100] + struct.pack("<f", float("nan")) + data[104:], "NaN"),
        (lambda data: data[:100] + struct.pack("<f", float("inf")) + data[104:], "NaN"),
        (lambda data: struct.pack("<i", -5) + data[4:], "not Darknet weights"),
        (lambda data: data[: 20 + 96] + struct.pack("<f", -1.0) + data[20 + 100 :], "variance"),
    ],
)
def test_damaged_weights_are_refused_with_a_sentence(damage, sentence):
    """Truncated, too long, not finite, not Darknet's."""
    with pytest.raises(DataError, match=sentence):
        load(weights=damage(nets.tiny_weights()))


@pytest.mark.parametrize(
    "old, new, sentence",
    [
        ("[shortcut]", "[reorg]", "not supported"),
        ("filters=8", "filters=0", "whole number"),
        ("filters=8", "filters=999999999999", "whole number"),
        ("size=3", "size=x", "whole number"),
        ("groups=8", "groups=3", "divide"),
        ("from=-2", "from=-99", "whole number"),
        ("layers=-1,3", "layers=", "missing"),
        ("from=-2", "from=-4", "does not exist|whole number"),
        ("classes=2", "classes=3", "channels"),
        ("mask=1,2", "mask=1,7", "whole number"),
        ("activation=relu", "activation=gelu", "not supported"),
        ("width=64", "width=999999", "whole number"),
        ("height=32", "height=36", "divide"),
        ("channels=3", "channels=1", "3 colour channels"),
        ("[net]", "[nothing]", r"\[net\]"),
        ("pad=1\nact", "pad\nact", "key = value"),
    ],
)
def test_a_wrong_cfg_is_refused_with_a_sentence(old, new, sentence):
    """Every number is bounded before it is used, every layer must fit the one before."""
    assert old in nets.TINY_CFG
    with pytest.raises(DataError, match=sentence):
        load(nets.TINY_CFG.replace(old, new))


def test_a_binary_file_is_no_cfg():
    """Swapped files are named as such."""
    with pytest.raises(DataError, match="swapped"):
        parse_cfg(b"\x00\xff\xfe", "a.cfg")


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "gbk", "gb18030", "big5", "shift-jis", "utf-16", "utf-16-be"]
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_comments_of_a_cfg_may_be_in_any_encoding(encoding, end):
    """Nothing but comments has letters beyond ASCII; a line end within a letter ends none."""
    text = f"# \u5b50\u4e2d\u6587{end}" + nets.TINY_CFG.replace("\n", end) + f"# \u7d42{end}"
    assert parse_cfg(text.encode(encoding), "a.cfg") == tuple(
        replace(section, line=section.line + 1) for section in parse_cfg(nets.TINY_CFG.encode(), "a.cfg")
    )


def test_a_cfg_that_says_something_beyond_ascii_is_blamed_for_its_encoding():
    """By line and byte, and not as swapped with the weights."""
    parse_cfg(b"# Gr\xf6\xdfe \x85 x\n[net]\nwidth=8\n", "a.cfg")
    with pytest.raises(DataError, match=r"^a.cfg: line 3 is not UTF-8 text \(byte 17\); it looks like GBK"):
        parse_cfg(b"# x\n[net]\nname=" + "\u732b\u72d7\u5b89\u5168".encode("gbk"), "a.cfg")


class _Counting:
    """Values of a network that takes no memory: how many it asks for is counted."""

    def __init__(self):
        self.count = 0

    def convolution(self, _index, _name, shape, normalize):
        self.count += int(np.prod(shape)) + shape[0] * (4 if normalize else 1)
        return ConvValues(np.broadcast_to(np.float32(0), shape), None, None)

    def finish(self):
        return ()

    def quantized(self):
        return None


@pytest.mark.parametrize(
    "name, strides, size, file_bytes",
    [
        ("yolov3", (32, 16, 8), 416, 248_007_048),
        ("yolov3-spp", (32, 16, 8), 608, 252_209_544),
        ("yolov3-tiny", (32, 16), 416, 35_434_956),
        ("yolov4", (8, 16, 32), 608, 257_717_640),
        ("yolov4-tiny", (32, 16), 416, 24_251_276),
        ("yolo-fastest", (32, 16), 320, 1_384_268),
    ],
)
def test_built_in_networks_take_the_published_files_to_the_last_byte(name, strides, size, file_bytes):
    """Their heads are in the cfg's order, and their values are as many as the published weight file holds."""
    values, sections = _Counting(), ARCHS[name].sections()
    builder = _Builder(sections[0], values)
    for index, section in enumerate(sections[1:]):
        builder.add(index, section)
    model = builder.finish(None)
    assert 20 + 4 * values.count == file_bytes
    assert tuple(head.stride for head in model.heads) == strides
    assert model.graph.input_shape == (size, size, 3)
    assert model.classes == 80


def _tiny_cfg_of_the_trap(mask: str) -> bytes:
    lines = []
    for section in ARCHS["yolov3-tiny"].sections():
        lines.append(f"[{section.kind}]")
        lines += [f"{key}={value}" for key, value in section.options.items()]
    return "\n".join(lines).replace("mask=1,2,3", f"mask={mask}").encode()


def _zeros_for(sections) -> bytes:
    """Weights of ones that fit yolov3-tiny: 8,858,734 values."""
    return struct.pack("<iiiq", 0, 2, 0, 0) + np.ones(8_858_734, "<f4").tobytes()


def test_the_trap_of_yolov3_tiny_is_seen():
    """mask = 0,1,2 on the fine head: refused with the published weights, a warning with others; 1,2,3 says nothing."""
    from mlu_export.importers.darknet.heads import TINY_SHA256

    wrong = parse_cfg(_tiny_cfg_of_the_trap("0,1,2"), "wrong.cfg")
    weights = _zeros_for(wrong)
    with pytest.raises(DataError, match="1,2,3"):
        import_darknet(wrong, weights, TINY_SHA256)
    assert "1,2,3" in import_darknet(wrong, weights, "other").warnings[0]
    right = parse_cfg(_tiny_cfg_of_the_trap("1,2,3"), "right.cfg")
    assert import_darknet(right, weights, TINY_SHA256).warnings == ()


@pytest.mark.shared
@pytest.mark.parametrize(
    "name, cfg, weights",
    [
        ("yolov3-tiny", "yolov3-tiny-mask123.cfg", "yolov3-tiny.weights"),
        ("yolo-fastest", "yolo-fastest-1.1.cfg", "yolo-fastest-1.1.weights"),
    ],
)
def test_built_in_networks_equal_the_published_descriptions(shared_data, name, cfg, weights):
    """The same nodes with the same values, and no value of the weight file left over."""
    data = (shared_data / "weights" / weights).read_bytes()
    ours = import_darknet(ARCHS[name].sections(), data, "")
    theirs = import_darknet(parse_cfg((shared_data / "weights" / cfg).read_bytes(), cfg), data, "")
    assert ours.heads == theirs.heads
    assert [(type(node), node.name, node.inputs) for node in ours.graph.nodes] == [
        (type(node), node.name, node.inputs) for node in theirs.graph.nodes
    ]
    for mine, other in zip(ours.graph.nodes, theirs.graph.nodes):
        if isinstance(mine, Conv):
            assert (mine.stride, mine.pad, mine.groups) == (other.stride, other.pad, other.groups)
            assert (mine.weight == other.weight).all()
        if isinstance(mine, MaxPool):
            assert mine == other


def test_a_wrong_cfg_is_blamed_by_its_own_name_and_wrong_weights_by_theirs(tiny, export):
    """Of a built-in network the arch is named."""
    cfg, weights = tiny / "tiny.cfg", tiny / "tiny.weights"
    bad = tiny / "bad.cfg"
    bad.write_text(cfg.read_text().replace("activation=leaky", "activation=nosuch", 1))
    assert bad.read_text() != cfg.read_text()
    common = ("build", "--arch", "darknet", "--output", tiny / "o", "--weights")
    short = tiny / "short.weights"
    short.write_bytes(weights.read_bytes()[:-4000])
    for weight, description, name in ((weights, bad, "bad.cfg"), (short, cfg, "short.weights")):
        code, _, err = export(*common, weight, "--cfg", description)
        assert (code, err.startswith(f"mlu-export: {name}: ")) == (2, True), err
    huge = import_darknet_error(weights)
    assert huge.startswith("--arch yolov3-tiny: ")


def import_darknet_error(weights):
    """A built-in network of an input that is narrower than its layers' masks allow."""
    from dataclasses import replace

    from mlu_export.importers.darknet.archs import find_arch
    from mlu_export.importers.source import import_model, read_source

    arch = find_arch("yolov3-tiny")
    source = read_source(arch, weights, None)
    first, *others = source.cfg
    with pytest.raises(DataError) as caught:
        import_model(arch, replace(source, cfg=(replace(first, options={"width": "0"}), *others)), None)
    return str(caught.value)
