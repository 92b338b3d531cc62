"""Porting scripts written for the tests, with the call patterns of real ones: they are run as they stand."""

# Quantise, save, load, online call, trace, fused calls at two batch sizes; armed before trace.
HEADPOSE = """
import torch
import torch.nn as nn
import torch_mlu.core.mlu_quantize as mlu_quantize
import torch_mlu.core.mlu_model as ct

ct.set_core_number(1)
ct.set_core_version("MLU270")
torch.set_grad_enabled(False)
torch.manual_seed(3)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3)
        self.bn = nn.BatchNorm2d(8)
        self.prelu1 = nn.PReLU(8)
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2 = nn.Conv2d(8, 16, 3)
        self.fc = nn.Linear(16 * 16, 10)
        self.prelu2 = nn.PReLU(10)
        self.ip = nn.Linear(10, 3)

    def forward(self, x):
        x = self.pool1(self.prelu1(self.bn(self.conv1(x))))
        x = self.conv2(x)
        y = x.view(x.size(0), -1)
        y = self.prelu2(self.fc(y))
        return y, self.ip(y), x


net = Net().eval()
quantised = mlu_quantize.quantize_dynamic_mlu(net, {"iteration": 3, "firstconv": False}, dtype="int8", gen_quant=True)
x1, x4 = torch.randn(1, 3, 14, 14), torch.randn(4, 3, 14, 14)
for batch in (x1, x1, x4):
    quantised(batch)
torch.save(quantised.state_dict(), "int8.pth")

loaded = mlu_quantize.quantize_dynamic_mlu(net)
loaded.load_state_dict(torch.load("int8.pth"))
floats = net(x4)
loaded.to(ct.mlu_device())
online = [one.cpu() for one in loaded(x4.to(ct.mlu_device()))]
ct.save_as_cambricon("net")
traced = torch.jit.trace(loaded, x1.to(ct.mlu_device()), check_trace=False)
fused = traced(x4.to(ct.mlu_device()))
assert all(one.device.type == "mlu" for one in fused)
fused = [one.cpu() for one in fused]
assert all(torch.equal(a, b) for a, b in zip(online, fused))
assert all((a - b).abs().max() < 0.05 * b.abs().max() + 0.02 for a, b in zip(fused, floats))
assert not any(torch.equal(a, b) for a, b in zip(fused, floats))
torch.save([x4, *fused], "expected.pt")
traced(x1.to("mlu"))  # disarmed by the export: no second file
"""

