"""Configurations put together at random: each is one, or is refused in a sentence, and what is recorded reads back."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from fulmen.config import compose, validate
from fulmen.config.groups import choices, conf_dir, groups
from fulmen.config.recorded import GIVEN_ANEW, to_rerun
from fulmen.errors import ConfigurationError
from fulmen.experiment.build import record
from fulmen.runs.folder import yaml_text
from fulmen.runs.settings import leaves

SEED = 0
SETS, LINES = 3, 10
"""Of choices, and of keys with each: composing other choices takes longest."""
VALUES = (
    *("null", "0", "1", "-1", "3", "0.5", "1e-3", "1e400", "nan", "inf", "true", "auto", "full", "", "'a b'", "é"),
    *("[]", "[4,2]", "[a]", "[[1]]", "{}", "{a:1}", "${seed}", "${nowhere}", "${oc.env:NOWHERE}", "???", "99999999999"),
    *("os.system", "val/loss", "2000-01-01", "a,b", "'", "[", "x=y", "64-true", "../..", "1_0", "relu"),
)


def lines(seed: int) -> Iterator[list[str]]:
    """Yields overrides: choices in some groups, and a few keys with values that they have, or that fit or do not."""
    chance, folders = random.Random(seed), [conf_dir()]
    every = {group: [*choices(group, folders)] for group in groups(folders) if group not in ("hydra", "sweep")}
    for _ in range(SETS):
        chosen = chance.sample([*every], chance.choice((0, 1, 2, 4)))
        words = [f"{group}={chance.choice([*every[group] * 4, 'nothing'])}" for group in chosen]
        try:
            plain = OmegaConf.to_container(compose.compose(words), resolve=False)
        except ConfigurationError:
            plain = OmegaConf.to_container(compose.compose(), resolve=False)
        assert isinstance(plain, dict)
        keys = dict(leaves({str(key): value for key, value in plain.items()}))
        for _ in range(LINES):
            line = [*words]
            for key in chance.sample([*keys], chance.choice((0, 1, 1, 2, 3))):
                place = chance.choice((*[key] * 9, key[:-1], f"{key}.x", f"{key}.0", key.partition(".")[0]))
                value = chance.choice((str(keys[key]), chance.choice(VALUES)))
                line.append(f"{chance.choice(('', '', '', '', '', '+', '++', '~'))}{place}={value}")
            yield line


@pytest.mark.parametrize("override", ["data.epochs=???", "trainer.max_steps=${oc.env:NOWHERE}"])
def test_how_long_it_takes_may_be_missing(override: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^(Missing mandatory value: data.epochs|.*'NOWHERE' not found\W*)$"):
        compose.compose([override])


def refusal(overrides: list[str], folder: Path) -> str:
    """Returns the sentence that refuses; nothing, and what was recorded in `folder`, which a rerun finds, if none does.

    Raises:
        Exception: whatever else goes wrong.
    """
    try:
        config = compose.compose(overrides)
        kept = record(config, validate.check(config))
    except ConfigurationError as error:
        return str(error)
    folder.mkdir()
    (folder / "config.yaml").write_text(yaml_text(kept), "utf-8")
    (folder / "status.json").write_text("{}", "utf-8")
    again = to_rerun(folder, [], None)
    found = record(again, validate.check(again)) | {key: kept[key] for key in GIVEN_ANEW}
    assert yaml.safe_load(yaml_text(found)) == yaml.safe_load(yaml_text(kept))
    return ""


def test_random_overrides_are_a_configuration_or_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOWHERE", raising=False)
    said = []
    for number, overrides in enumerate(lines(SEED)):
        try:
            said.append(refusal(overrides, tmp_path / str(number)))
        except Exception as error:
            raise AssertionError(f"of {overrides}") from error
    assert not [sentence for sentence in said if "\n" in sentence]
    assert 2 < said.count("") < len(said) - 5, "some of each"
