"""Claims about what is printed where a user looks at a value."""

from __future__ import annotations

import gmm_pyro as gp


def test_values_say_what_they_are_in_a_line() -> None:
    data = gp.datasets.old_faithful()
    fit = gp.fit(gp.MixtureModel(2), data.x, method="laplace", n_starts=1)
    comparison = gp.compare(gp.MixtureModel(2), data, methods=["kmeans", "em"])
    assert repr(data) == "<old-faithful: 272 points of 2 features>"
    assert repr(fit.observations) == "<272 points of 2 features>"
    assert repr(fit.posterior) == "<posterior: 1 chain of 1000 draws, 2 components>"
    assert repr(fit).startswith("<fit by laplace of 2 components, full covariances: CONVERGED, ")
    assert repr(fit).endswith(f"objective {fit.objective:.6g} nats>")
    assert repr(comparison) == "<comparison of kmeans, em on old-faithful>"
