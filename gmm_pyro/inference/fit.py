"""`fit`: from a model and data to a result, whatever the method."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ..data.observations import observe
from ..data.partitioned import refuse_partitioned
from ..data.points import Observations
from ..model.declaration import require_sites
from ..model.program import MixtureModel
from ..reduction.decision import decided
from ..running.seeds import Stream
from ..running.threads import one_thread_a_product
from ..running.watching import shown_alone
from .chains.sampling import log_ratios
from .ended import result_of
from .fixing import conditioned, holding_all
from .kept import SECONDS, place_of, run_kept
from .methods import Choice, choice
from .ordering import in_stable_order
from .result import Result
from .soundness import Soundness
from .task import FitWarning, Status, Task
from .warned import complaints, held_fixed, integrated_out
from .weighing.deciding import WAITING, by_particles
from .weighing.evidence import Evidence
from .weighing.unknown import unknown_evidence

if TYPE_CHECKING:
    import pandas as pd

    from ..combining import Combination


@dataclass(frozen=True, eq=False, repr=False)
class Fit(Result):
    """What every method returns: the attributes of `Result`, and what ArviZ makes of them."""

    @cached_property
    def k_hat(self) -> float | None:
        """Pareto k-hat of the draws of an approximation (svi, vb, laplace), None for other methods.

        Below 0.7, importance weights could turn them into draws from the posterior near the mode;
        above, means and deviations are not to be trusted (Vehtari et al. 2024).
        """
        if self.posterior is None or "log_q" not in self.posterior.statistics:
            return None
        from ..inference_data import psis_k_hat

        with one_thread_a_product():
            ratios = log_ratios(self.model.log_density(self.observations), self.posterior.raw())
        return psis_k_hat(ratios.cpu().numpy())

    @property
    def log_evidence(self) -> float:
        """log p(x) in nats, with all parameters integrated out and numberings counted once.

        Its standard error is `evidence.log_evidence_se`, and what it is estimated by
        `evidence.evidence_by`. It is NaN where estimates have failed.

        Raises:
            ValueError: if the method has no estimate of it.

        Example:
            >>> from gmm_pyro.datasets import bimodal
            >>> found = fit(MixtureModel(2), bimodal().x, method="laplace")
            >>> found.diagnostics["log_evidence"] == found.log_evidence
            True
        """
        return self.evidence.log_evidence

    @cached_property
    def evidence(self) -> Evidence:
        """The estimate of the log evidence, with `log_evidence`, `log_evidence_se`, `evidence_by`.

        It is among the diagnostics, too, but for two kinds of fits, where it is made when it is
        asked for first, and kept:

        - by gibbs or nuts, where bridge sampling is not precise: by sequential Monte Carlo, which
          may take far longer than the fit. The diagnostics then have what bridge sampling says, as
          `bridge_log_evidence` and `bridge_log_evidence_se`;
        - of a number of components, a concentration or a scale that is unknown: about as long as a
          fit of the likeliest number. It is that one's evidence, times the prior and over the
          posterior of this number and of what else is unknown (Chib 1995).

        Raises:
            ValueError: if the method has no estimate of it.
            KeyboardInterrupt: if that is interrupted; the fit is as before.
        """
        found = self._evidence()
        if found is None:
            raise ValueError(
                f"this fit by {self.method} has no estimate of the evidence: laplace has, and "
                "gibbs and nuts where a proposal comes near the posterior or points are few"
            )
        return found

    @one_thread_a_product()
    def _evidence(self) -> Evidence | None:
        """The one among the diagnostics, or one that is made now; None if there is none."""
        posterior, told = self.posterior, self.diagnostics
        if "log_evidence" in told or posterior is None:
            return Evidence.among(told)
        if self.model.hierarchical:
            return unknown_evidence(self.model, posterior, self.seed, self._evidence_of)
        if told.get("evidence_by") != WAITING:
            return None
        task = Task(self.method, self.model, self.observations, self.options)
        density = self.model.log_density(self.observations)
        return by_particles(density, posterior, told, task.generator(Stream.PARTICLES))

    def _evidence_of(self, model: MixtureModel) -> Evidence | None:
        """That of another model of the same data, by Gibbs sampling."""
        chosen = choice("gibbs", {"seed": Stream.EVIDENCE.seed(self.seed)})
        found = fit_quietly(model, self.observations, chosen)
        if found.status is Status.INTERRUPTED:
            raise KeyboardInterrupt
        return found._evidence()

    @property
    def solutions(self) -> pd.DataFrame:
        """The different solutions that the search has come to: is the optimum alone?

        A row for each, sound ones first, and of these the likeliest first: `log_likelihood` (of vb
        the `bound`) of the points that the search went by (`search.n`, all or a part), how many
        nats it is `behind` the first, whether it is `sound`, how many `times` the search has come
        there, and after how many `moves` from a start.

        Raises:
            ValueError: if the method does not begin with a search, as those that begin at random.

        Example:
            >>> from gmm_pyro.datasets import bimodal
            >>> table = fit(MixtureModel(2), bimodal().x).solutions
            >>> list(table), bool(table["sound"].iloc[0])
            (['log_likelihood', 'behind', 'sound', 'times', 'moves'], True)
        """
        if self.search is None:
            raise ValueError(f"{self.method} does not search for the likeliest mixture")
        return self.search.frame()

    @property
    def modes(self) -> pd.DataFrame:
        """The modes of the posterior that an approximation knows of: is its mode alone?

        A row for each within 10 nats of evidence of the first: `log_density` of the unconstrained
        vector, `log_evidence` of what is around it and `log_evidence_se`, how many nats it is
        `behind` the first, its `share` of the evidence of all, and whether it is `described`, so
        that there are draws from around it. Numberings of the components count once where the prior
        takes them for the same.

        The evidence is Laplace's approximation, which has no standard error; with `modes="all"`,
        that of importance sampling where weights have a mean (laplace), or the ELBO (svi).

        Raises:
            ValueError: if they are not known: of other methods, from a start that is given, and of
                a climb that has not converged.

        Example:
            >>> from gmm_pyro.datasets import bimodal
            >>> table = fit(MixtureModel(2), bimodal().x, "laplace").modes
            >>> len(table), table["share"].tolist()
            (1, [1.0])
        """
        if self.found_modes is None:
            raise ValueError(f"{self.method} does not know of other modes here")
        return self.found_modes.frame()

    def combine(self, by: str = "entropy", *, threshold: float | None = None) -> Combination:
        """Merge components of the mixture into clusters that need not be Gaussians.

        It goes by the points of the fit, with all that is known of them: weights, noise of the
        measurements, missing values, labels.

        Args:
            by: "entropy", "overlap" or "bhattacharyya", as `gmm_pyro.combine` has them.
            threshold: as `gmm_pyro.combine` has it.

        Returns:
            The combination: `labels()`, `clusters()`, `tree`, `n_clusters`, `elbow`, `plot()`.

        Raises:
            ValueError: if there is no such rule, or its threshold is not above 0 and below 1.

        Example:
            >>> from gmm_pyro.datasets import iris
            >>> found = fit(MixtureModel(5), iris().x).combine()
            >>> found.n_clusters, found.labels().bincount().tolist()
            (3, [50, 91, 9])
        """
        from ..combining import combine

        refuse_partitioned(self.observations, "combine")
        weight = self.observations.sample_weight
        return combine(
            self.mixture, self.observations, by, sample_weight=weight, threshold=threshold
        )

    def to_arviz(self, **options: Any) -> Any:
        """The fit as ArviZ InferenceData (0.x) or DataTree (1.x).

        Args:
            **options: those of `gmm_pyro.inference_data.to_arviz`, which says what is in it:
                `constants=True` for correlation matrices, `by_feature=True` for pictures of the
                data a feature at a time, `n_prior_draws`.

        Raises:
            ValueError: if the method has no draws.
        """
        refuse_partitioned(self.observations, "to_arviz, with log-likelihoods of every point,")
        from ..inference_data import to_arviz  # arviz takes seconds to import

        return to_arviz(self, **options)


def fit(
    model: MixtureModel,
    x: Any,
    method: str = "em",
    *,
    sample_weight: Any = None,
    missing: str | None = None,
    noise: Any = None,
    projection: Any = None,
    labels: Any = None,
    fixed: Mapping[str, Any] | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = SECONDS,
    **options: Any,
) -> Fit:
    """Fit a mixture model to data.

    Args:
        model: the model. Parameters of its priors that require gradients are held as they are,
            which warns; the model's program and its `log_density` are for learning them.
        x: data of shape (n, d): anything that `numpy.asarray` takes, a torch tensor, a pandas or
            polars frame, an array of xarray; a one-dimensional array is univariate data. A Dask
            array or frame, or a folder or pattern of files of Parquet, is fitted where it is.
        method: a name in `METHODS`.
        sample_weight: how often each point counts, shape (n,), or None. Of data in partitions this
            and labels are Dask's, in the same ones, or names of columns, which hold no feature.
        missing: what to do where values of x are missing (NaN): "integrate" them out, exactly, if
            it does not depend on a value whether it is missing (missing at random), or "refuse"
            them. None integrates, and warns of how many there are.
        noise: of x, of which the mixture is to be free (extreme deconvolution): standard deviations
            (n, d), covariances (n, d, d), or those of all, (d,) or (d, d); None where x is exact.
        projection: what x shows of the mixture's features, where it is not these: matrices R of
            shape (n, m, d), or (m, d) for all, so that a row of x is R v + noise of a point v.
        labels: the components that points are known to come from: numbers from 0 to k - 1, shape
            (n,), with -1, NaN or None where it is not known, or which components are possible,
            shape (n, k). They number the components; the likelihood is that of points and labels.
        fixed: what stays as it is, by name: weights, means and covariances in the shapes of a
            mixture's, NaN where they are free (a covariance is held as a whole), or sites of the
            model. Free weights share what the others leave. `pyro.condition` means the same.
        dtype: type of number of the work on points, by torch's object or name; float64 if None.
        device: torch device, one that is there and holds float64; where the data are, if None.
        checkpoint: folder that keeps a long fit: the same call goes on there, to the same bits.
        checkpoint_seconds: how many seconds of it may be lost.
        **options: the method's options; `METHODS[method].options` documents them.

    Returns:
        The fit. One that did not converge, or that is degenerate, also warns.

    Raises:
        TypeError: if the model is not one.
        ValueError: if the data, the method or an option's value is not valid.
        OptionError: if the method has no such option.
        OSError: if the checkpoint cannot be written, is another fit's, or has a run at work there.

    Example:
        >>> from gmm_pyro.datasets import bimodal
        >>> result = fit(MixtureModel(2), bimodal().x, method="em")
        >>> result.status.name, result.mixture.n_components
        ('CONVERGED', 2)
    """
    model, conditions = conditioned(model)
    model = held_fixed(model)
    place = place_of(checkpoint, checkpoint_seconds, x)
    chosen = choice(method, options).kept_in(place)  # mistakes in words come before those in data
    started = time.perf_counter()
    with one_thread_a_product(), shown_alone("data", silent=not chosen.options.progress):
        observations = observe(
            x,
            n_components=model.fewest_points,
            sample_weight=sample_weight,
            feature_names=model.feature_names,
            dtype=dtype,
            device=device,
            missing=missing or "integrate",
            noise=noise,
            projection=projection,
            labels=model.known_labels(labels),
        )
    model = holding_all(model, conditions, fixed, observations)
    if missing is None and observations.has_holes:
        warnings.warn(integrated_out(observations), FitWarning, stacklevel=2)
    result = fit_quietly(model, observations, chosen, started)
    for message in complaints(result):
        warnings.warn(message, FitWarning, stacklevel=2)
    return result


@one_thread_a_product()
def fit_quietly(
    model: MixtureModel, observations: Observations, chosen: Choice, started: float | None = None
) -> Fit:
    """As `fit`, of data that are checked already; `complaints` has what it would warn of."""
    return in_stable_order(fit_observations(model, observations, chosen, started))


def fit_observations(
    model: MixtureModel, observations: Observations, chosen: Choice, started: float | None = None
) -> Fit:
    """The fit of a method to data that are checked already; it does not warn.

    Args:
        model: the model.
        observations: the data.
        chosen: the method and its options.
        started: when `seconds` of the result begin (`time.perf_counter`); now, if None.
    """
    started = time.perf_counter() if started is None else started
    chosen.refuse_unfit(model)
    chosen.refuse_away(observations)
    method = chosen.method
    if not method.by_m_steps:
        require_sites(model.family, f"fits by {chosen.name}")
    model, observations = model.beside_noise(observations)
    if method.priors is not None:
        model = replace(model, priors=model.priors or method.priors()).specialise(observations)
    chosen = replace(chosen, options=chosen.options.settled(model))
    if not method.through_pyro:
        wanted = chosen.options.reductions
        rows = chosen.options.batch_size if method.minibatches else None  # type: ignore[attr-defined]
        observations = decided(observations, model.family, model.n_components, *wanted, rows=rows)
    task = Task(chosen.name, model, observations, chosen.options)
    surplus = model.surplus if method.priors is not None else None
    rule = Soundness.for_task(task) if method.likeliest else None
    outcome = run_kept(method.run, task, chosen.place)
    return Fit(**vars(result_of(task, outcome, surplus, rule, started)))
