"""torch, an extra: imported where it is needed and not before, so that a recipe builds without it."""

from __future__ import annotations

import os
from typing import Any

from mlu_agent.errors import UserError

NO_TORCH = (
    "calibration and the float reference need torch: pip install 'mlu-export[torch]', "
    "or build from a recipe with --recipe"
)


def import_torch(missing: str = NO_TORCH) -> Any:
    """The torch package; raises UserError with the sentence ``missing``, the remedy, where it is not installed."""
    # Spinning at barriers makes torch many times slower beside a busy neighbour; sleeping costs little when alone.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import torch  # noqa: PLC0415 - the extra [torch]
    except ImportError as error:
        raise UserError(missing) from error
    # More threads sum in another order. Pictures are spread over processes instead (shards/), which changes nothing.
    torch.set_num_threads(1)
    return torch