# Half input, Focus, detection operator, four cores of an MLU220, armed after trace, re-armed, disarmed.
YOLOV5 = """
import os
import torch
import torch_mlu
import torch_mlu.core.mlu_model as ct

torch.manual_seed(1)
CLASSES = 2


def block(inputs, outputs, stride=1):
    conv = torch.nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return torch.nn.Sequential(conv, torch.nn.BatchNorm2d(outputs, eps=1e-3), torch.nn.Hardswish())


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.p3, self.p4, self.p5 = block(12, 8), block(8, 16, 4), block(16, 16, 2), block(16, 16, 2)
        self.up, self.join = torch.nn.Upsample(scale_factor=2), block(32, 16)
        self.m = torch.nn.ModuleList([torch.nn.Conv2d(16, 3 * (5 + CLASSES), 1) for _ in range(3)])
        self.anchors = [10, 13, 16, 30, 33, 23, 30, 61, 62, 45, 59, 119, 116, 90, 156, 198, 373, 326]

    def forward(self, x):
        x = torch.cat([x[..., ::2, ::2], x[..., 1::2, ::2], x[..., ::2, 1::2], x[..., 1::2, 1::2]], 1)
        p3 = self.p3(self.stem(x))
        p4 = self.p4(p3)
        p5 = self.p5(p4)
        heads = [m(one) for m, one in zip(self.m, [p3, self.join(torch.cat([self.up(p5), p4], 1)), p5])]
        if x.device.type == "mlu":
            y = [one.sigmoid() for one in heads]
            return torch.ops.torch_mlu.yolov5_detection_output(
                y[0], y[1], y[2], self.anchors, CLASSES, 18, 64, 64, 0.2, 0.45, 100)
        return heads


with torch.no_grad():
    net = Model().eval()
    qconfig = {"iteration": 1, "use_avg": False, "data_scale": 1.0, "firstconv": False, "per_channel": True}
    observing = torch_mlu.core.mlu_quantize.quantize_dynamic_mlu(net.float(), qconfig_spec=qconfig,
                                                                        dtype="int8", gen_quant=True)
    observing(torch.rand(1, 3, 64, 64))
    net = torch_mlu.core.mlu_quantize.quantize_dynamic_mlu(net)
    net.load_state_dict(observing.state_dict(), strict=False)
    net = net.eval().float()
    net.to(ct.mlu_device())
    ct.set_core_number(16)
    ct.set_core_version("MLU220")
    example = torch.randn(1, 3, 64, 64).type(torch.HalfTensor)
    traced = torch.jit.trace(net, example.to(ct.mlu_device()), check_trace=False)
    ct.save_as_cambricon("first")
    x = torch.rand(2, 3, 64, 64).half()
    boxes = traced(x.mlu())
    os.mkdir("folder")
    ct.save_as_cambricon("folder/second.b1")
    traced(x[:1].mlu())
    ct.save_as_cambricon("never")
    ct.save_as_cambricon("")
    traced(x.mlu())
    assert boxes.dtype == torch.float16 and tuple(boxes.shape) == (2, 64 + 7 * 100, 1, 1)
    assert torch.equal(boxes.cpu(), net(x.mlu()).cpu())
    count = int(boxes.cpu().reshape(2, -1)[0, 0].item())
    rows = boxes.cpu().reshape(2, -1)[0, 64 : 64 + 7 * count].reshape(-1, 7)
    assert 0 < count <= 100
    assert ((rows[:, 2] >= 0.2) & (rows[:, 1] < CLASSES) & (rows[:, 0] == 0)).all()
    torch.save([x, boxes.cpu()], "expected.pt")
    ct.save_as_cambricon("forgotten")
"""

# The first convolution normalises: pixels 0..255 go in, the file takes bytes with four channels in the chosen order.
FIRSTCONV = """
import torch
import torch_mlu
import torch_mlu.core.mlu_model as ct
from torch_mlu.core.mlu_quantize import quantize_dynamic_mlu

torch.set_grad_enabled(False)
torch.manual_seed(2)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU6(), torch.nn.AdaptiveAvgPool2d(1)).eval()
qconfig = {"iteration": 1, "firstconv": True, "mean": [0.4, 0.5, 0.6], "std": [0.2, 0.3, 0.4]}
observing = quantize_dynamic_mlu(net, qconfig, dtype="int16", gen_quant=True)
mean, std = torch.tensor([0.4, 0.5, 0.6]).view(1, 3, 1, 1), torch.tensor([0.2, 0.3, 0.4]).view(1, 3, 1, 1)
pixels = torch.randint(0, 256, (2, 3, 16, 16)).float()
wanted = observing((pixels / 255 - mean) / std)
net = quantize_dynamic_mlu(net)
net.load_state_dict(observing.state_dict())
net.to("mlu")
ct.set_device(-1)
ct.set_input_format(2)
online = net(pixels.mlu()).cpu()
ct.save_as_cambricon("pixels")
traced = torch.jit.trace(net, pixels[:1].mlu(), check_trace=False)
fused = traced(pixels.mlu()).cpu()
assert torch.equal(online, fused)
assert (fused - wanted).abs().max() < 0.002
torch.save([pixels, fused], "expected.pt")
"""

