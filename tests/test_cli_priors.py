"""Claims about `--priors`: files that give the priors that Python would, and those that do not."""

from __future__ import annotations

import json
from pathlib import Path

import pyro.distributions as dist
import pytest
import torch

import gmm_pyro as gp
from gmm_pyro.cli.priors import read_priors, with_priors
from gmm_pyro.data.observations import observe

pytestmark = pytest.mark.usefixtures("no_pictures")
FAITHFUL = gp.datasets.old_faithful()
OBSERVED = observe(FAITHFUL.x, feature_names=FAITHFUL.feature_names)

BY_SITE = """
location = 3
spread = { waiting = 10, eruptions = 1.5 }

[weights]
distribution = "Dirichlet"
concentration = 3

[means]
distribution = "Normal"
loc = { waiting = 71, eruptions = 3.5 }
scale = [2, 20]

[correlations]
distribution = "LKJCholesky"
concentration = 4.0
"""
CONJUGATE = """
[conjugate]
concentration = [1, 2]
mean = { eruptions = 3.5, waiting = 71 }
dof = 6
spread = 2
"""


def priors_of(text: str, folder: Path, covariance: str = "full") -> gp.Priors:
    (folder / "prior.toml").write_text(text, encoding="utf-8")
    model = gp.MixtureModel(2, covariance)
    return with_priors(model, read_priors(folder / "prior.toml"), OBSERVED).priors


class TestWhatIsUnknownItself:
    def test_kinds_of_concentrations(self, tmp_path) -> None:
        found = priors_of('[conjugate]\nconcentration = { kind = "dynamic" }', tmp_path)
        assert isinstance(found.concentration, gp.Dynamic)
        text = '[conjugate.concentration]\nkind = "static"\nvalue = 0.1'
        found = priors_of(text, tmp_path).concentration
        assert isinstance(found, gp.Static)
        assert found.value == 0.1
        text = (
            '[conjugate.concentration]\nkind = "dirichlet process"\n'
            'distribution = "Gamma"\nconcentration = 2\nrate = 5'
        )
        found = priors_of(text, tmp_path).concentration
        assert isinstance(found, gp.DirichletProcess)
        assert float(found.value.rate) == 5

    def test_a_random_scale(self, tmp_path) -> None:
        text = (
            '[conjugate.scale]\nkind = "random"\ndof = 2.5\nmean = { waiting = 9, eruptions = 1 }'
        )
        found = priors_of(text, tmp_path).scale
        assert isinstance(found, gp.RandomScale)
        assert found.dof == 2.5
        assert found.mean.tolist() == [1, 9]

    @pytest.mark.parametrize(
        ("table", "complaint"),
        [
            ('concentration = { kind = "static" }', "must have a value, or a distribution"),
            ('concentration = { kind = "dynamics" }', "did you mean 'dynamic'"),
            ("concentration = { value = [1, 2] }", r"value must be a number; got \[1, 2\]"),
            ('concentration = { kind = "dynamic", e = 1 }', "has no 'e': it may have value"),
            ('scale = { kind = "random", size = 1 }', "has no 'size': it may have kind, dof, mean"),
            ('scale = { kind = "random", dof = "a" }', "dof must be a number; got 'a'"),
        ],
    )
    def test_what_is_none(self, table: str, complaint: str, tmp_path) -> None:
        with pytest.raises(ValueError, match=complaint):
            priors_of(f"[conjugate]\n{table}", tmp_path)

    def test_a_prior_that_does_not_go_with_an_unknown_number(self, tmp_path) -> None:
        file = tmp_path / "prior.toml"
        file.write_text('[conjugate]\nconcentration = { kind = "dirichlet process" }')
        with pytest.raises(ValueError, match="has no number of components to be unknown"):
            with_priors(gp.MixtureModel(gp.Unknown()), read_priors(file), OBSERVED)


