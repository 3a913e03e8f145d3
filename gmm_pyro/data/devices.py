"""Where and how numbers are held: torch devices, and the precision of floating-point numbers."""

from __future__ import annotations

from typing import Any

import torch

from .checks import shown

PRECISIONS = {"float32": torch.float32, "float64": torch.float64}
SINGLE_ONLY = ("mps",)  # kinds of devices without numbers in float64, which moments are held in


def device_of(device: Any) -> torch.device | None:
    """The device of this name, or None for None.

    Raises:
        ValueError: if torch has no such device here, with those that it has.

    Example:
        >>> device_of("cpu")
        device(type='cpu')
    """
    if device is None:
        return None
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError, ValueError, OverflowError):  # it is the name of none
        found = None
    here = devices()
    if found is None or not _is_among(found, here):
        listed = " or ".join(here)
        raise ValueError(f"device must be one that torch has here, {listed}; got {shown(device)}")
    return found


def devices() -> list[str]:
    """The devices that torch has here, and that hold float64."""
    names = ["cpu"]
    if torch.cuda.is_available():
        names += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    accelerator = getattr(torch, "accelerator", None)  # from torch 2.6 on
    if accelerator is not None and accelerator.is_available():
        kind = accelerator.current_accelerator().type
        if kind not in ("cuda", *SINGLE_ONLY):
            names += [f"{kind}:{i}" for i in range(accelerator.device_count())]
    return names


def _is_among(device: torch.device, names: list[str]) -> bool:
    """Whether a device is there; without a number, it is the current one of its kind."""
    kinds = {name.partition(":")[0] for name in names}
    return device.type in kinds if device.index is None else str(device) in (*names, "cpu:0")


def precision_of(dtype: Any) -> torch.dtype:
    """Single or double precision, by torch's object or its name; double for None.

    Raises:
        ValueError: if it is neither.
    """
    known = [None, *PRECISIONS, *PRECISIONS.values()]
    if isinstance(dtype, str | torch.dtype | None) and dtype in known:
        return PRECISIONS[dtype] if isinstance(dtype, str) else dtype or torch.float64
    raise ValueError(
        f"dtype must be torch.float64 or torch.float32, or the name of one, got {shown(dtype)}"
    )
