"""Claims about saved fits: what the files say to other libraries, and what they predict."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture as SklearnMixture
from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

import gmm_pyro as gp
from gmm_pyro.saved_fit import fit_facts, load_fit, plain, predict, save_fit
from oracles import PRIORED, clusters, table
from runs import quietly

NAMES = ["a", "b"]


@pytest.fixture(scope="module")
def data() -> gp.Dataset:
    return clusters(separation=4, seed=3)


@pytest.fixture(scope="module")
def frame(data) -> pd.DataFrame:
    return table(data.x, NAMES)


@pytest.fixture(scope="module")
def sampled(frame) -> gp.Fit:
    with quietly():  # so few draws may disagree
        return gp.fit(gp.MixtureModel(2), frame, "gibbs", n_draws=20, n_warmup=20, n_chains=2)


@pytest.fixture(scope="module")
def folder(sampled, data, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fits") / "new" / "fit"
    files = save_fit(sampled, folder, labels=data.labels, facts={"command": "x"})
    assert all(file.exists() for file in files)
    return folder


def sklearn_mixture(path: Path) -> SklearnMixture:
    """scikit-learn's mixture from the numbers in the file, without our code."""
    content = json.loads(path.read_text())
    k = len(content["weights"])
    result = SklearnMixture(k, covariance_type=content["covariance"])
    result.weights_ = np.array(content["weights"])
    result.means_ = np.array(content["means"])
    result.covariances_ = np.array(content["covariances"])
    result.precisions_cholesky_ = _compute_precision_cholesky(
        result.covariances_, content["covariance"]
    )
    return result


