"""Claims about what is made of many rows: means, differences, ranks, profiles, effects, tables."""

from __future__ import annotations

import itertools
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from markdown_it import MarkdownIt
from scipy import stats

import gmm_pyro as gp
from gmm_pyro.study.measures import MEASURES
from gmm_pyro.study.measures.registry import direction_of
from gmm_pyro.study.statistics.means import holm, mean_of, median_of
from gmm_pyro.study.statistics.ranks import critical_difference, friedman_of, ranks_in
from gmm_pyro.study.statistics.rows import FAILURES
from studied import made_up

RARELY = 1e-5  # how often a right statistic fails a statistical test here
NAN, NONE, LATER = np.nan, np.inf, -np.inf  # a failure, no number, not run
N = {"n": (30, 40)}
SMALL = {"a": [[0.5, 0.7, 0.9], [0.2, 0.4, NAN]], "b": [[0.4, 0.8, NONE], [0.1, 0.1, 0.1]]}


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


# ---------------------------------------------------------------------- means


def test_a_table_counts_what_failed_and_what_has_no_number() -> None:
    table = made_up(SMALL, N).table(by=["n", "method"], measures="ari")
    frame = table.frame.set_index(["n", "method"])
    assert frame["cells"].tolist() == [3, 3, 3, 3]
    assert frame["failed"].tolist() == [0, 0, 1, 0]
    assert frame["missing"].tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(frame["mean"], [0.7, 0.6, 0.3, 0.1])
    np.testing.assert_allclose(frame["standard_error"], [0.2 / 3**0.5, 0.2, 0.1, 0.0], atol=1e-15)
    assert set(frame["replicates"]) == {3}
    assert set(frame["replicates_to_halve"]) == {12}
    text = str(table)
    assert "Cells that failed are counted" in text
    assert "0.60 ± 0.20 (2)" in text
    assert "12 replicates a setting, for 3 now, would halve the standard errors." in text


def test_a_group_is_in_the_order_of_the_study_and_none_is_all() -> None:
    results = made_up(SMALL, N)
    assert results.table(by=["method", "n"]).frame["n"].tolist() == [30, 30, 40, 40] * 2
    assert results.table(by=["method", "n"]).measures == ("ari", "seconds")
    assert results.table(by=[]).frame["cells"].tolist() == [12, 12]


def test_times_of_cells_that_failed_are_no_part_of_a_mean() -> None:
    frame = made_up(SMALL, N).table(measures=["seconds"]).frame
    assert (frame["cells"] - frame["failed"] - frame["missing"]).tolist() == [5, 6]


def test_errors_of_means_are_within_settings() -> None:
    """As of a stratified sample with fixed strata, by its formula."""
    x = drawn(1, 3, 5) * [[1.0], [2.0], [3.0]] + [[0.0], [100.0], [-50.0]]
    frame = made_up({"a": x}, {"n": (30, 40, 50)}).table(measures="ari").frame
    expected = np.sqrt((x.var(axis=1, ddof=1) / 5).sum()) / 3
    np.testing.assert_allclose(frame["standard_error"], [expected])
    np.testing.assert_allclose(frame["mean"], [x.mean()])


def test_settings_of_one_replicate_are_one_stratum() -> None:
    x = drawn(2, 7)
    for settings in (np.arange(7), np.array([0, 0, 0, 1, 1, 1, 2]), np.zeros(7, int)):
        found = mean_of(x, settings)
        assert found.standard_error == pytest.approx(x.std(ddof=1) / 7**0.5)
        assert found.dof == pytest.approx(6)
    two = mean_of(x, np.array([0, 0, 0, 0, 0, 1, 2]))  # and the last two together
    variance = 5 * x[:5].var(ddof=1) + 2 * x[5:].var(ddof=1)
    assert two.standard_error == pytest.approx(variance**0.5 / 7)
    assert np.isnan(mean_of(x[:1], np.zeros(1, int)).standard_error)
    assert np.isnan(mean_of(np.array([NAN]), np.zeros(1, int)).mean)


