"""Porting scripts with detection operators and the vendor's torchvision, for the tests."""

# The vendor's YOLOv4 operator with each nms_type, mish and normalize; one export each, in one process.
YOLOV4 = """
import torch
import torch_mlu
import torch_mlu.core.mlu_model as ct

torch.manual_seed(6)
torch.set_grad_enabled(False)


class Model(torch.nn.Module):
    def __init__(self, nms_type):
        super().__init__()
        self.nms_type = nms_type
        self.stem, self.bn = torch.nn.Conv2d(3, 12, 3, 4, 1, bias=False), torch.nn.BatchNorm2d(12)
        self.heads = torch.nn.ModuleList([torch.nn.Conv2d(12, 3 * 8, 3, s, 1) for s in (2, 4)])
        self.scale = torch.nn.Parameter(torch.rand(12) * 4)

    def forward(self, x):
        x = torch.ops.torch_mlu.mish(self.bn(self.stem(x)))
        x = torch.ops.torch_mlu.normalize(x, 2, self.scale, 1e-6)
        heads = [head(x) * 3 for head in self.heads]
        return torch.ops.torch_mlu.yolov4_detection_output(
            tuple(heads), (12, 16, 19, 36, 40, 28, 36, 75, 76, 55, 72, 146), 3, 12, 64, 32, 0.2, 0.3, 60, 1.05, 0.6,
            self.nms_type)


x = torch.rand(2, 3, 32, 64)
kept = [x]
state = Model(0).state_dict()
for nms_type in (0, 1, 2):
    net = Model(nms_type).eval()
    net.load_state_dict(state)
    net = torch_mlu.core.mlu_quantize.quantize_dynamic_mlu(net, {"firstconv": False}, dtype="int16", gen_quant=True)
    net(x)
    net.to("mlu")
    ct.save_as_cambricon("v4_%d" % nms_type)
    traced = torch.jit.trace(net, x.to("mlu"), check_trace=False)
    fused = traced(x.to("mlu")).cpu()
    assert torch.equal(fused, net(x.to("mlu")).cpu())
    kept.append(fused)
torch.save(kept, "expected.pt")
"""

# YOLOv3 by the names of the vendor's torchvision: float, quantised, saved, read again, on the device, fused.
YOLOV3 = """
import os
import sys
import torch
import torch_mlu
import torch_mlu.core.mlu_model as ct
import torch_mlu.core.mlu_quantize as mlu_quantize
from torchvision import models

torch.set_grad_enabled(False)
torch.manual_seed(5)
x = torch.rand(1, 3, 64, 64)
options = {"img_size": 64, "conf_thres": 0.2, "nms_thres": 0.5}
torch.save(models.object_detection.yolov3(img_size=32).state_dict(), "yolov3.pth")
net = models.object_detection.yolov3("yolov3.pth", pretrained=True, **options).eval().float()
boxes = net(x)
assert tuple(boxes.shape) == (1, 3 * (4 + 16 + 64), 85) and boxes[..., 4:].min() > 0 and boxes[..., 4:].max() < 1
observing = mlu_quantize.quantize_dynamic_mlu(net, {"firstconv": False}, dtype="int8", gen_quant=True)
observing(x)
torch.save(observing.state_dict(), "checkpoints/yolov3.pth")
keys = list(observing.state_dict())
assert keys[:3] == ["module_list.0." + one for one in ("Conv2d.weight", "Conv2d.scale", "Conv2d.quantized_mode")]
assert len(keys) == len(net.state_dict()) + 2 * 75 and "module_list.106.yolo_106.anchor_h" in keys
model = models.quantization.object_detection.yolov3(
    "checkpoints/yolov3.pth", pretrained=True, quantize=True, **options)
again = models.quantization.object_detection.yolov3(pretrained=True, quantize=True, **options)
model.to(ct.mlu_device())
again.to(ct.mlu_device())
online = model(x.to(ct.mlu_device())).cpu()
assert torch.equal(online, again(x.to(ct.mlu_device())).cpu())
ct.set_core_version("MLU220")
ct.set_device(-1)
traced = torch.jit.trace(model, x.half().to(ct.mlu_device()), check_trace=False)
os.mkdir("offline")
ct.save_as_cambricon("offline/yolov3")
traced(x.to(ct.mlu_device()))
assert torch.equal(traced(x.to(ct.mlu_device())).cpu(), online)
row = online.reshape(-1)[64:71]
scores = boxes[0, :, 4] * boxes[0, :, 5:].max(-1).values
assert abs(row[2] - scores.max()) < 0.01, (row, scores.max())
"""

# A network of the installed torchvision with quantized layers, by the vendor's call; the weights lie in TORCH_HOME.
CLASSIFIER = """
import os
import torch
import torchvision.models as models
import torch_mlu.core.mlu_model as ct
import torch_mlu.core.mlu_quantize as mlu_quantize

torch.set_grad_enabled(False)
torch.manual_seed(1)
x = torch.rand(1, 3, 32, 32)
net = models.tiny_net(classes=4).eval()
observing = mlu_quantize.quantize_dynamic_mlu(net, {"firstconv": False}, dtype="int8", gen_quant=True)
observing(x)
os.makedirs("home/int8/checkpoints")
torch.save(observing.state_dict(), "home/int8/checkpoints/tiny_net.pth")
os.environ["TORCH_HOME"] = "home"
built = getattr(models.quantization, "tiny_net")(pretrained=True, quantize=True, classes=4).eval().float()
assert models.quantization.tiny_net(quantize=True) == "torchvision's own"
built.to("mlu"), observing.to("mlu")
assert torch.equal(built(x.to("mlu")).cpu(), observing(x.to("mlu")).cpu())
assert models.object_detection.yolov3 is not models.quantization.object_detection.yolov3
models.quantization.mobilenet(pretrained=True, quantize=True)
"""

# A network of one's own by quantize_model of the vendor's torchvision: its layers are swapped, and load a checkpoint.
QUANTIZE_MODEL = """
import copy

import torch
import torch_mlu.core.mlu_model as ct
import torch_mlu.core.mlu_quantize as mlu_quantize
from torchvision.models.quantization.utils import quantize_model

torch.set_grad_enabled(False)
torch.manual_seed(1)
x = torch.rand(1, 3, 32, 32)
head = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(7200, 4))
net = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), head).eval()
observing = mlu_quantize.quantize_dynamic_mlu(net, {"firstconv": False}, dtype="int8", gen_quant=True)
observing(x)
built = quantize_model(net)
assert built is not net and isinstance(net[0], torch.nn.Conv2d), "the float network is left as it is"
own = copy.deepcopy(net)
assert quantize_model(own, inplace=True) is own and not isinstance(own[0], torch.nn.Conv2d)
built.load_state_dict(observing.state_dict())
built.to("mlu"), observing.to("mlu")
quantized = built(x.to("mlu")).cpu()
assert torch.equal(quantized, observing(x.to("mlu")).cpu())
difference = (quantized - net(x)).abs().max()
assert 0 < difference < 0.1, difference
"""
