"""The words of a search: what each stands for, and what is wrong with some."""

from typing import Any

import pytest
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from fulmen.config.groups import conf_dir
from fulmen.config.overrides import read
from fulmen.errors import ConfigurationError
from fulmen.sweeps.search.space import dimension

WORDS: dict[str, tuple[Any, BaseDistribution]] = {
    "optimizer.lr=interval(0.1, 2)": (0.1, FloatDistribution(0.1, 2)),
    "optimizer.lr=tag(log, interval(0.0001, 1))": (0.1, FloatDistribution(0.0001, 1, log=True)),
    "optimizer.lr=interval(1, 2)": (0.1, FloatDistribution(1, 2)),
    "model.hidden=interval(4, 16)": (8, IntDistribution(4, 16)),
    "model.hidden=interval(4, 16.5)": (8, FloatDistribution(4, 16.5)),
    "model.hidden=int(interval(4, 16))": (None, IntDistribution(4, 16)),
    "model.bias=interval(0, 1)": (True, FloatDistribution(0, 1)),
    "model.hidden=tag(log, int(interval(1, 64)))": (None, IntDistribution(1, 64, log=True)),
    "trainer.max_epochs=range(10, 50, 10)": (100, IntDistribution(10, 40, step=10)),
    "trainer.max_epochs=range(5, 1, -2)": (100, IntDistribution(3, 5, step=2)),
    "trainer.max_epochs=tag(log, range(1, 65))": (100, IntDistribution(1, 64, log=True)),
    "model.dropout=range(0.1, 0.5, 0.1)": (0.0, FloatDistribution(0.1, 0.4, step=0.1)),
    "seed=range(3, 4)": (0, CategoricalDistribution(["3"])),
    "model.hidden=choice([8],[16,16])": ([10], CategoricalDistribution(["[8]", "[16,16]"])),
    "model.bias=true,false": (True, CategoricalDistribution(["True", "False"])),
    "optimizer=sgd,adam,sgd": (None, CategoricalDistribution(["sgd", "adam"])),
    "init=glob(he*)": (None, CategoricalDistribution(["he_normal", "he_uniform"])),
}


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_a_distribution(word: str) -> None:
    default, expected = WORDS[word]
    found = dimension(read(word), default, [conf_dir()])
    assert found.distribution == expected
    assert all(read(f"{found.key}={value}") for value in found.probes)


@pytest.mark.parametrize(
    ("word", "sentence"),
    {
        "optimizer.lr=interval(1, 0.1)": "holds nothing: give the smaller number first",
        "optimizer.lr=interval(1, 1)": "holds nothing",
        "optimizer.lr=interval(0, inf)": "has no end",
        "optimizer.lr=tag(log, interval(0, 1))": "begins at 0, which is on no logarithmic scale; begin above 0",
        "optimizer.lr=tag(lgo, interval(1, 2))": "has the tag lgo, and a search knows one",
        "optimizer.lr=tag(log, choice(1, 2))": "is a list, and tag(log, ...) is for intervals and ranges",
        "seed=range(3, 3)": "matches nothing",
        "init=glob(q*)": "matches nothing",
    }.items(),
)
def test_what_is_wrong_is_said(word: str, sentence: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        dimension(read(word), None, [conf_dir()])
    assert sentence in str(caught.value) and word in str(caught.value)


def test_a_chosen_number_is_short_and_stays_inside() -> None:
    found = dimension(read("optimizer.lr=interval(0.1234574, 0.3)"), 0.1, [conf_dir()])
    assert found.text(0.2000000123) == "0.2"
    assert found.text(0.12345741) == "0.1234574"
    assert dimension(read("seed=interval(1, 9)"), 0, [conf_dir()]).text(4) == "4"


def test_the_points_of_a_grid() -> None:
    words = ("a=range(0.1,0.5,0.1)", "a=range(1,4)", "a=x,y", "a=tag(log, interval(60,62))")
    spaces = [dimension(read(word), 1, [conf_dir()]) for word in words]
    points = [[one.point(place) for place in range(one.count or 0)] for one in spaces]
    assert points == [[0.1, 0.2, 0.3, 0.4], [1, 2, 3], ["x", "y"], [60, 61, 62]]
    assert dimension(read("a=interval(1.0,2.5)"), 1, [conf_dir()]).count is None