# Operators of classifiers and segmentation networks, and shapes of other than four axes.
OPERATORS = """
import torch
import torch.nn.functional as F
import torch_mlu.core.mlu_model as ct

torch.set_grad_enabled(False)
torch.manual_seed(4)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.c = torch.nn.Conv2d(4, 8, 3, padding=1, groups=2)
        self.bn = torch.nn.BatchNorm2d(8)
        self.d = torch.nn.ConvTranspose2d(8, 8, 2, 2)

    def forward(self, x):
        a = self.bn(F.relu(self.c(x), inplace=True)) * 0.5 + 1
        n, c, h, w = a.shape
        a = a.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        b = F.interpolate(self.d(F.avg_pool2d(a, 2)), size=(h, w), mode="bilinear", align_corners=False)
        gate = torch.sigmoid(a.mean((2, 3), keepdim=True))
        e = F.pad(F.hardswish(b * gate - a), (1, 0, 2, 1))
        flat = e.permute(0, 2, 3, 1).contiguous().view(n, -1, 4)
        first, second = torch.split(e, 4, 1)
        return F.softmax(flat, -1), torch.max(first, second), e.max(), (e.sum((1, 3)) / 2).clamp(-1, 1), flat[:, 3]


net = Net().eval()
net.bn.running_mean.normal_(), net.bn.running_var.uniform_(0.5, 2)
x = torch.randn(2, 4, 6, 8)
wanted = net(x)
net.to("mlu")
online = [one.cpu() for one in net(x.to("mlu"))]
for a, b in zip(online, wanted):
    assert a.shape == b.shape and torch.allclose(a, b, atol=2e-5), (a.shape, (a - b).abs().max())
"""


# Layers of one dimension, and the training-time calls as inference understands them.
ONE_DIMENSION = """
import torch
import torch_mlu.core.mlu_quantize as mlu_quantize

torch.set_grad_enabled(False)
torch.manual_seed(8)
nn = torch.nn
net = nn.Sequential(
    nn.Conv1d(4, 8, 3, 2, 1, bias=False), nn.BatchNorm1d(8), nn.PReLU(8), nn.Conv1d(8, 8, 2, groups=4, dilation=2),
    nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 3)).eval()
net[1].running_var.uniform_(0.5, 2), net[2].weight.uniform_(0.1, 0.5)
x = torch.randn(2, 4, 31)
wanted = net(x)
adapted = mlu_quantize.adaptive_quantize(net, 10, bitwidth=16)
assert adapted.training == net.training and adapted[7]._get_name() == "MLULinear"
assert torch.equal(adapted(x), wanted)
adapted.to("mlu")
online = adapted(x.to("mlu")).cpu()
fused = torch.jit.trace(adapted, x.to("mlu"), check_trace=False)(x.to("mlu")).cpu()
assert torch.equal(online, fused) and not torch.equal(online, wanted)
assert torch.allclose(online, wanted, atol=2e-3), (online - wanted).abs().max()
back = mlu_quantize.dequantize(mlu_quantize.adaptive_quantize(net, 1))
assert [type(one) for one in back] == [type(one) for one in net] and torch.equal(back(x), wanted)
assert mlu_quantize.adaptive_quantize(net, 1, bitwidth=31) is net
device = nn.Sequential(nn.Conv1d(4, 8, 3, 2, 1), nn.BatchNorm1d(8)).eval()
plain = device(x)
assert torch.allclose(device.to("mlu")(x.to("mlu")).cpu(), plain, atol=1e-5)
"""

# Attention as torch has it and as scripts write it, layer by layer and fused; nothing of it runs on the CPU.
ATTENTION = """
import torch
import torch_mlu
import torch_mlu.core.mlu_model as ct
from torch import nn

torch.set_grad_enabled(False)
torch.manual_seed(3)

class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 8, 8)
        self.layer = nn.TransformerEncoderLayer(16, 4, 32, 0.0, "gelu", batch_first=True, norm_first=True)
        self.mixed, self.norm = nn.MultiheadAttention(16, 2, batch_first=True), nn.LayerNorm(16)

    def forward(self, x):
        tokens = self.layer(self.patches(x).flatten(2).transpose(1, 2))
        tokens = tokens + self.mixed(tokens, tokens, tokens, need_weights=False)[0]
        q = self.norm(tokens)
        return torch.bmm((q @ q.transpose(1, 2) * 0.25).softmax(-1), q)

net, x = Tokens().eval(), torch.randn(2, 3, 32, 32)
wanted = net(x)
net.to("mlu")
online = net(x.to("mlu")).cpu()
fused = torch.jit.trace(net, x.to("mlu"), check_trace=False)(x.to("mlu")).cpu()
assert torch.equal(online, fused) and torch.allclose(online, wanted, atol=1e-5)
"""