def test_a_standard_error_of_a_median_is_the_bootstraps() -> None:
    """Of all 3125 resamples of five values."""
    x = np.array([0.3, 1.0, 1.1, 2.0, 7.0])
    medians = np.median(np.array(list(itertools.product(x, repeat=5))), axis=1)
    found = median_of(x, np.zeros(5, int))
    assert (found.mean, found.standard_error) == (1.1, pytest.approx(medians.std()))
    assert median_of(np.full(4, 0.1), np.zeros(4, int)).standard_error == 0
    table = made_up({"a": [x]}, {"n": (30,)}).table(of="median", measures="ari")
    assert table.frame["median"].tolist() == [1.1]


# ---------------------------------------------------------------------- differences


@pytest.mark.parametrize("level", [0.5, 0.95])
def test_intervals_of_differences_cover_at_their_rate(level: float) -> None:
    """300 groups of two settings that differ in mean and spread; methods share their data."""
    groups, replicates = 300, 6
    data = 3 * drawn(3, 2 * groups, replicates)  # what is hard for one is hard for both
    spread, shift = np.tile([[1.0], [2.0]], (groups, 1)), np.tile([[0.5], [1.5]], (groups, 1))
    values = {"a": data, "b": data + shift + spread * drawn(4, *data.shape)}
    factors = {"group": tuple(range(groups)), "n": (30, 40)}
    frame = made_up(values, factors).differences("ari", "a", by="group", level=level).frame
    covered = int(((frame["low"] <= 1.0) & (frame["high"] >= 1.0)).sum())
    assert stats.binomtest(covered, groups, level).pvalue > RARELY


def test_a_method_differs_from_itself_by_nothing() -> None:
    x = drawn(5, 2, 3)
    results = made_up({"a": x, "again": x, "b": x[::-1]}, N)
    found = results.differences("ari", "a", methods=["a", "again", "b"])
    numbers = ["difference", "standard_error", "low", "high"]
    assert (found.frame[numbers].iloc[:2] == 0).all(axis=None)
    assert found.frame["p"].tolist()[:2] == [1, 1]
    assert np.isnan(found.frame["p_holm"][0])
    assert found.n_comparisons == 2
    one = made_up({"a": [[0.3]]}, {"n": (30,)}).differences("ari", "a", methods="a").frame
    assert one[numbers].iloc[0].tolist() == [0, 0, 0, 0]


def test_pairs_are_of_one_data_set_and_lost_with_either() -> None:
    frame = made_up(SMALL, N).differences("ari", "a", by="n").frame
    assert frame["pairs"].tolist() == [2, 2]
    assert frame["lost"].tolist() == [1, 1]
    expected = [stats.ttest_rel([0.4, 0.8], [0.5, 0.7]), stats.ttest_rel([0.1, 0.1], [0.2, 0.4])]
    np.testing.assert_allclose(frame["difference"], [0.0, -0.2], atol=1e-15)
    np.testing.assert_allclose(frame["p"], [test.pvalue for test in expected])
    ends = [tuple(test.confidence_interval(0.95)) for test in expected]
    np.testing.assert_allclose(frame[["low", "high"]], ends, atol=1e-12)


def test_without_a_baseline_all_pairs_are_compared() -> None:
    x = drawn(6, 3, 1, 4)
    found = made_up(dict(zip("abc", x, strict=True)), {"n": (30,)}).differences("ari")
    pairs = list(zip(found.frame["method"], found.frame["baseline"], strict=True))
    assert pairs == [("b", "a"), ("c", "a"), ("c", "b")]
    tests = [stats.ttest_rel(x["abc".index(a)][0], x["abc".index(b)][0]).pvalue for a, b in pairs]
    np.testing.assert_allclose(found.frame["p_holm"], holm(np.array(tests)))
    assert "for 3 comparisons together" in str(found)


def test_cells_that_were_not_run_are_not_lost() -> None:
    found = made_up({"a": [[1.0, 2.0, 3.0]], "b": [[2.0, 4.0, LATER]]}, {"n": (30,)})
    frame = found.differences("ari", "a").frame
    assert frame[["pairs", "lost"]].iloc[0].tolist() == [2, 0]
    assert "not complete: 1 cell left" in str(found.table())


