"""Names as people have them, typed plainly."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from fulmen.config import validate
from fulmen.config.compose import compose
from fulmen.config.overrides import COLUMNS, as_value, read
from fulmen.errors import ConfigurationError
from fulmen.rules import check, many, text
from fulmen.sweeps.grid import grid, records

NAMES = [
    "größe",
    "种类",
    "2021",
    "01",
    "1e3",
    "No",
    "true",
    "nan",
    "a=b",
    "price (€)",
    "x'y",
    'a "b"',
    "$/m2",
    "_{",
    "#",
    "a\\b",
]


@pytest.mark.parametrize("name", NAMES)
def test_columns_are_taken_as_they_are_typed(name: str) -> None:
    assert read(f"data.target={name}").value() == name
    assert read(f"data.leave_out=[{name},other one]").value() == [name, "other one"]
    composed = compose(["data=table", f"data.target={name}", f"data.leave_out=[{name}]", f"data.path={name}.csv"])
    assert OmegaConf.to_container(composed.data)["target"] == name  # type: ignore[call-overload, index]
    assert composed.data.leave_out == [name]
    assert composed.data.path == f"{name}.csv"


WRITTEN = re.compile(r"""null|\s*|.*\$\{.*|'.*'|".*"|\[.*\]|\w+\(.*\)""", re.DOTALL)
"""Texts that mean something in an override: these need quotes."""
LETTERS = st.characters(exclude_categories=["C", "Zl", "Zp"])  # neither control letters nor ends of lines


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.text(LETTERS, max_size=12))
def test_any_name_is_taken_as_it_is_typed_or_in_quotes(name: str) -> None:
    assume("${" not in name)  # a reference, in quotes too
    for key in ("data.target", "model.x"):
        assert read(f"{key}={as_value(name)}").value() == name
    plain = name.strip()
    if "," not in name and not WRITTEN.fullmatch(plain):
        assert read(f"data.target={name}").value() == plain
        assert read(f"data.features=[{name},b]").value() == [plain, "b"]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.text(LETTERS, max_size=12))
def test_any_value_is_read_or_the_sentence_says_how_to_quote_it(value: str) -> None:
    assume("${" not in value)
    try:
        read(f"model.x={value}")
    except ConfigurationError as error:
        (typed,) = shlex.split(str(error).partition("quote it: ")[2])
        assert read(typed).value() == value


@pytest.mark.parametrize("key", COLUMNS)
def test_what_is_written_for_hydra_stays(key: str) -> None:
    assert read(f"{key}=null").value() is None
    assert read(f"{key}='a,b'").value() == "a,b"
    assert read(f'{key}=["a,b",c]').value() == ["a,b", "c"]
    assert read(f"{key}=größe,b").is_sweep_override()
    assert read(f"{key}=choice(a,b)").is_sweep_override()


@pytest.mark.parametrize("value", ["größe", ";", "a=b", "a;b", "€"])
def test_words_of_any_script_need_no_quotes(value: str) -> None:
    assert read(f"data.separator={value}").value() == value
    assert read(f"model.hidden=[1,{value}]").value() == [1, value]


@pytest.mark.parametrize("value", ["${oc.decode:${oc.env:H}}", "a/${oc.env:${word}}", "${oc.decode:'[${oc.env:H},4]'}"])
def test_references_inside_references_need_no_quotes(value: str) -> None:
    assert read(f"model.x={value}").value() == value
    if "," not in value:
        assert read(f"model.hidden=[{value},3]").value() == [value, 3]


@pytest.mark.parametrize("text", ["model.x=a(b", "model.x=it's", 'model.x=a "b" c', "model.x=Preis (€)"])
def test_following_the_advice_to_quote_gives_the_value(text: str) -> None:
    with pytest.raises(ConfigurationError, match="if its value is a text, quote it: ") as refused:
        read(text)
    (typed,) = shlex.split(str(refused.value).partition("quote it: ")[2])
    assert read(typed).value() == text.partition("=")[2]


def test_a_key_that_cannot_be_read_is_not_told_to_quote() -> None:
    with pytest.raises(ConfigurationError, match="a key can have only the letters a to z"):
        read("data.größe=1")


@pytest.mark.parametrize("value", [True, False, 2015, 1.5])
def test_yaml_that_is_no_text_is_explained(value: object) -> None:
    for rule, found in ((text(), value), (many(text()), ["a", value])):
        with pytest.raises(ConfigurationError, match=r"put (the text|it) in quotes$") as refused:
            check("data.leave_out", found, rule)
        assert ("YAML reads no" in str(refused.value)) == isinstance(value, bool)


def test_an_experiment_says_to_quote_a_column_that_yaml_reads_otherwise(
    tmp_path: Path, refused: Callable[..., str]
) -> None:
    name = "No"
    (tmp_path / "experiment").mkdir()
    file, table = tmp_path / "experiment" / "flats.yaml", tmp_path / "flats.csv"
    table.write_text(f"{name},b,y\n" + "".join(f"{n % 7},{n % 5},{n * 0.37}\n" for n in range(60)))
    lines = (
        "# @package _global_\ndefaults:\n  - override /data: table\ndata:\n  path: {}\n  target: y\n  leave_out: [{}]\n"
    )
    file.write_text(lines.format(table, name))
    assert "quotes" in refused("--config-dir", str(tmp_path), "experiment=flats")
    file.write_text(lines.format(table, f"'{name}'"))
    assert validate.check(compose(["experiment=flats"], tmp_path)).spec.feature_names == ("b",)


@pytest.mark.parametrize("words", ["data.features=7", "data.features='7'"])
def test_a_key_of_other_data_is_no_column(words: str) -> None:
    own = Path(__file__).parents[2] / "scripts" / "benchmarks" / "own"
    config = compose(["allow_targets=[noise]", "data=noise", words], own)
    assert validate.check(config).spec.in_shape == (7,)
    jobs = grid(["allow_targets=[noise]", "data=noise", "data.features=3,5"], str(own)).jobs
    assert [job["data"]["features"] for job in records(jobs, str(own))] == [3, 5]