# Transposed convolutions of both kinds between quantized ones, batch-norm behind them; activations in place.
UPSAMPLING = """
import torch
import torch_mlu
import torch_mlu.core.mlu_model as ct
import torch_mlu.core.mlu_quantize as mlu_quantize

torch.set_grad_enabled(False)
torch.manual_seed(9)
nn = torch.nn
net = nn.Sequential(
    nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
    nn.ConvTranspose2d(8, 12, 3, 2, 1, output_padding=1, groups=2), nn.BatchNorm2d(12), nn.LeakyReLU(0.1, inplace=True),
    nn.Conv2d(12, 4, 1), nn.Sigmoid()).eval()
net[4].running_var.uniform_(0.5, 2)
x = torch.randn(2, 3, 16, 24)
wanted = net(x)
net = mlu_quantize.quantize_dynamic_mlu(net, {"firstconv": False}, dtype="int16", gen_quant=True)
net(x)
net.to("mlu")
online = net(x.to("mlu")).cpu()
ct.save_as_cambricon("up")
fused = torch.jit.trace(net, x.to("mlu"), check_trace=False)(x.to("mlu")).cpu()
assert torch.equal(online, fused) and torch.allclose(online, wanted, atol=1e-3)
torch.save([x, fused], "expected.pt")
row = nn.ConvTranspose1d(4, 6, 3, 2, 1, output_padding=1, groups=2)
y = torch.randn(1, 4, 9)
wanted = row(y)
row.to("mlu")
traced = torch.jit.trace(row, y.to("mlu"), check_trace=False)
assert torch.allclose(traced(y.to("mlu")).cpu(), wanted, atol=1e-5)
"""


# Operators that only move elements, each traced; tensors made on the device.
SHAPES = """
import torch
import torch.nn.functional as F
import torch_mlu

torch.set_grad_enabled(False)
torch.manual_seed(2)
x = torch.randn(2, 8, 6, 5)
functions = [
    lambda x: F.adaptive_max_pool2d(x, 1), lambda x: x.repeat(1, 2, 1, 3), lambda x: x.max(1)[0],
    lambda x: x.max(2, keepdim=True)[0], lambda x: x[:, [0, 2, 1, 1]], lambda x: x[:, :, [-1, 0, 1]],
    lambda x: x.flip((1, 2)), lambda x: F.pad(x, (1, 2, 3, 0), mode="replicate"), lambda x: F.channel_shuffle(x, 4),
    lambda x: torch.stack([x[:, 0], x[:, 3]], 1),
]
for number, function in enumerate(functions):
    class Net(torch.nn.Module):
        def forward(self, x):
            return function(x)

    wanted, net = function(x), Net().to("mlu")
    fused = torch.jit.trace(net, x.to("mlu"), check_trace=False)(x.to("mlu")).cpu()
    assert torch.equal(fused, wanted) and torch.equal(net(x.to("mlu")).cpu(), wanted), number
made = [
    torch.arange(4, device="mlu"), torch.tensor([1.0, 2.0], device="mlu"), torch.eye(3, device="mlu"),
    torch.zeros(2, 3, device="mlu"), torch.full((2,), 7.0, device="mlu"), torch.rand(2, device="mlu"),
    torch.zeros_like(x.to("mlu")), torch.linspace(0, 1, 3, device="mlu"),
]
assert all(one.device.type == "mlu" and one.shape == one.cpu().shape for one in made)
assert made[0].tolist() == [0, 1, 2, 3] and made[1].cpu().tolist() == [1.0, 2.0]
"""