def test_holms_p_values_are_those_of_the_closed_test() -> None:
    """A hypothesis falls if Bonferroni's test rejects all sets that it is in."""
    p = np.random.default_rng(7).uniform(size=6) ** 3
    sets = [s for m in range(1, 7) for s in itertools.combinations(range(6), m)]
    expected = [max(min(1.0, len(s) * min(p[[*s]])) for s in sets if i in s) for i in range(6)]
    np.testing.assert_allclose(holm(p), expected)
    with_nan = holm(np.array([NAN, 0.01, NAN, 0.03, 0.04]))
    np.testing.assert_allclose(with_nan, [NAN, 0.03, NAN, 0.06, 0.06])


# ---------------------------------------------------------------------- ranks

DEMSAR = """
.763 .768 .771 .798   .599 .591 .590 .569   .954 .971 .968 .967   .628 .661 .654 .657
.882 .888 .886 .898   .936 .931 .916 .931   .661 .668 .609 .685   .583 .583 .563 .625
.775 .838 .866 .875   1 1 1 1               .940 .962 .965 .962   .619 .666 .614 .669
.972 .981 .9751 .975  .957 .978 .946 .970
"""  # Demšar (2006), table 6: AUC of four classifiers; a tie broken as its ranks are
Q = {
    0.05: [1.960, 2.343, 2.569, 2.728, 2.850, 2.949, 3.031, 3.102, 3.164],
    0.10: [1.645, 2.052, 2.291, 2.459, 2.589, 2.693, 2.780, 2.855, 2.920],
}  # and table 5 (a): critical values of Nemenyi's test, of 2 to 10 classifiers


def demsar() -> gp.StudyResults:
    table = np.array(DEMSAR.split(), float).reshape(14, 4)
    names = ("C4.5", "C4.5+m", "C4.5+cf", "C4.5+m+cf")
    return made_up(dict(zip(names, table.T[:, None], strict=True)), {"n": (30,)})


@pytest.mark.parametrize("alpha", Q)
def test_critical_differences_are_those_that_were_published(alpha: float) -> None:
    """Given to three digits, one of which is rounded otherwise."""
    for k, q in zip(range(2, 11), Q[alpha], strict=True):
        n = k * (k + 1)  # so that the root is √(1 / 6)
        assert critical_difference(k, n, alpha) * 6**0.5 == pytest.approx(q, abs=1.1e-3)


def test_ranks_are_those_of_a_published_example() -> None:
    ranks = demsar().ranks("ari")
    found = ranks.frame.set_index("method")["mean_rank"].round(3).to_dict()
    assert found == {"C4.5+m+cf": 1.964, "C4.5+m": 2.0, "C4.5+cf": 2.893, "C4.5": 3.143}
    assert ranks.critical_difference == pytest.approx(1.25, abs=5e-3)
    assert ranks.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf", "C4.5"),)
    at_ten = demsar().ranks("ari", alpha=0.1)
    assert at_ten.critical_difference == pytest.approx(1.12, abs=5e-3)
    assert at_ten.groups == (("C4.5+m+cf", "C4.5+m", "C4.5+cf"), ("C4.5+cf", "C4.5"))


@pytest.mark.parametrize("levels", [3, 1000])
def test_friedmans_test_is_scipys(levels: int) -> None:
    """With many ties and with hardly any."""
    table = np.random.default_rng(8).integers(levels, size=(12, 4))
    found = friedman_of(ranks_in(table))
    expected = stats.friedmanchisquare(*table.T)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue)
    ranks = ranks_in(table)  # Iman & Davenport's F is that of two-way ANOVA of ranks
    rest = ranks - ranks.mean(0) - ranks.mean(1, keepdims=True) + ranks.mean()
    f = 12 * ((ranks.mean(0) - 2.5) ** 2).sum() / 3 / ((rest**2).sum() / 33)
    assert found.f == pytest.approx(f)
    assert found.f_p == pytest.approx(stats.f.sf(f, 3, 33))