class TestWhatAFileGives:
    def test_distributions_by_site(self, tmp_path) -> None:
        found = priors_of(BY_SITE, tmp_path)
        assert isinstance(found, gp.Priors)
        assert found.location.tolist() == [3, 3]
        assert found.spread.tolist() == [1.5, 10]
        assert found.weights.concentration.tolist() == [3, 3]
        assert found.means.loc.tolist() == [3.5, 71]
        assert found.means.scale.tolist() == [2, 20]
        assert (found.correlations.dim, float(found.correlations.concentration)) == (2, 4)
        assert found.scales is None

    def test_the_numbers_of_the_conjugate_prior(self, tmp_path) -> None:
        found = priors_of(CONJUGATE, tmp_path)
        assert isinstance(found, gp.ConjugatePriors)
        assert torch.as_tensor(found.concentration).tolist() == [1, 2]
        assert torch.as_tensor(found.mean).tolist() == [3.5, 71]
        assert float(found.dof) == 6
        assert found.spread.tolist() == [2, 2]
        assert found.mean_strength == gp.ConjugatePriors().mean_strength

    def test_a_fit_is_that_of_python(self, run, tmp_path) -> None:
        (tmp_path / "prior.toml").write_text(
            '[means]\ndistribution="Normal"\nloc=[2,60]\nscale=0.1'
        )
        done = run("fit", "old-faithful", "-k", 2, "--method", "map", "--priors", "prior.toml")
        assert done.code == 0
        means = dist.Normal(torch.tensor([2.0, 60.0]), 0.1)
        model = gp.MixtureModel(2, priors=gp.Priors(means=means))
        expected = gp.fit(model, OBSERVED, "map").mixture
        found = gp.GaussianMixture.load(tmp_path / "fit" / "mixture.json")
        torch.testing.assert_close(found.means, expected.means, rtol=1e-6, atol=1e-6)
        facts = json.loads((tmp_path / "fit" / "fit.json").read_text())
        assert facts["priors"] == "Priors"
        content = {"means": {"distribution": "Normal", "loc": [2, 60], "scale": 0.1}}
        assert facts["priors_given"] == {"file": "prior.toml", "content": content}

    def test_a_comparison_has_them_for_methods_with_priors(self, run, tmp_path) -> None:
        (tmp_path / "prior.toml").write_text(CONJUGATE)
        options = ["--methods", "em,map,gibbs", "--priors", "prior.toml", "--json", "-k", 2]
        found = json.loads(run("compare", "--data", "old-faithful", *options).out)
        given = found["methods"]
        without = json.loads(
            run("compare", "--data", "old-faithful", *options[:2], *options[4:], "--force").out
        )["methods"]
        assert given["em"]["log_likelihood"] == without["em"]["log_likelihood"]
        assert given["map"]["log_likelihood"] != without["map"]["log_likelihood"]


NORMAL = '[means]\ndistribution = "Normal"\n'
REFUSED = {
    "[means\n": "cannot be read: Expected ']' at the end of a table declaration",
    "": "it must have some of the tables weights, means, scales, correlations, conjugate",
    "[mean]\n": "the file has no 'mean': it may have weights, means, .*; did you mean 'means'",
    "means = 1\n": r"means must be a table, \[means\]; got 1",
    "[means]\nloc = 1\n": r'\[means\] must have a distribution, as distribution = "Normal"',
    '[means]\ndistribution = "Normall"\n': r"\[means\] distribution must be one of Pyro's; got "
    "'Normall'; did you mean 'Normal'",
    "[means]\ndistribution = 1\n": r"\[means\] distribution must be one of Pyro's; got 1",
    f"{NORMAL}locc = 1\n": r"\[means\] has no 'locc': .* loc, scale; did you mean 'loc'",
    f"{NORMAL}loc = 1\n": r"\[means\] must have scale, which Normal takes",
    f"{NORMAL}loc = 1\nscale = -1\n": r"\[means\] Expected parameter scale .*GreaterThan",
    f"{NORMAL}loc = 'a'\nscale = 1\n": r"\[means\] loc must be a number, or .*; got 'a'",
    f"{NORMAL}loc = []\nscale = 1\n": r"\[means\] loc must be a number, or numbers in a list",
    f"{NORMAL}loc = true\nscale = 1\n": r"\[means\] loc must be a number, or .*; got True",
    f"{NORMAL}loc = [[1, 2], [3]]\nscale = 1\n": r"\[means\] loc must have lists of one length",
    f"{NORMAL}loc = {{ waiting = 1 }}\nscale = 1\n": r"\[means\] loc must have a number for each "
    "of eruptions, waiting; got waiting",
    f"{NORMAL}loc = [1, 2, 3]\nscale = 1\n": r"prior of means must broadcast to shape \(2, 2\)",
    '[scales]\ndistribution = "Normal"\nloc = 1\nscale = 1\n': "over positive numbers",
    "spread = [1, -1]\n": "spread must be positive",
    "[conjugate]\ndof = 1\n": "dof must be above 1 for full covariances in 2 dimensions, got 1.0",
    "[conjugate]\ndofs = 9\n": r"\[conjugate\] has no 'dofs'.* did you mean 'dof'",
    "[conjugate]\ndof = 9\n[means]\n": r"\[conjugate\] stands alone; there is also means",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_mistake_is_told_with_the_file_and_the_key(text: str, tmp_path) -> None:
    with pytest.raises(ValueError, match=f"prior.toml.*{REFUSED[text]}"):
        priors_of(text, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fit old-faithful --priors none.toml", "No such file or directory: none.toml"),
        ("fit old-faithful --priors site.toml", "--priors is for methods with priors, map, "),
        ("compare --methods em,kmeans --priors site.toml", "; got em and kmeans"),
        ("fit old-faithful --method gibbs --priors site.toml",
         "site.toml: gibbs needs a table [conjugate], and no other"),
        ("fit old-faithful --method gibs --priors site.toml", "did you mean 'gibbs'?"),
        ("fit old-faithful -k 2 -m map --covariance tied_spherical --priors bad.toml",
         "bad.toml: a tied_spherical mixture in 2 dimensions has no site 'correlations'"),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_refused(run, tmp_path, arguments, message) -> None:
    (tmp_path / "site.toml").write_text(f"{NORMAL}loc = 1\nscale = 1\n")
    (tmp_path / "bad.toml").write_text(BY_SITE)
    done = run(*arguments.split())
    assert (done.code, done.out) == (2, "")
    assert message in done.err
    assert done.err.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"site.toml", "bad.toml"}
