"""Short ways to write Darknet sections down."""

from __future__ import annotations

from ..cfg import Section


def section(kind: str, **options: int | float | str) -> Section:
    """A section with its options as the text that a cfg holds."""
    return Section(kind, {key: str(value) for key, value in options.items()})


def conv(filters: int, size: int, stride: int = 1, activation: str = "leaky", groups: int = 1) -> Section:
    """A convolution with batch-norm that keeps the size (at stride 1)."""
    return section(
        "convolutional",
        batch_normalize=1,
        filters=filters,
        size=size,
        stride=stride,
        pad=1,
        groups=groups,
        activation=activation,
    )


def head(filters: int) -> Section:
    """The 1x1 convolution without batch-norm in front of a yolo layer."""
    return section("convolutional", filters=filters, size=1, stride=1, pad=1, activation="linear")


def yolo(mask: str, anchors: str, classes: int = 80, scale_x_y: float = 1.0) -> Section:
    """A head; ``anchors`` are all pairs in pixels of the input, of which ``mask`` names this head's."""
    return section("yolo", mask=mask, anchors=anchors, classes=classes, scale_x_y=scale_x_y)


def shortcut(layer: int) -> Section:
    """The sum of the last tensor and that of an earlier layer, a negative number of layers away."""
    return Section("shortcut", {"from": str(layer), "activation": "linear"})


def pool_pyramid(sizes: tuple[int, int, int] = (5, 9, 13)) -> list[Section]:
    """The last tensor's maximum over three sizes of window, the largest first, and the tensor itself behind them."""
    small, middle, large = (section("maxpool", stride=1, size=size) for size in sizes)
    return [
        small,
        section("route", layers=-2),
        middle,
        section("route", layers=-4),
        large,
        section("route", layers="-1,-3,-5,-6"),
    ]