# Constant operands: a whole picture, a grid made in forward, anchors, zeros and ones in concatenations; pixel shuffle.
CONSTANTS = """
import torch
import torch_mlu

torch.set_grad_enabled(False)
torch.manual_seed(0)


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 6, 3, padding=1)
        self.anchors, self.position = (torch.nn.Parameter(torch.rand(*s)) for s in ((1, 3, 1, 1, 2), (1, 6, 4, 5)))

    def forward(self, x):
        y = self.conv(x) + self.position
        n, c, h, w = y.shape
        rows, cols = torch.meshgrid(
            [torch.arange(h, device=x.device), torch.arange(w, device=x.device)], indexing="ij")
        grid = torch.stack((cols, rows), 2).view(1, 1, h, w, 2).float()
        p = y.view(n, 3, 2, h, w).permute(0, 1, 3, 4, 2).contiguous().sigmoid()
        centre, size = (p * 2 - 0.5 + grid) * 8, (p * 2) ** 2 * self.anchors
        zeros, ones = torch.zeros_like(y), torch.ones(n, 1, h, w, device=x.device)
        shuffled = torch.nn.functional.pixel_shuffle(torch.cat([y, y], 1), 2)
        return centre.view(n, -1, 2), size.view(n, -1, 2), torch.cat([y, zeros, ones], 1), shuffled


net, x = Net().eval(), torch.randn(2, 3, 4, 5)
wanted = net(x)
net.to("mlu")
online = [one.cpu() for one in net(x.to("mlu"))]
traced = torch.jit.trace(net, x[:1].to("mlu"), check_trace=False)
fused = [one.cpu() for one in traced(x.to("mlu"))]
assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(online, wanted))
assert all(torch.equal(a, b) for a, b in zip(online, fused))
"""


# A DataLoader whose workers bring their pictures to the device.
WORKER = """
class Pictures(torch.utils.data.Dataset):
    def __len__(self):
        return 2

    def __getitem__(self, number):
        return torch.ones(3).to("mlu") * number


next(iter(torch.utils.data.DataLoader(Pictures(), num_workers=1)))
"""


def missing(call: str) -> str:
    """A script with one call."""
    return f"import torch\nimport torch_mlu\nimport torch_mlu.core.mlu_model as ct\n{call}\n"


# Layers of three widths in one network, through checkpoint, load, online and fused calls.
MIXED = """
import torch
import torch_mlu
import torch_mlu.core.mlu_model as ct
from torch_mlu.core.mlu_quantize import quantize_dynamic_mlu

torch.set_grad_enabled(False)
torch.manual_seed(0)
layers = [torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 8, 3), torch.nn.Conv2d(8, 5, 1)]
net = torch.nn.Sequential(*layers, torch.nn.Flatten(), torch.nn.Linear(80, 7)).eval()
mixed = {"0, 2": "int16", "3": "float16"}
settings = {"iteration": 2, "firstconv": False, "per_channel": True}
observing = quantize_dynamic_mlu(net, settings, dtype="int8", gen_quant=True, mixed_layer=mixed)
x = torch.rand(2, 3, 8, 8)
observing(x)
torch.save(observing.state_dict(), "int8.pth")
state = torch.load("int8.pth")
assert [int(state[f"{place}.quantized_mode"]) for place in (0, 2, 3, 5)] == [2, 2, 0, 1]
assert [f"{place}.quantized_by_channel" in state for place in (0, 2, 3, 5)] == [False, False, False, True]
loaded = quantize_dynamic_mlu(net)
loaded.load_state_dict(state)
loaded.to(ct.mlu_device())
online = loaded(x.to(ct.mlu_device()))
ct.save_as_cambricon("net")
fused = torch.jit.trace(loaded, x.to(ct.mlu_device()), check_trace=False)(x.to(ct.mlu_device()))
assert torch.equal(online.cpu(), fused.cpu())
assert (fused.cpu() - net(x)).abs().max() < 0.02
torch.save([x, fused.cpu()], "expected.pt")
"""


HEADS = "x = [torch.rand(1, 45, side, side).to('mlu') for side in (8, 4, 2)]"

