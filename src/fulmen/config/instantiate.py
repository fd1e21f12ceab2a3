"""From a part's configuration to the part: an object, or a function still to be called."""

import functools
from typing import Any

from hydra.errors import HydraException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from fulmen.config import allowlist


def make(config: DictConfig) -> Any:
    """Builds what a part's configuration describes; with `_partial_`, returns a function still to be called.

    Its targets must have been checked (`allowlist.check`).

    Raises:
        Exception: whatever the part itself raises.
    """
    plain: Any = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    values = {key: value for key, value in plain.items() if key not in ("_target_", "_partial_")}
    is_flat = not any(key.startswith("_") for key in values) and "_target_" not in str(values)
    if is_flat and plain["_target_"] in allowlist.shipped():  # Hydra takes 1 ms for each of a run's eleven parts
        call = get_object(plain["_target_"])
        return functools.partial(call, **values) if plain.get("_partial_") else call(**values)
    try:
        part = instantiate(config, _convert_="all")
    except HydraException as error:
        raise (error.__cause__ or error) from None  # what the part itself said, without Hydra's frame around it
    if not config.get("_partial_", False):
        return part
    # Hydra's own partial looks at its block list in every call, 0.4 ms that a loss cannot spare; ours was checked once
    return functools.partial(part.func, *part.args, **part.keywords)
