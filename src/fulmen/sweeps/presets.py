"""`sweep=<preset>`: a file of `conf/sweep/` that lists the words of a sweep, so that nobody has to remember them.

```yaml
# What help shows
words:
  - optimizer=sgd,adam
  - optimizer.lr=0.001,0.01,0.1
```

A word that is typed takes the place of the preset's word of the same group or key.
"""

from collections.abc import Sequence
from pathlib import Path

import yaml

from fulmen.words import ConfigurationError, choices, search_path, suggestion

GROUP = "sweep"


def named(words: Sequence[str]) -> bool:
    """Whether a preset is among the words."""
    return any(word.startswith(f"{GROUP}=") for word in words)


def expanded(words: Sequence[str], config_dir: str | None) -> list[str]:
    """The words, with those of the preset that they name before them.

    Raises:
        ConfigurationError: there is no such preset, or it is no list of words.
    """
    names = [word.partition("=")[2] for word in words if word.startswith(f"{GROUP}=")]
    typed = [word for word in words if not word.startswith(f"{GROUP}=")]
    if not names:
        return typed
    there = choices(GROUP, search_path(config_dir))
    if len(names) > 1:
        raise ConfigurationError(f"{GROUP}= wants one preset, and these are {len(names)}: {', '.join(names)}")
    if names[0] not in there:
        near = suggestion(names[0], there) or ";"
        raise ConfigurationError(f"there is no {GROUP}={names[0]}{near} the choices are {', '.join(there)}")
    keys = {word.partition("=")[0] for word in typed}
    return [*(word for word in _words(there[names[0]]) if word.partition("=")[0] not in keys), *typed]


def _words(path: Path) -> list[str]:
    try:
        found = yaml.safe_load(path.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ConfigurationError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    words = found.get("words") if isinstance(found, dict) and len(found) == 1 else None
    if not isinstance(words, list) or not all(isinstance(word, str) and "=" in word for word in words):
        raise ConfigurationError(f"{path} is no preset; it wants one key, as in 'words: [optimizer=sgd,adam]'")
    return words