# The vendor's normalisation of vectors and of pictures, with one scale for all channels or one each.
NORMALIZE = """
import torch
import torch_mlu

x = torch.randn(2, 40)
for scale in (torch.full((1,), 2.0), torch.rand(40)):
    wanted = x / x.norm(dim=1, keepdim=True) * scale
    for shape in ((2, 40), (2, 40, 1, 1)):
        made = torch.ops.torch_mlu.normalize(x.view(shape).to("mlu"), 2, scale, 1e-12).cpu()
        assert tuple(made.shape) == shape and torch.allclose(made.view(2, 40), wanted, atol=1e-5)
"""

# One to seven heads, one by one or in a list; num_anchors counts numbers, pairs, or pairs of a head.
ANY_HEADS = f"""
import torch
import torch_mlu
{HEADS}
op = torch.ops.torch_mlu
A = [10, 14, 23, 27, 37, 58]
for number in range(1, 8):
    heads = [x[k % 3] for k in range(number)]
    rest = (10, 6 * number, 64, 0.25, 0.45, 40)
    apart = op.yolov3_detection_output(*heads, A * number, *rest).cpu()
    for count in (6 * number, 3 * number, 3):
        together = op.yolov3_detection_output(heads, A * number, 10, count, 64, 0.25, 0.45, 40).cpu()
        assert apart.shape == together.shape == (1, 64 + 7 * 40, 1, 1) and torch.equal(apart, together)
    halves = [one.sigmoid() for one in heads]
    five = [op.yolov5_detection_output(*given, A * number, 10, 3, 64, 64, 0.25, 0.45, 40).cpu()
            for given in (halves, (halves,))]
    assert torch.equal(*five) and five[0].flatten()[0] > 0 and apart.flatten()[0] > 0
"""