def test_friedmans_test_takes_ties_alone_and_two_methods() -> None:
    assert friedman_of(np.full((5, 3), 2.0)).p == 1
    assert friedman_of(np.tile([1.0, 2.0], (9, 1))).f_p == 0
    sign = friedman_of(ranks_in(drawn(9, 20, 2)))
    assert 0 < sign.p <= 1


def test_a_failure_ranks_last_or_leaves_the_data_set_out() -> None:
    results = made_up(SMALL, N)
    last = results.ranks("ari")
    assert (last.n, last.frame.set_index("method")["failed"].to_dict()) == (6, {"a": 1, "b": 1})
    assert last.frame["mean_rank"].tolist() == [pytest.approx(8 / 6), pytest.approx(10 / 6)]
    assert last.frame["best"].tolist() == [pytest.approx(4 / 6), pytest.approx(2 / 6)]
    assert "it ranks last" in str(last)
    dropped = results.ranks("ari", failures="drop")
    assert dropped.n == 4
    assert "2 data sets without a number of all methods left out" in str(dropped)


def test_lower_ranks_are_of_better_values() -> None:
    x = {"small": [[1.0, 2.0, 0.9]], "large": [[3.0, 4.0, 1.5]]}
    best = {}
    for measure in ("ari", "brier", "posterior_z", "coverage"):
        best[measure] = made_up(x, {"n": (30,)}, measure).ranks(measure).frame["method"][0]
    assert best == {m: "large" if m == "ari" else "small" for m in best}


def test_a_method_that_a_measure_is_not_about_is_left_out_and_named() -> None:
    x = {"a": [[1.0, 2.0]], "labels": [[NONE, NONE]], "fails": [[NAN, NAN]], "late": [[1.0, LATER]]}
    ranks = made_up(x, {"n": (30,)}).ranks("ari")
    assert ranks.frame["method"].tolist() == ["a", "late", "fails"]
    assert ranks.n == 1
    assert "left out: labels" in str(ranks)
    assert "1 data set on which not all methods" in str(ranks)


# ---------------------------------------------------------------------- profiles


def test_profiles_are_shares_within_a_factor_of_the_best() -> None:
    x = {"a": [[1.0, 2.0, 4.0, NAN]], "b": [[2.0, 2.0, 1.0, 3.0]]}
    profile = made_up(x, {"n": (30,)}, "brier").profile("brier")
    assert profile.within == "factor"
    shares = {
        tau: (profile.share("a", tau), profile.share("b", tau)) for tau in (0.9, 1, 2, 3.9, 4)
    }
    assert shares == {0.9: (0, 0), 1: (0.5, 0.75), 2: (0.5, 1), 3.9: (0.5, 1), 4: (0.75, 1)}
    steps = profile.frame[profile.frame["method"] == "a"]
    assert steps["tau"].tolist() == [1, 4]
    assert steps["share"].tolist() == [0.5, 0.75]


def test_profiles_of_scores_are_shares_within_a_difference() -> None:
    x = {"a": [[0.5, 0.75, 1.0]], "b": [[1.0, 0.75, 0.75]], "fails": [[NAN, NAN, NAN]]}
    profile = made_up(x, {"n": (30,)}).profile("ari", taus=[0, 0.25])
    assert profile.within == "difference"
    assert profile.cells["± 0"] == ["0.67", "0.67", "0.00"]
    assert profile.cells["± 0.25"] == ["0.67", "1.00", "0.00"]
    assert profile.cells["any"] == ["1.00", "1.00", "0.00"]
    with pytest.raises(ValueError, match="within='factor' needs positive numbers"):
        made_up(x, {"n": (30,)}).profile("ari", within="factor")


# ---------------------------------------------------------------------- effects


def crossed(seed: int = 10) -> tuple[dict[str, np.ndarray], gp.StudyResults]:
    """Three methods at 2 × 3 settings, four data sets each, a cell of which failed."""
    data = drawn(seed, 6, 4)
    x = {name: data + drawn(seed + 1 + i, 6, 4) + i for i, name in enumerate("abc")}
    x["c"][2, 1] = NAN
    return x, made_up(x, {"n": (30, 40), "d": (2, 3, 4)})


