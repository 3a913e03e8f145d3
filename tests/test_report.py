"""Claims about the report of a comparison: what is in it, and how it comes to its place."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("MPLBACKEND", "Agg")  # before pyplot is imported: no window, no display

import arviz
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.spatial.distance import jensenshannon
from sklearn.metrics import adjusted_rand_score

from gmm_pyro.comparison import Comparison, columns, compare, density_distances
from gmm_pyro.datasets import Dataset, make_mixture
from gmm_pyro.datasets.identity import fingerprint
from gmm_pyro.inference.fit import fit
from gmm_pyro.inference.modes.found import FoundMode, FoundModes
from gmm_pyro.inference.searched import Searched, Solution
from gmm_pyro.inference.task import Status
from gmm_pyro.inference_data import elpd_loo, posterior_summary
from gmm_pyro.mixture.value import GaussianMixture
from gmm_pyro.model.priors import Priors
from gmm_pyro.model.program import MixtureModel
from gmm_pyro.posterior import Posterior
from gmm_pyro.report import html_of, tables
from gmm_pyro.report import page as page_module
from gmm_pyro.report.advice import advice_on
from gmm_pyro.report.settings import python_call
from pages import Outline

DATA = make_mixture(n=90, k=2, d=2, separation=4.0, seed=3)
MOST_BYTES = 5_000_000
OPTIONS = {"em": {"max_steps": 1}, "gibbs": {"n_draws": 60, "n_warmup": 20}, "svi": {"n_draws": 99}}
HOSTILE = "<script>document.title = 'taken'</script>"
COMMAND = f"gmm-pyro compare --data {HOSTILE}"


@pytest.fixture(scope="module")
def comparison() -> Comparison:
    return compare(MixtureModel(2), DATA, ["kmeans", "em", "svi", "gibbs"], options=OPTIONS)


@pytest.fixture(scope="module")
def page(comparison) -> Outline:
    return Outline(html_of(comparison))


@pytest.fixture(scope="module")
def quick() -> Comparison:
    """One method that has neither draws nor a trace, on hostile names."""
    names = (HOSTILE, "cost in $ \\frac and $, 数")
    data = Dataset(DATA.x, None, None, HOSTILE, names)
    return compare(MixtureModel(2), data, ["kmeans"])


@pytest.fixture(scope="module")
def written(quick, tmp_path_factory) -> Path:
    """Its report, in the place of another file."""
    path = tmp_path_factory.mktemp("reports") / "report.html"
    path.write_text("old")
    assert quick.report(path, command=COMMAND) == path
    return path


class TestPage:
    def test_it_stands_alone(self, page) -> None:
        assert page.addresses() == []
        assert all(img["src"].startswith("data:image/png;base64,") for img in page.all("img"))
        assert "@import" not in page.content
        assert "url(" not in page.content

    def test_names_resolve(self, page) -> None:
        assert len(page.ids) == len(set(page.ids))
        assert set(page.references()) <= set(page.ids)

    def test_headings_are_in_order(self, page) -> None:
        levels = [int(h.tag[1]) for h in page.all("h1", "h2", "h3", "h4")]
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(b - a <= 1 for a, b in zip(levels, levels[1:], strict=False))

    def test_it_has_landmarks_and_a_language(self, page) -> None:
        assert page.all("html")[0]["lang"] == "en"
        for tag in ("header", "nav", "main", "footer", "title"):
            assert len(page.all(tag)) == 1

    def test_tables_have_captions_and_scopes(self, page) -> None:
        assert len(page.all("table")) == len(page.all("caption")) == 8
        assert all(th["scope"] in ("col", "row") for th in page.all("th"))

    def test_pictures_say_what_is_seen(self, page) -> None:
        alts = [img["alt"] for img in page.all("img")]
        assert all(len(alt) > 40 for alt in alts[1:])
        assert sum("component 1 holds" in alt for alt in alts) == 4
        assert any("band that holds 94 % of the draws" in alt for alt in alts)
        assert any(re.search(r"em gained \S+ in 1 steps", alt) for alt in alts)

    def test_every_method_is_in_it(self, page, comparison) -> None:
        names = page.named("table-fits").text
        assert all(name in names for name in comparison.fits)
        assert {"rand", "distance"} <= {name.removeprefix("caption-") for name in page.ids}

    def test_all_numbers_of_the_table_can_be_sorted_by(self, page, comparison) -> None:
        values = {td.attributes.get("data-value") for td in page.all("td")}
        table = comparison.table
        shown = [c.name for c in (*columns.OF_FITS, *columns.OF_POSTERIORS)]
        numbers = table[shown].astype(float).to_numpy().ravel()
        assert {repr(float(x)) for x in numbers if not np.isnan(x)} <= values

    def test_it_has_versions_and_the_call(self, page) -> None:
        import numpy

        text = page.all("main")[0].text
        assert numpy.__version__ in text
        assert "gp.compare(model, data, ['kmeans', 'em', 'svi', 'gibbs'], seed=0" in text
        assert "'max_steps': 1" in text

    def test_the_meaning_of_every_parameter_column_is_there(self, page) -> None:
        assert {f"means-parameters-{c.name}" for c in tables.OF_PARAMETERS} <= set(page.ids)

    def test_a_column_that_only_a_later_table_has_is_explained(
        self, comparison, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def summary(posterior: Posterior) -> pd.DataFrame:
            found = posterior_summary(posterior)
            return found.assign(r_hat=np.nan) if posterior.independent else found

        monkeypatch.setattr(page_module, "posterior_summary", summary)
        page = Outline(html_of(comparison))
        assert "R-hat" not in page.named("table-posterior-1").text
        assert "R-hat" in page.named("table-posterior-2").text
        assert set(page.references()) <= set(page.ids)

    def test_no_picture_is_left_with_pyplot(self, quick) -> None:
        before = plt.get_fignums()
        html_of(quick)
        assert plt.get_fignums() == before


class TestCall:
    def test_points_held_out_are_among_the_data(self) -> None:
        data = Dataset(DATA.x, None, None, "mine", DATA.feature_names)
        found = compare(MixtureModel(2), data, ["kmeans"], test_size=30)
        call = python_call(found)
        assert (
            f"# mine: 90 x 2, fitted and held out; the fitted have {fingerprint_of(found)}" in call
        )
        assert "# mine: 60" not in call

    def test_the_call_names_what_was_told_of_the_data(self) -> None:
        found = compare(MixtureModel(2), DATA, ["em"], noise=0.1, fixed={"weights": [0.5, 0.5]})
        assert "seed=0, noise=..., fixed=...)" in str(python_call(found))

    def test_all_points_are_fitted_where_others_are_drawn(self, comparison) -> None:
        words = f"{DATA.n} x 2, {fingerprint_of(comparison)}"
        assert f": {words}" in python_call(comparison)

    def test_facts_are_about_the_fitted_points(self, page) -> None:
        text = page.all("dl")[0].text
        assert "Fitted points" in text
        assert "(SHA-256 of the fitted points)" in text


def fingerprint_of(comparison: Comparison) -> str:
    return f"fingerprint {fingerprint(comparison.dataset)}"


class TestHardData:
    def test_names_are_text(self, written) -> None:
        page = Outline(written.read_text(encoding="utf-8"))
        assert len(page.all("script")) == 1
        assert page.all("title")[0].text.startswith(HOSTILE)
        assert page.all("pre")[0].text == COMMAND

    def test_the_same_comparison_gives_the_same_bytes(self, quick, written) -> None:
        assert html_of(quick, COMMAND).encode() == written.read_bytes()

    def test_large_data_are_thinned_out(self) -> None:
        data = make_mixture(n=5000, k=14, d=13, seed=0)
        options = {"kmeans": {"n_starts": 1}}
        found = compare(MixtureModel(14, "diag"), data.x, ["kmeans"], options=options)
        page = Outline(html_of(found))
        headings = [h.text for h in page.all("h3")]
        assert sum(name in headings for name in data.feature_names) == 4
        assert "and 8 more" in page.all("img")[1]["alt"]
        assert "4000 of the 5000 points" in page.all("main")[0].text
        assert len(page.content) < MOST_BYTES

    def test_without_any_fit(self) -> None:
        found = compare(MixtureModel(2, priors=Priors()), DATA, ["gibbs"])
        page = Outline(html_of(found))
        assert not page.all("img")
        assert "conjugate prior" in page.all("ul")[2].text

    def test_after_an_interrupt(self, comparison) -> None:
        table = comparison.table.copy()
        table.loc["gibbs", "status"] = "not run: interrupted"
        fits = {"kmeans": comparison.fits["kmeans"]}
        found = replace(comparison, fits=fits, table=table, interrupted=True, reference=None)
        facts = [advice.fact for advice in advice_on(found)]
        assert facts[0] == "The comparison was interrupted."
        assert "It was not run, because of the interrupt." in facts


class TestWriting:
    def test_a_file_is_replaced(self, written) -> None:
        assert written.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
        assert os.listdir(written.parent) == ["report.html"]

    def test_a_path_that_cannot_be_written_is_named(self, quick, tmp_path: Path) -> None:
        missing = tmp_path / "no" / "report.html"
        with pytest.raises(OSError, match="No such file") as caught:
            quick.report(missing)
        assert caught.value.filename == str(missing)
        (tmp_path / "folder").mkdir()
        with pytest.raises(IsADirectoryError) as caught:
            quick.report(tmp_path / "folder")
        assert caught.value.filename == str(tmp_path / "folder")
        assert os.listdir(tmp_path) == ["folder"]


class TestAdvice:
    def facts(self, comparison: Comparison, name: str) -> str:
        found = [a for a in advice_on(comparison) if a.method == name]
        return " ".join(f"{a.fact} {a.remedy}" for a in found)

    def with_fit(self, comparison: Comparison, name: str, **changes) -> Comparison:
        fits = {**comparison.fits, name: replace(comparison.fits[name], **changes)}
        return replace(comparison, fits=fits)

    def test_a_fit_without_trouble_has_none(self, comparison) -> None:
        assert self.facts(comparison, "kmeans") == ""

    def test_the_step_limit(self, comparison) -> None:
        assert "Raise max_steps (it was 1)" in self.facts(comparison, "em")

    def test_few_draws(self, comparison) -> None:
        facts = self.facts(comparison, "gibbs")
        assert "the smallest effective number of draws" in facts
        assert "Raise n_draws." in facts

    @pytest.mark.parametrize(
        ("status", "words"),
        [(Status.DIVERGED, "Lower rate"), (Status.INTERRUPTED, "Run it again")],
    )
    def test_every_status_has_a_remedy(self, comparison, status: Status, words: str) -> None:
        assert words in self.facts(self.with_fit(comparison, "svi", status=status), "svi")

    def test_chains_that_disagree(self, comparison) -> None:
        said = "drew chains that disagree: chain 1 near -3 and chain 2 near -9; look at both"
        changes = {"status": Status.UNMIXED, "message": said}
        facts = self.facts(self.with_fit(comparison, "gibbs", **changes), "gibbs")
        assert "It drew chains that disagree: chain 1 near -3 and chain 2 near -9." in facts
        assert "Look at both." in facts

    def test_influential_points(self, comparison) -> None:
        table = comparison.table.copy()
        assert table.loc["gibbs", "elpd_worst_k"] == elpd_loo(comparison.fits["gibbs"]).worst_k
        table["elpd_worst_k"] = 0.6
        assert "influential" not in self.facts(replace(comparison, table=table), "gibbs")
        table["elpd_worst_k"] = 0.8
        facts = self.facts(replace(comparison, table=table), "gibbs")
        assert "k-hat up to 0.80, above 0.7: such points are influential" in facts
        assert "K-fold" in facts

    @pytest.mark.parametrize("name", ["kmeans", "em", "svi", "gibbs"])
    def test_a_floor_is_advised_where_it_binds(self, comparison, name: str) -> None:
        problems = ["the covariance of component 0 is singular: it is small"]
        diagnostics = {**comparison.fits[name].diagnostics, "problems": problems}
        facts = self.facts(self.with_fit(comparison, name, diagnostics=diagnostics), name)
        assert ("raise covariance_floor" in facts) == (name in ("kmeans", "em"))
        assert ("scales keep away from zero" in facts) == (name in ("svi", "gibbs"))

    def test_a_floor_is_not_advised_for_gradient(self, comparison) -> None:
        diagnostics = {"problems": ["the covariance of component 0 is singular"]}
        changes = {"method": "gradient", "diagnostics": diagnostics}
        facts = self.facts(self.with_fit(comparison, "em", **changes), "em")
        assert "covariance_floor" not in facts
        assert "gradient has none" in facts

    def test_a_poor_approximation(self, comparison) -> None:
        table = comparison.table.copy()
        table.loc["svi", "k_hat"] = 0.9
        found = self.facts(replace(comparison, table=table), "svi")
        assert "k-hat is 0.90" in found
        assert "guide='multivariate'" in found

    @pytest.mark.filterwarnings("ignore::gmm_pyro.inference.task.FitWarning")
    def test_a_degenerate_solution(self, comparison) -> None:
        x = torch.cat([DATA.x, torch.full((8, 2), 40.0, dtype=torch.float64)])
        found = fit(MixtureModel(3), x, "em", start=[*DATA.labels.clamp(max=1), *[2] * 8])
        assert found.diagnostics["problems"]
        facts = self.facts(replace(comparison, fits={**comparison.fits, "em": found}), "em")
        assert "is singular" in facts
        assert "Take a method with priors" in facts

    def test_other_warnings_are_repeated(self, comparison) -> None:
        found = replace(comparison, notes={**comparison.notes, "kmeans": ("mind the gap",)})
        assert "mind the gap." in self.facts(found, "kmeans")
        assert self.facts(found, "em") == self.facts(comparison, "em")

    def test_solutions_that_are_hardly_worse(self, comparison) -> None:
        sound = [
            Solution(-at, sound=True, times=1, moves=0) for at in (100.0, 101.25, 109.0, 130.0)
        ]
        search = Searched(90, 10, 6, 1, (*sound, Solution(-100.5, sound=False, times=1, moves=0)))
        facts = self.facts(self.with_fit(comparison, "em", search=search), "em")
        assert "others lie within 10 nats: 1.25 and 9.00 behind." in facts

    def test_modes_that_are_left_out(self, comparison) -> None:
        here, there = (FoundMode(0.0, at, described=at < 0) for at in (-1.5, 0.0))
        modes = FoundModes.of([here, there])
        facts = self.facts(self.with_fit(comparison, "svi", found_modes=modes), "svi")
        assert "It describes one of 2 modes that were found: another has 1.5 nats more" in facts
        assert "Take modes='all' for a mixture of all" in facts

    def test_labels_in_doubt(self, comparison) -> None:
        posterior = replace(comparison.fits["gibbs"].posterior, ambiguous=0.4)
        found = self.with_fit(comparison, "gibbs", posterior=posterior)
        assert "In 40% of its draws" in self.facts(found, "gibbs")


class TestSolutions:
    SEARCH = Searched(
        60,
        10,
        6,
        1,
        (
            Solution(-100.0, sound=True, times=3, moves=0),
            Solution(-1e4, sound=True, times=1, moves=2),
            Solution(-90.0, sound=False, times=1, moves=0),
        ),
    )

    def page_of(self, comparison: Comparison, **searches: Searched | None) -> Outline:
        fits = {name: replace(f, search=searches.get(name)) for name, f in comparison.fits.items()}
        return Outline(html_of(replace(comparison, fits=fits)))

    def test_the_page_says_whether_the_optimum_is_alone(self, comparison) -> None:
        text = self.page_of(comparison, em=self.SEARCH).all("main")[0].text
        assert "3 solutions, 2 of them sound, the best found 3 times." in text
        assert "10 starts and 6 moves were tried, and 1 of the moves led on" in text
        assert "It went by 60 of the 90 points." in text

    def test_methods_that_share_a_search_share_its_table(self, comparison) -> None:
        page = self.page_of(comparison, em=self.SEARCH, svi=self.SEARCH)
        assert "Solutions of em and svi" in page.named("caption-solutions-1").text
        assert "9\u202f900.00" in page.named("table-solutions-1").text
        assert "not sound" in page.named("table-solutions-1").text
        assert "caption-solutions-2" not in page.ids

    def test_without_a_search_there_is_no_section(self, comparison) -> None:
        assert "solutions" not in self.page_of(comparison).ids


class TestTables:
    def marked(self, column: columns.Column, values: list[float | None], **options) -> list[bool]:
        frame = pd.DataFrame({column.name: pd.array(values, dtype="Float64")})
        table = tables.table_of(frame, [column], **options)
        return [row.cells[0].best for row in table.rows]

    @pytest.mark.parametrize(
        ("badness", "best"),
        [(columns.lowest, 0), (columns.highest, 2), (columns.nearest_one, 1), (None, None)],
    )
    def test_the_best_is_marked(self, badness, best) -> None:
        column = columns.Column("x", "X", ".2f", badness)
        expected = [i == best for i in range(4)]
        assert self.marked(column, [0.4, 1.1, 2.5, None]) == expected

    def test_there_is_no_best_where_all_look_the_same(self) -> None:
        column = columns.Column("x", "X", ".2f", columns.lowest)
        assert self.marked(column, [0.401, 0.402]) == [False, False]
        assert self.marked(column, [0.401, 0.402, 0.5]) == [True, True, False]

    def test_an_unsound_fit_is_not_the_best(self) -> None:
        column = columns.Column("x", "X", ".2f", columns.highest)
        found = self.marked(column, [9.0, 2.0, 1.0], sound=[False, True, True])
        assert found == [False, True, False]
        unsound = ["diverged", "collapsed", "converged; degenerate: component 0 holds no point"]
        statuses = pd.DataFrame({"status": ["converged", *unsound]})
        assert tables.sound_fits(statuses) == [True, False, False, False]

    def posteriors(self, **columns) -> pd.DataFrame:
        """Rows of three posteriors, sound ones where nothing else is said."""
        sound = {"status": "converged", "r_hat": 1.0, "k_hat": np.nan, "elpd_worst_k": 0.3}
        return pd.DataFrame({**sound, **columns}, index=["gibbs", "nuts", "laplace"])

    def test_an_interrupted_fit_is_not_the_best(self) -> None:
        found = self.posteriors(status=["interrupted", "converged", "not run: interrupted"])
        assert tables.sound_fits(found) == [False, True, False]

    def test_chains_that_have_not_mixed_are_not_the_best(self) -> None:
        found = self.posteriors(status=["unmixed", "converged", "converged"])
        assert tables.sound_posteriors(found) == [False, True, True]

    def test_independent_draws_are_not_ranked_as_chains(self) -> None:
        found = tables.ranked_posteriors(self.posteriors(), {"laplace"}, None)
        for column in ("r_hat", "ess_bulk", "ess_per_second"):
            assert found[column] == [True, True, False]
        assert found["elpd_loo"] == [True, True, True]

    def test_an_elpd_with_influential_points_is_not_the_best(self) -> None:
        table = self.posteriors(elpd_worst_k=[0.71, 0.7, np.inf])
        assert tables.ranked_posteriors(table, (), None)["elpd_loo"] == [False, True, False]

    @pytest.mark.parametrize(
        ("changes", "sound"),
        [
            ({}, True),
            ({"status": ["unmixed", "converged", "converged"]}, False),
            ({"status": ["step limit", "converged", "converged"]}, False),
        ],
    )
    def test_nearness_counts_to_a_sound_reference_only(self, changes, sound: bool) -> None:  # noqa: FBT001
        table = self.posteriors(**changes)
        found = tables.ranked_posteriors(table, (), "gibbs")
        for column in ("posterior_mean_error", "posterior_sd_ratio"):
            assert found[column][1:] == [sound, sound]
        assert found["elpd_loo"][1:] == [True, True]
        assert not tables.is_sound_reference(table.drop("gibbs"), "gibbs")

    def test_an_r_hat_below_one_is_no_better_than_one(self) -> None:
        (column,) = (c for c in columns.OF_POSTERIORS if c.name == "r_hat")
        assert self.marked(column, [0.999, 1.0004, 1.003]) == [True, True, False]
        assert self.marked(column, [0.999, 1.0]) == [False, False]

    def test_the_page_ranks_chains_apart_from_independent_draws(self, comparison) -> None:
        table = comparison.table.copy()
        table.loc[["svi", "gibbs"], "k_hat"] = np.nan
        table.loc[["svi", "gibbs"], "r_hat"] = [1.0, 1.02]
        table.loc["gibbs", "status"] = "converged"
        fits = {**comparison.fits, "nuts": comparison.fits["gibbs"]}
        table.loc["nuts"] = table.loc["gibbs"]
        table.loc["nuts", "r_hat"] = 1.01
        page = Outline(html_of(replace(comparison, table=table, fits=fits)))
        text = page.named("table-draws").text
        assert "★1.010" in text
        assert "★1.000" not in text

    def test_a_column_without_numbers_is_left_out(self, page) -> None:
        assert "means-fits-ari" in page.ids
        assert "means-fits-held_out_log_density" in page.ids
        empty = pd.DataFrame({"x": [np.nan]})
        assert tables.table_of(empty, [columns.Column("x", "")]).columns == ()


class TestAgreement:
    def test_labels_agree_as_scikit_learn_says(self, comparison) -> None:
        found, fits = comparison.label_agreement(), comparison.fits
        labels = [fit.labels for fit in fits.values()]
        expected = [[adjusted_rand_score(mine, other) for mine in labels] for other in labels]
        assert np.allclose(found, expected)
        assert list(found.columns) == list(found.index) == list(fits)

    def test_distances_are_those_of_quadrature(self) -> None:
        p = GaussianMixture([0.3, 0.7], [-1.0, 2.0], [0.5, 1.0], "spherical")
        q = GaussianMixture([0.5, 0.5], [-1.2, 2.3], [0.5, 1.5], "spherical")
        grid = torch.linspace(-12.0, 14.0, 20_001, dtype=torch.float64)[:, None]
        expected = jensenshannon(p.log_prob(grid).exp(), q.log_prob(grid).exp(), base=2)
        found = density_distances({"p": p, "q": q}, n=40_000)
        assert found.loc["p", "q"] == found.loc["q", "p"] == pytest.approx(expected, rel=0.03)
        assert found.loc["p", "p"] == 0.0

    def test_distances_do_not_depend_on_units(self, comparison) -> None:
        near, far = comparison.fits["kmeans"].mixture, comparison.fits["em"].mixture
        scaled = {
            name: GaussianMixture(m.weights, 1e4 * m.means, 1e8 * m.covariance_matrices())
            for name, m in (("near", near), ("far", far))
        }
        plain = density_distances({"near": near, "far": far})
        assert np.allclose(plain, density_distances(scaled))


class TestSummary:
    def test_it_is_arviz(self, comparison) -> None:
        fit = comparison.fits["gibbs"]
        found = posterior_summary(fit.posterior)
        names = ["weights", "means", "scales"]
        expected = arviz.summary(fit.to_arviz(), var_names=names, round_to="none")
        assert list(found.index) == list(expected.index)
        for column in ("mean", "sd", "r_hat", "ess_bulk", "ess_tail"):
            assert np.allclose(found[column], expected[column]), column
        drawn = fit.posterior.draws["means"][..., 1, 0].numpy()
        row = found.loc["means[1, " + DATA.feature_names[0] + "]"]
        assert np.mean(drawn < row["lower"]) == pytest.approx(0.03, abs=0.01)
        assert np.mean(drawn > row["upper"]) == pytest.approx(0.03, abs=0.01)
