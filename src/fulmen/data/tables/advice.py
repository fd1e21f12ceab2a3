"""The keys of `data=table` as one types them in a shell, for the advice in messages."""

import re
from collections.abc import Sequence


def word(key: str, value: str | Sequence[str]) -> str:
    """Returns `key=value`, in quotes where a shell or Hydra needs them; several values are a list."""
    items = [value] if isinstance(value, str) else value
    plain = all(map(_is_plain, items))
    quoted = [item if _is_plain(item) else "'" + item.replace("'", "\\'") + "'" for item in items]
    whole = f"{key}={quoted[0]}" if isinstance(value, str) else f"{key}=[{','.join(quoted)}]"
    return whole if plain and isinstance(value, str) else f'"{whole}"'


def typed(name: str, kind: str) -> str:
    """Returns the word that gives a column its type."""
    if _is_plain(name):
        return f'"data.types={{{name}: {kind}}}"'
    quoted = name.replace("\\", "\\\\").replace('"', '\\"')  # as YAML has it
    value = f'{{"{quoted}": {kind}}}'.replace("'", "\\'")  # in Hydra's quotes
    return '"' + re.sub(r'([\\"$`])', r"\\\1", f"data.types='{value}'") + '"'


def leave_out(name: str) -> str:
    """Returns the advice to leave a column out."""
    return f"leave it out with {word('data.leave_out', [name])}"


def _is_plain(text: str) -> bool:
    return text.replace("_", "").isalnum() and text.isascii()