# Each call is refused with words that name the reason.
REFUSALS = f"""
import torch
import torch_mlu
{HEADS}
op = torch.ops.torch_mlu
A, one, unit = [10] * 18, (1, 1), torch.ones(1)


def yolov5(*heads, anchors=A, classes=10, confidence=0.25, most=100):
    op.yolov5_detection_output(*heads, anchors, classes, 18, 64, 64, confidence, 0.45, most)


def conv(values, stride=one, scale=torch.ones(2)):
    op.conv2d(values, torch.ones(3, 45, 1, 1).to("mlu"), None, [0, 0], stride, one, 1, scale, unit)


CASES = [
    (lambda: op.yolov3_detection_output(*x, A, 80, 18, 64, 0.2, 0.4, 9), "3 anchors of 80 classes need 255"),
    (lambda: op.yolov4_detection_output(x, A, 80, 18, 64, 64, 0.2, 0.4, 9), "3 anchors of 80 classes need 255"),
    (lambda: yolov5(*[one.cpu() for one in x], classes=80), "3 anchors of 80 classes need 255"),
    (lambda: yolov5(*x, anchors=A[:12]), "2 anchors of 10 classes need 30"),
    (lambda: yolov5(*x, anchors=A[:11]), "11 numbers of anchors for 3 heads"),
    (lambda: yolov5(*x, anchors=[0] + A[1:]), "an anchor has a side of 0; sides are pixels, above 0"),
    (lambda: yolov5(*x, anchors=A[1:] + [-3]), "an anchor has a side of -3"),
    (lambda: yolov5(*x, anchors=[10.5]), "Expected a value of type 'List[int]' for argument 'anchors'"),
    (lambda: yolov5(*x[:2]), "18 numbers of anchors for 2 heads"),
    (lambda: yolov5(x[0], x[1], None), "takes heads N, A * (5 + classes), H, W"),
    (lambda: yolov5(*x[:1] * 8, anchors=A[:16]), "8 heads; the device's operator takes 1 to 7"),
    (lambda: yolov5(*x, classes=4097), "num_classes 4097; the device's operator takes 1 to 4096"),
    (lambda: op.yolov3_detection_output(*x, A, 10, 4, 64, 0.2, 0.4, 9), "num_anchors 4 is not the anchors', which are"),
    (lambda: op.yolov4_detection_output((), A, 80, 18, 64, 64, 0.2, 0.4, 9), "it was given no tensor at all"),
    (lambda: yolov5(x[0], x[1].cpu(), x[2]), "head 2 of 3 is on the CPU"),
    (lambda: yolov5(*[one.int() for one in x]), "head 1 of 3 is int32"),
    (lambda: yolov5(x[0].half(), *x[1:]), "some heads are float16 and others float32"),
    (lambda: yolov5(*[one[0] for one in x]), "takes heads N, A * (5 + classes), H, W"),
    (lambda: yolov5(x[0], x[1], torch.cat([x[2], x[2]])), "differ in pictures"),
    (lambda: yolov5(*x, confidence=25), "confidence 25.0 and overlap 0.45 must lie within 0 and 1"),
    (lambda: yolov5(*x, most=1 << 40), "give 1 to 1048576 boxes"),
    (lambda: yolov5(*x, most=0), "give 1 to 1048576 boxes"),
    (lambda: op.normalize(x[0], 2, torch.ones(44), 1e-5), "of a tensor (1, 45, 8, 8) with 44 scales"),
    (lambda: op.normalize(x[0][0], 2, torch.ones(45), 1e-5), "of a tensor (45, 8, 8) with 45 scales"),
    (lambda: op.normalize(torch.nn.Parameter(x[0]), 2, unit, 1e-5), "takes tensors that the network computes"),
    (lambda: conv(x[0][:, 1:]), "weights (3, 45, 1, 1) does not fit a tensor (1, 44"),
    (lambda: conv(x[0][0]), "a convolution of a tensor (45, 8, 8) has no operator"),
    (lambda: conv(x[0][:, 1:], scale=None), "weights (3, 45, 1, 1) does not fit a tensor (1, 44"),
    (lambda: conv(x[0].cpu()), "torch_mlu.conv2d: its input is on the CPU"),
    (lambda: torch.nn.Conv2d(45, 3, 1).to("mlu")(x[0].cpu()), "torch_mlu.conv2d: its input is on the CPU"),
    (lambda: conv(x[0], stride=(0, 0)), "a convolution with stride (0, 0)"),
    (lambda: op.mish("a"), "Expected a value of type 'Tensor' for argument 'input' but found type 'str'"),
]
for call, said in CASES:
    try:
        call()
    except Exception as error:
        assert type(error).__name__ in ("UserError", "UnsupportedError"), (said, repr(error))
        assert said in str(error), (said, str(error))
    else:
        raise AssertionError(said)
"""


# Comparisons and choices, also of the least, the largest and infinite numbers: exactly what torch gives.
COMPARISONS = """
import operator
import torch
import torch_mlu

torch.set_grad_enabled(False)
torch.manual_seed(0)
INF, LEAST = float("inf"), 2.0**-149
KNOWN = torch.tensor([True, False, True, True, False])
ROWS = torch.randn(3, 1, 5)


class Net(torch.nn.Module):
    def forward(self, x, y):
        known = KNOWN.to(x.device)
        results = []
        for compare in (operator.gt, operator.lt, operator.ge, operator.le, operator.eq, operator.ne):
            for other in (0.3, 0, -0.3, LEAST, y, y[:, :, :1, :1]):
                results.append(compare(x, other))
        a, b = x > 0, y > 0
        results += [a & b, a | b, a ^ b, ~a, a.view(2, -1)[:, :7], a.to(x.dtype).mean((2, 3)), y.clamp(-5, 5) * a]
        results += [torch.where(x > y, x, y), torch.where(a, x, 0.5), torch.where(a, 0.5, y), torch.where(a, -INF, y)]
        results += [torch.where(a, y, -INF), torch.where(a, INF, y), torch.where(x[:, :1] > 0, y, x)]
        results += [torch.where(a.permute(0, 2, 3, 1), y.permute(0, 2, 3, 1), x.permute(0, 2, 3, 1))]
        results += [x.masked_fill(b, -INF), x.masked_fill(b, 7), x.masked_fill(known, -1e4), x.masked_fill(known, INF)]
        results += [(x * 1).masked_fill_(b, 7), torch.where(a, x, ROWS.to(x.device).to(x.dtype))]
        results += [a.sum(), torch.sum(x > 0.1, (1, 2)), (a.sum((1, 2, 3)).float() + 0.5).sqrt()]
        return tuple(results)


for dtype in (torch.float32, torch.float16):
    x = torch.randn(2, 3, 4, 5) * 2
    marks = [0.3, -0.3, 0.0, -0.0, 6e-8, LEAST, -LEAST, 1e-38, INF, -INF, 65504, -65504, 0.30000001, 1.0]
    x.view(-1)[: len(marks)] = torch.tensor(marks)
    x = x.to(dtype)
    y = x.flip(3)
    y.view(-1)[20:40] = x.view(-1)[20:40]
    wanted = Net()(x, y)
    online = Net()(x.to("mlu"), y.to("mlu"))
    fused = torch.jit.trace(Net(), (x.to("mlu"), y.to("mlu")), check_trace=False)(x.to("mlu"), y.to("mlu"))
    for number, (want, one, other) in enumerate(zip(wanted, online, fused)):
        assert one.dtype == other.dtype == want.dtype, (number, one.dtype, other.dtype)
        near = number == len(wanted) - 1 and torch.allclose(other.cpu(), want)  # the root
        assert torch.equal(one.cpu(), other.cpu()) and (torch.equal(one.cpu(), want) or near), (dtype, number)
print("compared", len(wanted))
"""


