"""How far the outputs of quantized networks are from what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path


def read(path: Path) -> list[np.ndarray] | None:
    """A contender's heads, None if it left none."""
    if not path.exists():
        return None
    with np.load(path) as held:
        return [held[name] for name in held.files]


def cosine(ours: list[np.ndarray], theirs: list[np.ndarray]) -> float:
    """The least of the heads' cosines."""
    values = []
    for one, other in zip(ours, theirs):
        a, b = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
        values.append(float(a @ b / max(np.linalg.norm(a) * np.linalg.norm(b), 1e-30)))
    return min(values)


def compare(folder: Path, processors: list[str], engines: list[str]) -> dict[str, Any]:
    """Of every engine and processor: the cosine with the float network, and with the same file where products of bytes
    do not saturate (the first processor); ours with the plain reference, and how many values differ from that."""
    plain = read(folder / processors[0] / "onnxruntime-float.npz")
    told: dict[str, Any] = {}
    for engine in engines:
        name = f"{engine.replace(' ', '-')}.npz"
        first = folder / processors[0] / name
        exact = read(folder / "reference" / "ours-reference.npz" if engine == "ours" else first)
        for processor in processors:
            made = read(folder / processor / name)
            if made is None or plain is None:
                continue
            values: dict[str, Any] = {"float": cosine(made, plain)}
            if exact is not None:
                values["itself"] = cosine(made, exact)
                values["different"] = sum(int((one != other).sum()) for one, other in zip(made, exact))
            told.setdefault(engine, {})[processor] = values
    return told
