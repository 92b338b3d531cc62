"""Small detectors with random weights that decode their own heads, in the ways of the exporters, as torch modules."""

from __future__ import annotations

import io
import warnings

import torch
from torch import nn

SIZE, STRIDES, CLASSES = 64, (8, 16, 32), 3
ANCHORS = ((10, 13, 16, 30, 33, 23), (30, 61, 62, 45, 59, 119), (116, 90, 156, 198, 373, 326))


class Pyramid(nn.Module):
    """A stem down to each stride, and 1x1 convolutions of so many channels on each level."""

    def __init__(self, channels, strides=STRIDES):
        super().__init__()
        torch.manual_seed(4)
        self.stems = nn.ModuleList(nn.Conv2d(3, 8, stride, stride) for stride in strides)
        self.heads = nn.ModuleList(nn.ModuleList(nn.Conv2d(8, count, 1) for count in channels) for _ in strides)
        self.strides = strides

    def levels(self, x):
        return [[head(torch.relu(stem(x))) for head in heads] for stem, heads in zip(self.stems, self.heads)]

    def grid(self, levels, offset):
        """Centres (N, 2) and strides (N, 1) of all cells."""
        points, steps = [], []
        for (first, *_), stride in zip(levels, self.strides):
            rows, columns = first.shape[2], first.shape[3]
            y, x = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
            points.append(torch.stack((x, y), -1).reshape(-1, 2) + offset)
            steps.append(torch.full((rows * columns, 1), stride))
        return torch.cat(points), torch.cat(steps)


class Free(Pyramid):
    """Of yolov8: distances by a softmax over ``reg_max``, or themselves; [1, 4 + classes, N], or chosen inside."""

    def __init__(self, reg_max=16, classes=CLASSES, end="joined", offset=0.5, **more):
        super().__init__((4 * reg_max, classes), **more)
        self.offset = offset
        self.reg_max, self.classes, self.end = reg_max, classes, end
        self.expect = nn.Conv2d(reg_max, 1, 1, bias=False)
        self.expect.weight.data[:] = torch.arange(reg_max).reshape(1, -1, 1, 1)

    def forward(self, x):
        levels = self.levels(x)
        joined = torch.cat([torch.cat(level, 1).flatten(2) for level in levels], 2)
        box, scores = joined.split((4 * self.reg_max, self.classes), 1)
        if self.reg_max > 1:
            box = self.expect(box.view(1, 4, self.reg_max, -1).transpose(2, 1).softmax(1)).view(1, 4, -1)
        points, steps = self.grid(levels, self.offset)
        low, high = points.T - box[:, :2], points.T + box[:, 2:]
        corners, scores = torch.cat((low, high), 1) * steps.T, scores.sigmoid()
        if self.end == "joined":
            return torch.cat(((low + high) / 2 * steps.T, (high - low) * steps.T, scores), 1)
        if self.end == "chosen":
            best = scores.amax(1).topk(20)[1]
            value, place = scores.transpose(1, 2).gather(1, best[..., None].expand(-1, -1, self.classes)).max(-1)
            boxes = corners.transpose(1, 2).gather(1, best[..., None].expand(-1, -1, 4))
            return torch.cat((boxes, value[..., None], place[..., None].float()), 2)
        return corners.transpose(1, 2) / SIZE, scores.transpose(1, 2)  # apart, of 1