def test_effects_are_those_of_least_squares_on_dummies() -> None:
    """Fitted means, built from the effects, are those of another coding of the same classes."""
    _, results = crossed()
    effects = results.effects("ari")
    frame = results.frame[results.frame["status"] == "done"]
    wide = pd.get_dummies(frame[["method", "n", "d"]].astype(str), dtype=float)
    both = [
        wide[m] * wide[f] for m in wide.filter(like="method_") for f in wide.filter(regex="^[nd]_")
    ]
    x = np.column_stack([np.ones(len(wide)), wide, *both])
    expected = x @ np.linalg.lstsq(x, frame["ari"].to_numpy(), rcond=None)[0]
    found = effects.frame.set_index(["method", "level"])["effect"]
    for row, value in zip(frame.itertuples(), expected, strict=True):
        levels = ["", f"n = {row.n}", f"d = {row.d}"]
        methods = ["a"] if row.method == "a" else ["a", row.method]
        assert sum(found[m, level] for m in methods for level in levels) == pytest.approx(value)
    sums = effects.frame[effects.frame["level"] != ""].groupby(["term", "method"])["effect"].sum()
    np.testing.assert_allclose(sums, 0, atol=1e-12)


def test_errors_of_effects_are_a_sandwich_by_data_set() -> None:
    """By its formula, cluster by cluster, and matrices that are written out."""
    _, results = crossed()
    effects = results.effects("ari", factors="n")
    frame = results.frame[results.frame["status"] == "done"]
    n = np.where(frame["n"] == 30, 1.0, -1.0)
    b, c = (frame["method"] == name for name in "bc")
    x = np.column_stack([np.ones(len(n)), b, c, n, b * n, c * n]).astype(float)
    y = frame["ari"].to_numpy()
    coefficients = np.linalg.lstsq(x, y, rcond=None)[0]
    bread, meat = np.linalg.inv(x.T @ x), np.zeros((6, 6))
    clusters = frame["data_seed"].to_numpy()
    for cluster in set(clusters):
        rows = np.flatnonzero(clusters == cluster)
        score = sum(x[i] * (y[i] - x[i] @ coefficients) for i in rows)
        meat += np.outer(score, score)
    few = 24 / 23 * (len(y) - 1) / (len(y) - 6)
    covariance = few * bread @ meat @ bread
    errors = np.sqrt(np.diag(covariance))
    found = effects.frame
    order = [0, 1, 2, 3, 3, 4, 4, 5, 5]  # of 30 and of 40
    signs = np.array([1, 1, 1, 1, -1, 1, -1, 1, -1])
    np.testing.assert_allclose(found["effect"], signs * coefficients[order])
    np.testing.assert_allclose(found["standard_error"], errors[order])
    np.testing.assert_allclose(found["p"], 2 * stats.t.sf(abs(coefficients / errors)[order], 23))
    f = coefficients[1:3] @ np.linalg.inv(covariance[1:3, 1:3]) @ coefficients[1:3] / 2
    assert effects.terms["f"][0] == pytest.approx(f)
    assert effects.terms["p"][0] == pytest.approx(stats.f.sf(f, 2, 23))
    assert effects.terms["dof"].tolist() == [2, 1, 2]
    assert (effects.n_cells, effects.n_data_sets) == (71, 24)
    assert "left out: 1 cell, 1 of which failed" in str(effects)


def test_without_failures_an_effect_of_a_method_is_its_paired_difference() -> None:
    x, _ = crossed()
    results = made_up({name: x[name] for name in "ab"}, {"n": (30, 40), "d": (2, 3, 4)})
    effect = results.effects("ari").frame.iloc[1]
    pair = results.differences("ari", "a").frame.iloc[0]
    assert effect["effect"] == pytest.approx(pair["difference"])
    logs = made_up({name: np.exp(x[name]) for name in "ab"}, {"n": (30, 40), "d": (2, 3, 4)})
    assert logs.effects("ari", log=True).frame["effect"][1] == pytest.approx(effect["effect"])


