"""Priors from a TOML file, which has the tables of `model.prior_tables`."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data.points import Observations
    from ..model.program import MixtureModel


@dataclass(frozen=True)
class PriorFile:
    """What a file says of priors.

    Attributes:
        path: the file.
        content: its tables, whose names are checked.
    """

    path: Path
    content: Mapping[str, Any]

    def facts(self) -> dict[str, Any]:
        """The file and its content, for a file of settings."""
        return {"file": self.path, "content": dict(self.content)}


def read_priors(path: Path | None) -> PriorFile | None:
    """What a file says of priors; None without one.

    Raises:
        ValueError: if it is no TOML, or names what there is not.
        OSError: if it cannot be read.
    """
    from ..disk.untrusted import content_named
    from ..model.prior_tables import check_tables

    if path is None:
        return None
    with content_named(f"{path} cannot be read", ValueError):
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    with content_named(str(path), ValueError):
        check_tables(content, "the file")
    return PriorFile(path, content)


def refuse_without_priors(methods: Sequence[str], file: PriorFile | None) -> None:
    """Refuse priors for methods none of which has any.

    Raises:
        ValueError: if that is so.
    """
    from ..inference.methods import METHODS
    from ..model.prior_tables import CONJUGATE

    rows = [METHODS[name] for name in methods if name in METHODS]
    if file is None or not rows:  # unknown names are refused elsewhere
        return
    names = " and ".join(methods)
    if all(row.priors is None for row in rows):
        having = ", ".join(name for name, row in METHODS.items() if row.priors is not None)
        raise ValueError(f"--priors is for methods with priors, {having}; got {names}")
    if CONJUGATE not in file.content and all(row.conjugate for row in rows):
        raise ValueError(f"{file.path}: {names} needs a table [{CONJUGATE}], and no other")


def with_priors(
    model: MixtureModel, file: PriorFile | None, observations: Observations
) -> MixtureModel:
    """The model with the priors that a file gives it, which are checked with these data.

    Raises:
        ValueError: if they are none, or do not fit the model.
    """
    from ..disk.untrusted import content_named
    from ..model.prior_tables import priors_from

    if file is None:
        return model
    with content_named(str(file.path), ValueError):
        priors = priors_from(file.content, observations.feature_names, model.n_components)
        found = replace(model, priors=priors)
        found.specialise(observations).sites()
        return found
