"""Names of any script in figures."""

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager

from fulmen.figures.plots import pairs_of_classes, regions
from fulmen.figures.plots.letters import letters

CLASSES = [["_low", "high"], ["_", "__init__"], ["ok", "_größe", "_$x$"]]


@pytest.mark.parametrize("classes", CLASSES)
def test_legends_name_every_class(classes: list[str]) -> None:
    random = np.random.RandomState(0)
    x, y = random.standard_normal((30, 2)), np.arange(30) % len(classes)
    line = np.linspace(-1, 1, 5)
    probabilities = random.dirichlet(np.ones(len(classes)), (5, 5))
    names = ["a", "b"]
    for figure in (
        regions((line, line), probabilities, x, y, names, classes),
        pairs_of_classes(x, y, names, classes),
    ):
        shown = [text.get_text() for text in figure.legends[0].get_texts()]
        assert [text.replace(r"\$", "$") for text in shown] == classes


@pytest.mark.parametrize("name", ["größe", "Ⓐ", "цена (₽)", "درجة", "ℊ-force"])
def test_names_are_drawn_in_a_font_that_has_their_letters(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = list(matplotlib.rcParams["font.family"])
    with letters([name, "x"]):
        figure = Figure()
        figure.suptitle(name)
        figure.canvas.draw()  # a letter without a font is a warning, and so an error
    assert matplotlib.rcParams["font.family"] == before
    assert not capsys.readouterr().err


@pytest.mark.parametrize("name", ["种类", "größe ऄ", "Ⓐ 苹果"])
def test_letters_that_no_font_has_are_said(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = [font for font in fontManager.ttflist if "mpl-data" in font.fname]  # a machine without further fonts
    monkeypatch.setattr(fontManager, "ttflist", own)
    with letters([name, "größe"]):
        pass
    missing = " ".join(sorted(set(name) & set("种类ऄ苹果")))
    assert f"no installed font has {missing}, so figures show boxes instead" in capsys.readouterr().err