def test_one_method_has_effects_of_factors_alone() -> None:
    x = drawn(12, 2, 4)
    effects = made_up({"a": x}, N).effects("ari")
    assert effects.terms["term"].tolist() == ["n"]
    np.testing.assert_allclose(effects.frame["effect"][:2], [x.mean(), x[0].mean() - x.mean()])
    mean = made_up({"a": x[:1]}, {"n": (30,)}).effects("ari")
    assert (len(mean.frame), len(mean.terms)) == (1, 0)
    test = stats.ttest_1samp(x[0], 0)  # a cluster a row leaves the usual variance
    assert mean.frame["p"][0] == pytest.approx(test.pvalue)


def test_effects_refuse_what_cells_cannot_tell() -> None:
    _, results = crossed()
    with pytest.raises(ValueError, match="which is not fewer than the 4 cells"):
        made_up({"a": [[1.0], [2.0]], "b": [[1.0], [2.0]]}, N).effects("ari")
    two = made_up({name: drawn(1, 2, 5) for name in "ab"}, N, designs=("one", "two"))
    aliased = two.frame[(two.frame["design"] == "one") == (two.frame["n"] == 30)]
    object.__setattr__(two, "frame", aliased)
    with pytest.raises(ValueError, match="factors cannot be told apart"):
        two.effects("ari")
    assert len(two.effects("ari", factors="n").frame) == 6
    with pytest.raises(ValueError, match="log=True needs positive numbers"):
        results.effects("ari", log=True)


# ---------------------------------------------------------------------- written


def odd_names() -> gp.StudyResults:
    """Names that files and pages have signs for."""
    names = ("[a]_b & 50%", r"c^2 | ~\d$", "#{e}*`f`<g>")
    return made_up(dict(zip(names, drawn(11, 3, 2, 4), strict=True)), {"n_x": (30, 40)})


def tables_of(results: gp.StudyResults) -> dict[str, Any]:
    first = results.plan.methods[0].name
    return {
        "table": results.table(by=["method", "n_x"]),
        "differences": results.differences("ari", first, methods=None, by="n_x"),
        "ranks": results.ranks("ari"),
        "profile": results.profile("ari"),
        "effects": results.effects("ari"),
    }


@pytest.mark.parametrize("name", tables_of(odd_names()))
def test_markdown_says_what_the_table_says(name: str) -> None:
    table = tables_of(odd_names())[name]
    tokens = MarkdownIt("commonmark").enable("table").parse(table.to_markdown())
    inline = [token for token in tokens if token.type == "inline"]
    text = ["".join(child.content for child in token.children) for token in inline]
    lines = zip(*table.cells.values(), strict=True)
    cells = [*table.cells, *(cell for line in lines for cell in line)]
    assert text == [table.title, *cells, *table.notes]


@pytest.mark.parametrize("name", tables_of(odd_names()))
def test_latex_is_balanced_and_escaped(name: str) -> None:
    table = tables_of(odd_names())[name]
    latex = table.to_latex()
    plain = re.sub(r"\\[\\&%$#_{}]", "", latex.replace("\\\\\n", "\n"))
    assert plain.count("{") == plain.count("}")
    assert plain.count("$") % 2 == 0
    assert "$$" not in plain
    assert not set("%#~^|<>") & set(re.sub(r"\$[^$]*\$", "", plain))
    assert "_" not in plain
    opened = re.findall(r"\\(begin|end)\{(\w+)\}", latex)
    assert opened == [
        *[("begin", "table"), ("begin", "tabular")],
        *[("end", "tabular"), ("end", "table")],
    ]
    assert [latex.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    rows = re.findall(r"^(.*?) \\\\$", latex, re.MULTILINE)
    assert len(rows) == 1 + len(next(iter(table.cells.values())))
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {len(table.cells) - 1}
    assert not any(row.startswith(("[", "*")) for row in rows)
    assert latex.isascii()


@pytest.mark.parametrize("name", tables_of(odd_names()))
def test_frames_are_kept_by_files(name: str, tmp_path: Path) -> None:
    table = tables_of(odd_names())[name]
    text = pd.read_csv(table.to_csv(tmp_path / "t.csv"), keep_default_na=True)
    whole = pd.read_parquet(table.to_parquet(tmp_path / "t.parquet"))
    for found in (text.fillna({"level": ""}) if "level" in text else text, whole):
        pd.testing.assert_frame_equal(found, table.frame, check_dtype=False)


def test_files_are_what_their_names_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = made_up(SMALL, N).table()
    with pytest.raises(ValueError, match=r"path must end in \.csv, got"):
        table.to_csv(tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=r"path must end in \.parquet, got"):
        table.to_parquet(tmp_path / "t.csv")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"needs pyarrow: pip install 'gmm-pyro\[parquet\]'"):
        table.to_parquet(tmp_path / "t.parquet")
    assert list(tmp_path.iterdir()) == []


