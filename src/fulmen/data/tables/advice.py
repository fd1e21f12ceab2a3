"""The keys of `data=table` as one types them in a shell, for the advice in messages."""

import re
from collections.abc import Sequence


def word(key: str, value: str | Sequence[str]) -> str:
    """Returns `key=value`, in quotes where a shell or Hydra needs them; several values are a list."""
    items = [value] if isinstance(value, str) else value
    plain = all(map(_is_plain, items))
    quoted = [item if _is_plain(item) else _in_hydras_quotes(item) for item in items]
    whole = f"{key}={quoted[0]}" if isinstance(value, str) else f"{key}=[{','.join(quoted)}]"
    return whole if plain and isinstance(value, str) else _in_shells_quotes(whole)


def typed(name: str, kind: str) -> str:
    """Returns the word that gives a column its type."""
    if _is_plain(name):
        return f'"data.types={{{name}: {kind}}}"'
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')  # as YAML has it
    value = _in_hydras_quotes(f'{{"{quoted}": {kind}}}')
    return _in_shells_quotes(f"data.types={value}")


def leave_out(name: str) -> str:
    """Returns the advice to leave a column out."""
    return f"leave it out with {word('data.leave_out', [name])}"


def _is_plain(text: str) -> bool:
    """Returns whether Hydra reads an unquoted text as it is, and a shell does, too."""
    is_word = re.fullmatch(r"(?a)[A-Za-z_]\w*|0|[1-9]\d*", text)
    return is_word is not None and text.casefold() not in ("null", "true", "false")


def _in_hydras_quotes(text: str) -> str:
    return "'" + re.sub(r"(\\+)('|$)", r"\1\1\2", text).replace("'", "\\'") + "'"


def _in_shells_quotes(text: str) -> str:
    return '"' + re.sub(r"""(\\(?!')|["$`])""", r"\\\1", text) + '"'
