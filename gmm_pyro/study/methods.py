"""From what a user says to the methods of a study: names, dictionaries, estimators, functions."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from ..data.checks import check_choice, check_list, shown
from ..inference.methods import METHODS, in_full
from .entries import OWN, Entry
from .estimators import Estimator, is_estimator
from .functions import Function, imported, name_of
from .ours import Ours

OF_MODEL = ("covariance", "priors")
OF_STUDY = ("seed", "progress")  # which a study gives to all methods


def entries_of(methods: Any, covariance: str, priors: Any) -> tuple[Entry, ...]:
    """All methods of a study.

    Args:
        methods: what the user said, one a method.
        covariance: covariance family of our methods that are not told another.
        priors: their priors.

    Raises:
        ValueError: if one is none, or two have one name.
    """
    single = isinstance(methods, str | Mapping) or callable(methods) or is_estimator(methods)
    listed = [methods] if single else check_list("methods", methods, "methods")
    found = tuple(method_from(one, covariance=covariance, priors=priors) for one in listed)
    names = [entry.name for entry in found]
    twice = [name for name in names if names.count(name) > 1]
    if not found or twice:
        got = f"two that are called {twice[0]!r}: give one a name" if twice else "none"
        raise ValueError(f"methods must hold one or more methods of different names, got {got}")
    return found


def method_from(value: Any, *, covariance: str = "full", priors: Any = None) -> Entry:
    """A method of a study.

    Args:
        value: the name of one of ours; a clusterer or a mixture of scikit-learn; a function of
            points that gives labels or a mixture; "module:name" for one of these; or a dictionary
            with one of them as `method`, and perhaps a `name`, `n_components` ("own" for what it
            has by itself), `covariance` and `priors` of one of ours, and other options.
        covariance: covariance family, if the method is one of ours and is not told another.
        priors: priors in the same way.

    Raises:
        TypeError: if it is nothing of that kind.
        ValueError: if there is no such method, option or value.

    Example:
        >>> method_from({"method": "svi", "guide": "multivariate"}).name
        'svi guide=multivariate'
    """
    told = dict(value) if isinstance(value, Mapping) else {"method": value}
    if "method" not in told:
        raise ValueError(f"methods must have a 'method' in a dictionary, got {shown(value)}")
    if not isinstance(told.get("name"), str | None):
        raise TypeError(f"the name of a method must be a word, got {shown(told['name'])}")
    method, written = told.pop("method"), None
    if isinstance(method, str) and ":" in method and method not in METHODS:
        method, written = imported(method), method
    if isinstance(method, str):
        return _ours(method, told, {"covariance": covariance, "priors": priors})
    return _theirs(method, told, written)


def _theirs(method: Any, told: dict[str, Any], written: str | None) -> Entry:
    """An estimator or a function."""
    name, k = told.pop("name", None), told.pop("n_components", None)
    if is_estimator(method):
        return _estimator(name, method, told, k)
    if callable(method):
        return Function(name or _called(method), k, told, written or name_of(method), method)
    raise TypeError(
        "methods must hold names of methods, estimators or functions, or dictionaries with one of "
        f"them, got {shown(method)}"
    )


def _ours(method: str, told: dict[str, Any], of_study: Mapping[str, Any]) -> Ours:
    """One of the package's own methods."""
    name, n_components = told.pop("name", None), told.pop("n_components", None)
    if n_components == OWN:
        raise ValueError(f"{method} has no number of components of its own: n_components gives it")
    model = {**of_study, **{word: told.pop(word) for word in OF_MODEL if word in told}}
    for word in OF_STUDY:
        if word in told:
            raise ValueError(f"{word} is no option of one method: it is the study's own")
    full, options = in_full(method, told)
    check_choice("methods", full, METHODS)
    own = {word: value for word, value in model.items() if value is not of_study[word]}
    return Ours(
        name or _title(method, {**told, **own}),
        n_components,
        options,
        full,
        method=full,
        covariance=model["covariance"],
        priors=model["priors"],
    )


def _estimator(name: str | None, method: Any, told: dict[str, Any], k: Any) -> Entry:
    """An estimator or a class of them, with the parameters that it is told."""
    from sklearn.base import clone

    made = method(**told) if isinstance(method, type) else clone(method).set_params(**told)
    kind = type(made)
    given = made.get_params(deep=False)
    usual = kind().get_params(deep=False) if _takes_nothing(kind) else {}
    options = {word: value for word, value in given.items() if _differs(value, usual.get(word))}
    return Estimator(name or kind.__name__, k, options, name_of(kind), estimator=made)


def _takes_nothing(kind: type) -> bool:
    """Whether all parameters of an estimator have defaults."""
    parameters = inspect.signature(kind).parameters.values()
    return all(p.default is not p.empty or p.kind in (p.VAR_KEYWORD,) for p in parameters)


def _differs(value: Any, usual: Any) -> bool:
    return type(value) is not type(usual) or repr(value) != repr(usual)


def _title(method: str, told: Mapping[str, Any]) -> str:
    """A method and what it is told, where that is short."""
    words = [
        f"{name}={value}" for name, value in told.items() if isinstance(value, str | int | float)
    ]
    return " ".join([method, *words])


def _called(function: Any) -> str:
    """What a function is called in tables."""
    name = str(getattr(function, "__name__", type(function).__name__))
    return "function" if name == "<lambda>" else name