def test_designs_without_a_factor_have_a_group_of_their_own(tmp_path: Path) -> None:
    results = made_up({"a": drawn(1, 2, 3), "b": drawn(2, 2, 3)}, N, designs=("one", "two"))
    levels = pd.array([30, 30, 30, None, None, None] * 4, dtype="Int64")
    object.__setattr__(results, "frame", results.frame.assign(n=levels))
    table = results.table(by="n", measures="ari")
    assert table.cells["n"] == ["30", "–"]
    assert table.frame["cells"].tolist() == [12, 12]
    found = pd.read_parquet(table.to_parquet(tmp_path / "t.parquet"))
    assert found["n"].tolist() == [30, pd.NA]


def test_tables_are_no_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    found = made_up({name: drawn(3, 2, 3) for name in "abc"}, N).differences("ari", by="n")
    head, _, notes = str(found).partition("Method less")
    assert max(map(len, head.splitlines())) <= 60
    assert head.count("baseline") == 2
    assert notes


# ---------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda r: r.table(by="k"), "by must be one of design, n, method; got 'k'"),
        (lambda r: r.table(by=["n", "n"]), "by must hold each name once"),
        (lambda r: r.table(measures="ary"), "did you mean 'ari'"),
        (lambda r: r.table(of="mode"), "of must be one of mean, median"),
        (lambda r: r.differences("ari", "A"), "baseline must be one of a, b; got 'A'"),
        (lambda r: r.differences("ari", "a", by="method"), "by must be one of design, n; got"),
        (lambda r: r.differences("ari", level=1.0), "level must be a finite number"),
        (lambda r: r.ranks("ari", failures="first"), "failures must be one of last, drop"),
        (lambda r: r.profile("ari", taus=["x"]), "taus must be a finite number"),
        (lambda r: r.effects("ari", baseline="c"), "baseline must be one of a, b; got 'c'"),
        (lambda r: r.effects("ari", log=1), "log must be True or False"),
    ],
)
def test_refusals_say_what_there_is(ask: Any, says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        ask(made_up(SMALL, N))


def test_a_measure_without_direction_has_no_ranks() -> None:
    results = made_up(SMALL, N, "n_parameters")
    with pytest.raises(ValueError, match="n_parameters has no direction"):
        results.ranks("n_parameters")
    assert "better" not in str(results.differences("n_parameters", "a"))


def test_nothing_is_said_of_no_cells() -> None:
    nothing = made_up({"a": [[LATER]]}, {"n": (30,)})
    for ask in (nothing.table, *(lambda f=f: f("ari") for f in (nothing.ranks, nothing.effects))):
        with pytest.raises(ValueError, match="needs cells that have been run"):
            ask()
    with pytest.raises(ValueError, match="need two methods and a data set"):
        made_up({"a": [[1.0]]}, {"n": (30,)}).ranks("ari")
    with pytest.raises(ValueError, match="by must not hold 'cells'"):
        made_up({"a": [[1.0]]}, {"cells": (30,)}).table(by="cells")


def test_directions_are_what_measures_say_of_themselves() -> None:
    for name, column in MEASURES.items():
        says = "Higher is" in column.meaning, bool(re.search(r"Lower\s+is", column.meaning))
        expected = direction_of(name)
        assert says == ("Higher" in expected, "Lower" in expected), name


def test_failures_are_all_statuses_without_an_answer() -> None:
    doc = " ".join(str(gp.StudyResults.frame.__doc__).split())
    assert all(f'"{status}"' in doc for status in FAILURES)