class Shaped(Pyramid):
    """Of yolov8 with more than boxes: mask coefficients and prototypes, key points, or angles. ``spoilt``: what is more
    goes through a softmax."""

    def __init__(self, kind, keypoints=(3, 3), *, spoilt=False):
        self.keypoints, self.spoilt = keypoints, spoilt
        self.third = {"yolov8-seg": 6, "yolov8-pose": keypoints[0] * keypoints[1], "yolov8-obb": 1}[kind]
        super().__init__((4, CLASSES, self.third))
        self.kind, self.prototypes = kind, nn.Conv2d(3, self.third, 4, 4)

    def forward(self, x):
        levels = self.levels(x)
        joined = torch.cat([torch.cat(level, 1).flatten(2) for level in levels], 2)
        box, scores, third = joined.split((4, CLASSES, self.third), 1)
        points, steps = self.grid(levels, 0.5)
        centre, sides = (box[:, 2:] - box[:, :2]) / 2, box[:, :2] + box[:, 2:]
        if self.kind == "yolov8-obb":
            third = (third.sigmoid() - 0.25) * torch.pi
            turned = (
                centre[:, :1] * third.cos() - centre[:, 1:] * third.sin(),
                centre[:, :1] * third.sin() + centre[:, 1:] * third.cos(),
            )
            centre = torch.cat(turned, 1)
        if self.kind == "yolov8-pose":
            numbers = third.view(1, *self.keypoints, -1)
            moved = (numbers[:, :, :2] * 2 + (points.T - 0.5)) * steps.T
            third = torch.cat((moved, numbers[:, :, 2:].sigmoid()), 2).flatten(1, 2)
        if self.spoilt:
            third = third.softmax(1)
        made = torch.cat(((centre + points.T) * steps.T, sides * steps.T, scores.sigmoid(), third), 1)
        return (made, self.prototypes(x).relu()) if self.kind == "yolov8-seg" else made


class Anchored(Pyramid):
    """Of yolov5 (or, with ``exp``, of yolov3): [1, N, 5 + classes]; ``more`` gives the raw heads too."""

    def __init__(self, rule="yolov5", anchors=ANCHORS, *, raw=False, power=2):
        super().__init__((len(anchors[0]) // 2 * (5 + CLASSES),), STRIDES[-len(anchors) :])
        self.power = power
        self.rule, self.anchors, self.raw = rule, torch.tensor(anchors).view(len(anchors), -1, 2).float(), raw

    def forward(self, x):
        rows, raws = [], []
        for (level,), sides, stride in zip(self.levels(x), self.anchors, self.strides):
            n, _, height, width = level.shape
            head = level.view(n, len(sides), -1, height, width).permute(0, 1, 3, 4, 2)
            raws.append(head)
            y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
            grid = torch.stack((x, y), -1).view(1, 1, height, width, 2)
            anchors = sides.view(1, -1, 1, 1, 2)
            if self.rule == "yolov5":
                xy, wh, rest = head.sigmoid().split((2, 2, CLASSES + 1), 4)
                made = (xy * 2 + grid - 0.5) * stride, (wh * 2) ** self.power * anchors, rest
            else:
                xy, wh, rest = head.split((2, 2, CLASSES + 1), 4)
                made = (xy.sigmoid() + grid) * stride, wh.exp() * anchors, rest.sigmoid()
            rows.append(torch.cat(made, 4).view(n, -1, 5 + CLASSES))
        return (torch.cat(rows, 1), *raws) if self.raw else torch.cat(rows, 1)


class Yolox(Pyramid):
    """[1, N, 5 + classes], the boxes decoded or not."""

    def __init__(self, *, decoded):
        super().__init__((4, 1, CLASSES))
        self.decoded = decoded

    def forward(self, x):
        levels = self.levels(x)
        rows = [torch.cat((box, objectness.sigmoid(), scores.sigmoid()), 1) for box, objectness, scores in levels]
        joined = torch.cat([row.flatten(2) for row in rows], 2).permute(0, 2, 1)
        if not self.decoded:
            return joined
        points, steps = self.grid(levels, 0.0)
        xy, wh, rest = joined.split((2, 2, CLASSES + 1), 2)
        return torch.cat(((xy + points) * steps, wh.exp() * steps, rest), 2)


def export(net, *, free=False, size=SIZE):
    """The bytes of an ONNX file; ``free``: of any batch, height and width."""
    buffer = io.BytesIO()
    axes = {"images": {0: "batch", 2: "height", 3: "width"}} if free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net.eval(), (torch.zeros(1, 3, size, size),), buffer, opset_version=17, input_names=["images"],
            dynamic_axes=axes, dynamo=False,
        )  # fmt: skip
    return buffer.getvalue()
