"""What is known of a table once its training rows were seen: all that new rows need, and nothing of the rows."""

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

from fulmen.data.rows import listed
from fulmen.data.source import Joint
from fulmen.data.tables.encoding import Column


class Known(NamedTuple):
    """The sizes and names that a model was made for, and how columns become features."""

    joint: Joint
    columns: list[Column]

    def plain(self) -> dict[str, Any]:
        """Lists, dicts, texts and numbers, as a checkpoint can hold them."""
        return {"joint": dataclasses.asdict(self.joint), "columns": [dict(column) for column in self.columns]}

    @classmethod
    def read(cls, plain: Mapping[str, Any]) -> "Known":
        """Made from what `plain` gave.

        Raises:
            ValueError: something is missing there.
        """
        try:
            joint = Joint(**plain["joint"])
            columns: list[Column] = list(plain["columns"])
        except KeyError as error:
            raise ValueError(
                f"There is no {error} in what was learned ({listed(list(plain)) or 'nothing'}), "
                "so new rows of a table cannot be read by it: train again."
            ) from error
        return cls(joint, columns)
