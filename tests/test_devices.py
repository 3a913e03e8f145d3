"""Devices that are not there are refused by name, with those that are."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.data.devices import device_of, devices, precision_of

X = np.random.default_rng(0).normal(size=(20, 2))


@pytest.mark.parametrize(
    "device", ["cuda", "gpu", "cuda:7", "mps", "meta", "", 0, -1, 2.5, ["cpu"], object(), 10**30]
)
@pytest.mark.parametrize("method", ["kmeans", "em", "gibbs"])
def test_a_device_that_is_not_there_is_named(
    device: Any, method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    message = r"^device must be one that torch has here, cpu( or \w+:\d)*; got "
    with pytest.raises(ValueError, match=message):
        gp.fit(gp.MixtureModel(2), X, method, device=device)


def test_cards_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices()[:3] == ["cpu", "cuda:0", "cuda:1"]
    assert device_of("cuda") == torch.device("cuda")
    assert device_of("cuda:1") == torch.device("cuda:1")
    message = "device must be one that torch has here, cpu or cuda:0 or cuda:1; got 'cuda:7'"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        device_of("cuda:7")


@pytest.mark.parametrize("device", [None, "cpu", torch.device("cpu"), torch.device("cpu", 0)])
def test_the_processor_is_there(device: Any) -> None:
    assert gp.fit(gp.MixtureModel(1), X, device=device).mixture.means.device.type == "cpu"


def test_the_command_line_says_one_line(run) -> None:
    done = run("fit", "bimodal", "--option", "device=gpu", "--out", "results")
    assert done.code == 2
    assert done.err.count("\n") == 1
    assert "device must be one that torch has here, cpu" in done.err
    assert "got 'gpu'" in done.err


@pytest.mark.parametrize("dtype", [["float32"], np.zeros(2), torch.zeros(2), 0, ""], ids=repr)
def test_what_is_no_precision_is_refused(dtype: Any) -> None:
    with pytest.raises(ValueError, match="^dtype must be torch.float64 or torch.float32"):
        precision_of(dtype)
