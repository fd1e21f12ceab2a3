"""Output that may lose its reader, as in `| head -2`: from then on it goes nowhere, and the run continues."""

import os
import sys
from typing import Any, TextIO, cast


class Outliving:
    """A stream without the error that a closed pipe raises; all else is the stream's own."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    def write(self, text: str) -> int:
        try:
            return self.stream.write(text)
        except BrokenPipeError:
            self._to_nowhere()
            return len(text)

    def flush(self) -> None:
        try:
            self.stream.flush()
        except BrokenPipeError:
            self._to_nowhere()

    def _to_nowhere(self) -> None:
        """Discards what is still in the stream's buffer, too."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.stream.fileno())
        os.close(nowhere)


def outlive_readers() -> None:
    """Puts it around this process's output and errors."""
    sys.stdout, sys.stderr = (cast(TextIO, Outliving(stream)) for stream in (sys.stdout, sys.stderr))
