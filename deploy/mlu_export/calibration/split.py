"""Which calibration pictures only judge: what was fitted to some pictures looks good on those, so others have to say.

A folder is dealt into ``GROUPS`` groups by the pictures' own bytes, so the same pictures are dealt alike whatever their
names and folder, and two copies of one never lie on both sides. Each seed lets another group judge; seeds that differ
by a multiple of ``GROUPS`` deal anew. So seeds 0 to 3 let each picture judge once.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from ..support.circumstances import file_digest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

GROUPS = 4
FEWEST = 8  # of fewer pictures none can be spared, and none would tell anything


def split(paths: Sequence[Path], seed: int = 0) -> tuple[list[Path], list[Path]]:
    """Those that are fitted to and those that judge, each in the order given: three quarters and one quarter.

    Nobody judges where fewer than ``FEWEST`` differ. Raises UserError for a file that cannot be read.
    """
    dealt = deal(paths, seed // GROUPS)
    if not dealt:
        return list(paths), []
    judging = seed % GROUPS
    fit = [path for path, group in zip(paths, dealt) if group != judging]
    return fit, [path for path, group in zip(paths, dealt) if group == judging]


def deal(paths: Sequence[Path], deck: int = 0) -> list[int]:
    """The group of each picture, 0 to ``GROUPS - 1``, as many in each as can be; another ``deck`` deals otherwise.

    None is dealt where fewer than ``FEWEST`` differ: copies of one picture tell no more than it does.
    """
    digests = [hashlib.sha256(f"{deck} {file_digest(path)}".encode()).hexdigest() for path in paths]
    places = {digest: place for place, digest in enumerate(sorted(set(digests)))}
    if len(places) < FEWEST:
        return []
    return [places[digest] % GROUPS for digest in digests]
