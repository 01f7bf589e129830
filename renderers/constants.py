"""Numbers as tensors, made once for each device: a copy to a GPU makes the host wait for all work that is under way."""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor


def constant(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    """``values`` (a number, or tuples of them in tuples) as a tensor that is shared: do not change it in place."""
    if torch.compiler.is_compiling():  # what a trace makes holds no numbers, and must not be found after it
        return torch.tensor(values, dtype=dtype, device=device)
    return _cached_tensor(values, dtype, torch.device(device))


@lru_cache(maxsize=1024)
def _cached_tensor(values: Any, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # one made in an evaluation serves in training too
        return torch.tensor(values, dtype=dtype, device=device)


def pick(values: Tensor, columns: tuple[int, ...]) -> Tensor:
    """Those of the last dimension: (..., P) to (..., number of columns)."""
    return values.index_select(-1, constant(columns, torch.long, values.device))
