"""Lines of a user's own code, for messages about a network."""

import inspect
import re
import traceback
from pathlib import Path

from torch import nn

LIBRARIES = ("torch", "fulmen", "lightning")


def class_line(module: nn.Module, name: str) -> str:
    """Returns a module's class with the first line of its code that has a name in it, as in `Net (nets.py:7)`."""
    kind = type(module)
    try:
        lines, start = inspect.getsourcelines(kind)
        file = Path(inspect.getfile(kind)).name
    except (OSError, TypeError):
        return kind.__name__
    written = re.compile(rf"""(self\.|def |["']){re.escape(name)}\b""")
    index = next((index for index, line in enumerate(lines) if written.search(line)), 0)
    return f"{kind.__name__} ({file}:{start + index})"


def place(net: nn.Module, error: BaseException) -> str:
    """Returns the line of a user's code and the layer that raised an error, as in `nets.py:7, in head (Linear)`."""
    names = {id(module): name for name, module in net.named_modules()}
    line = layer = ""
    for frame, number in traceback.walk_tb(error.__traceback__):
        if frame.f_globals.get("__name__", "").partition(".")[0] not in LIBRARIES:
            line = f"{Path(frame.f_code.co_filename).name}:{number}"
        module = frame.f_locals.get("self")
        if isinstance(module, nn.Module) and names.get(id(module)):
            layer = f"in {names[id(module)]} ({type(module).__name__})"
    return ", ".join(filter(None, [line, layer])) or type(net).__name__