# Data-parallel modules, a loader with workers, files of traced models, and the vendor's tools around them.
SURROUNDINGS = """
import torch
import torch_mlu
import torch_mlu.core.mlu_model as ct
from torch.utils.data import DataLoader, TensorDataset
from torch_mlu.core.mlu_quantize import quantize_dynamic_mlu
from torch_mlu.core.utils import dump_utils

torch.set_grad_enabled(False)
torch.manual_seed(0)
net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU(), torch.nn.Conv2d(4, 2, 1)).eval()
x = torch.rand(2, 3, 8, 8)

parallel = torch.nn.DataParallel(net)
assert torch.equal(parallel(x), net(x))
observing = quantize_dynamic_mlu(parallel, {"firstconv": False}, dtype="int8", gen_quant=True)
dump_utils.register_dump_hook(observing, start="self.module.0", end="module.2")
observing(x)
dump_utils.save_data("dump", "cpu")
loaded = quantize_dynamic_mlu(torch.nn.DataParallel(net, device_ids=[0]))
loaded.load_state_dict(observing.state_dict())
assert "module.0.scale" in loaded.state_dict()
loaded = loaded.to(ct.mlu_device())
dump_utils.register_dump_hook(loaded)
online = loaded(x.to("mlu")).cpu()
dump_utils.save_data("dump", "mlu")
apart = dump_utils.diff_data("dump/dump_cpu_data.pth", "dump/dump_mlu_data.pth")
assert list(apart) == ["module.0", "module.1", "module.2"] and 0 < apart["module.0"] < 0.02, apart

for (batch,) in DataLoader(TensorDataset(x), batch_size=2, num_workers=1, pin_memory=True):
    assert torch.equal(loaded(batch.to("mlu")).cpu(), online)

traced = torch.jit.trace(loaded, x.to("mlu"), check_trace=False).to(ct.mlu_device())
assert torch.equal(traced(x.to("mlu")).cpu(), online)
torch.jit.save(traced, "device.pt")
torch.jit.save(torch.jit.trace(net, x), "plain.pt")
for name in ("device.pt", "plain.pt"):
    read = torch.jit.load(name, map_location="mlu").to("mlu").eval()
    ct.save_as_cambricon(name)
    fused = torch.jit.trace(read, x.to("mlu"), check_trace=False)(x.to("mlu")).cpu()
    assert (fused - net(x)).abs().max() < (0.02 if name == "device.pt" else 1e-5)
    assert torch.allclose(torch.jit.load(name)(x), net(x), atol=1e-5)
assert torch.equal(torch.jit.load("device.pt")(x.to("mlu")).cpu(), online)
"""