class TestFiles:
    def test_they_are_those_that_the_facts_list(self, folder) -> None:
        found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")}
        facts = json.loads((folder / "fit.json").read_text())
        assert found == {*facts["files"], "fit.json"}
        assert {"mixture.json", "posterior.nc", "labels.csv", "figures/density.png"} <= found

    def test_scikit_learn_agrees_from_the_mixture_file(self, folder, frame) -> None:
        peer, x = sklearn_mixture(folder / "mixture.json"), frame.to_numpy()
        shares = pd.read_csv(folder / "responsibilities.csv", index_col="row")
        np.testing.assert_allclose(shares, peer.predict_proba(x), atol=1e-12)
        labels = pd.read_csv(folder / "labels.csv")
        assert labels["row"].tolist() == list(range(len(x)))
        assert labels["label"].tolist() == peer.predict(x).tolist()

    def test_facts_agree_with_scikit_learn(self, folder, frame, data) -> None:
        facts = load_fit(folder).facts
        peer, x = sklearn_mixture(folder / "mixture.json"), frame.to_numpy()
        assert facts["log_likelihood"] == pytest.approx(peer.score(x))
        assert facts["bic"] == pytest.approx(peer.bic(x))
        assert facts["aic"] == pytest.approx(peer.aic(x))
        assert (facts["n"], facts["features"], facts["command"]) == (60, NAMES, "x")
        assert facts["options"]["n_draws"] == 20
        assert facts["adjusted_rand"] > 0.9

    def test_arviz_reads_the_draws(self, folder, sampled) -> None:
        import arviz

        draws = arviz.from_netcdf(folder / "posterior.nc")
        means = draws["posterior"]["means"]
        assert dict(means.sizes) == {"chain": 2, "draw": 20, "component": 2, "feature": 2}
        assert means.coords["feature"].values.tolist() == NAMES
        np.testing.assert_array_equal(means.values, sampled.posterior.draws["means"].numpy())

    def test_draws_that_are_too_many_are_thinned(self, sampled, tmp_path, monkeypatch) -> None:
        monkeypatch.setattr("gmm_pyro.plots.fit_figures", lambda *_, **__: {})
        monkeypatch.setattr("gmm_pyro.saved_fit.save.MOST_NUMBERS", 60 * 40 // 3)
        save_fit(sampled, tmp_path)
        means = xarray.open_dataset(tmp_path / "posterior.nc", group="posterior")["means"]
        kept = sampled.posterior.draws["means"][:, ::3].numpy()
        np.testing.assert_array_equal(means.values, kept)
        assert load_fit(tmp_path).facts["posterior_thinning"] == 3

    def test_a_fit_without_draws_in_another_format_replaces_it(self, frame, tmp_path) -> None:
        (tmp_path / "mine.txt").touch()
        for name in ("posterior.nc", "labels.csv", "fit.json"):
            (tmp_path / name).touch()
        fit = gp.fit(gp.MixtureModel(2, "diag"), frame, "em")
        with pytest.raises(FileExistsError, match="the folder is not empty"):
            save_fit(fit, tmp_path)
        save_fit(fit, tmp_path, table_format="parquet", force=True)
        names = {path.name for path in tmp_path.iterdir()}
        assert names == {"mixture.json", "fit.json", "figures", "mine.txt"} | {
            "labels.parquet",
            "responsibilities.parquet",
        }
        shares = pd.read_parquet(tmp_path / "responsibilities.parquet")
        peer = sklearn_mixture(tmp_path / "mixture.json").predict_proba(frame.to_numpy())
        np.testing.assert_allclose(shares[["component_0", "component_1"]], peer, atol=1e-12)

    def test_what_is_not_finite_is_null(self) -> None:
        found = plain({"a": float("nan"), "b": [float("-inf"), torch.tensor(1.5)], "c": Path("d")})
        assert json.dumps(found) == '{"a": null, "b": [null, 1.5], "c": "d"}'

    def test_facts_of_an_approximation_have_its_k_hat(self, frame) -> None:
        fit = gp.fit(gp.MixtureModel(2), frame, "laplace", n_draws=100)
        facts = fit_facts(fit)
        assert facts["diagnostics"]["k_hat"] == fit.k_hat
        assert facts["priors"] == "Priors"
        assert "adjusted_rand" not in facts


class TestPictures:
    def test_of_draws_there_is_a_panel_a_feature_and_a_trace_before_and_after(
        self, sampled
    ) -> None:
        figures = gp.plots.fit_figures(sampled)
        assert [ax.get_xlabel() for ax in figures["density"].axes] == NAMES
        (key,) = figures["density"].legends
        texts = [text.get_text() for text in key.get_texts()]
        assert texts == ["data", "94% band", "posterior mean"]
        assert [ax.get_title() for ax in figures["trace"].axes] == ["as sampled", "aligned"]

    def test_of_a_point_estimate_there_is_one_density_and_a_trace_if_it_climbed(
        self, frame
    ) -> None:
        fit = gp.fit(gp.MixtureModel(2), frame[["a"]])
        figures = gp.plots.fit_figures(fit, name="mine")
        assert len(figures["density"].axes) == 1
        assert figures["trace"].axes[0].get_legend().get_texts()[0].get_text() == "mine"
        assert "trace" not in gp.plots.fit_figures(replace(fit, history=fit.history[:1]))


class TestPrediction:
    x = np.array([[0.0, 0.0], [4.0, 1.0], [-300.0, 80.0]])

    def test_by_the_point_estimate_it_is_scikit_learns(self, folder) -> None:
        peer = sklearn_mixture(folder / "mixture.json")
        found = predict(load_fit(folder).mixture, self.x)
        assert found.labels.tolist() == peer.predict(self.x).tolist()
        np.testing.assert_allclose(found.responsibilities, peer.predict_proba(self.x), atol=1e-12)
        np.testing.assert_allclose(found.log_density, peer.score_samples(self.x), rtol=1e-9)

    @pytest.mark.parametrize("at_once", [4_000_000, 1])
    def test_by_the_draws_it_is_their_mean(self, folder, at_once, monkeypatch) -> None:
        monkeypatch.setattr("gmm_pyro.saved_fit.prediction.NUMBERS", at_once)
        posterior = xarray.open_dataset(folder / "posterior.nc", group="posterior").load()
        draws = posterior.stack(s=("chain", "draw")).transpose("s", ...)
        scales, correlations = draws["scales"].values, draws["correlations"].values
        matrices = np.eye(2) + correlations[..., None] * (1 - np.eye(2))
        covariances = scales[..., :, None] * matrices * scales[..., None, :]
        logits = np.array(
            [
                [
                    np.log(draws["weights"].values[s, k])
                    + multivariate_normal(draws["means"].values[s, k], covariances[s, k]).logpdf(
                        self.x
                    )
                    for k in range(2)
                ]
                for s in range(40)
            ]
        )
        log_density = logsumexp(logits, axis=1)
        shares = np.exp(logits - log_density[:, None]).mean(0).T
        found = predict(load_fit(folder).posterior(), self.x)
        np.testing.assert_allclose(found.responsibilities, shares, atol=1e-12)
        np.testing.assert_allclose(
            found.log_density, logsumexp(log_density, axis=0) - np.log(40), rtol=1e-9
        )
        assert found.labels.tolist() == shares.argmax(1).tolist()

    @pytest.mark.filterwarnings("ignore:laplace describes one of")  # of one feature
    @pytest.mark.parametrize(("family", "d"), [*((family, 2) for family in PRIORED), ("full", 1)])
    def test_draws_of_every_family_are_read_as_they_were(self, family, d, data, tmp_path) -> None:
        fit = gp.fit(gp.MixtureModel(2, family), data.x[:, :d], "laplace", n_draws=3)
        fit.mixture.save(tmp_path / "mixture.json")
        group = fit.to_arviz()["posterior"]
        draws = getattr(group, "to_dataset", lambda: group)()  # ArviZ 1.x has a node of a tree
        draws.to_netcdf(tmp_path / "posterior.nc", group="posterior", engine="h5netcdf")
        found = predict(load_fit(tmp_path).posterior(), self.x[:, :d])
        expected = predict(fit.posterior, self.x[:, :d])
        torch.testing.assert_close(found.log_density, expected.log_density)
        torch.testing.assert_close(found.responsibilities, expected.responsibilities)

    def test_a_table_has_a_row_a_point(self, folder) -> None:
        table = predict(load_fit(folder).mixture, self.x).frame()
        assert list(table) == ["row", "label", "log_density", "component_0", "component_1"]
        assert table["row"].tolist() == [0, 1, 2]


class TestMistakes:
    def test_a_fit_without_draws_says_so(self, data, tmp_path) -> None:
        fit = gp.fit(gp.MixtureModel(2), data.x)
        fit.mixture.save(tmp_path / "mixture.json")
        (tmp_path / "fit.json").write_text(json.dumps(plain(fit_facts(fit))))
        with pytest.raises(ValueError, match="a fit by em, which has a point estimate only"):
            load_fit(tmp_path).posterior()

    def test_draws_of_another_fit_are_refused(self, folder, tmp_path) -> None:
        gp.datasets.bimodal().truth.save(tmp_path / "mixture.json")
        (tmp_path / "posterior.nc").write_bytes((folder / "posterior.nc").read_bytes())
        with pytest.raises(ValueError, match=r"means must have shape \(2, 1\), got \(2, 2\)"):
            load_fit(tmp_path).posterior()

    @pytest.mark.parametrize("text", ["{", "[1]"])
    def test_facts_that_are_no_facts_are_refused(self, text: str, tmp_path) -> None:
        gp.datasets.bimodal().truth.save(tmp_path / "mixture.json")
        (tmp_path / "fit.json").write_text(text)
        with pytest.raises(ValueError, match=r"fit\.json"):
            load_fit(tmp_path)


class TestColumnsBeside:
    def test_they_stand_behind_the_row(self, sampled, frame, tmp_path) -> None:
        kept = pd.DataFrame({"id": [f"n{i}" for i in range(len(frame))]})
        save_fit(sampled, tmp_path / "fit", beside=kept)
        for name in ("labels", "responsibilities"):
            table = pd.read_csv(tmp_path / "fit" / f"{name}.csv")
            assert list(table)[:2] == ["row", "id"]
            assert table["id"].tolist() == kept["id"].tolist()

    @pytest.mark.parametrize(
        ("columns", "message"),
        [
            ({"id": [1, 2]}, "kept columns must have 60 rows, got 2"),
            ({"component_0": range(60)}, "column 'component_0' cannot stand beside predictions"),
        ],
    )
    def test_those_that_do_not_fit_are_refused(self, sampled, tmp_path, columns, message) -> None:
        with pytest.raises(ValueError, match=message):
            save_fit(sampled, tmp_path / "fit", beside=pd.DataFrame(columns))
        assert list(tmp_path.iterdir()) == []
