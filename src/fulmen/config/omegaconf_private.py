"""OmegaConf's private names that Fulmen relies on; `tests/config/test_private.py` fails when one changes."""

import copy
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, ListConfig


def with_environment(config: DictConfig, resolver: Callable[..., str]) -> DictConfig:
    """Returns a copy of a configuration in which `${oc.env:...}` calls `resolver` with its arguments.

    Nothing outside the copy changes. References may be put together while they are resolved, so that the text does not
    show all of them; but each is resolved by a method of the mapping or list that holds it, and those of the copy are
    of classes of their own.
    """

    def evaluate(self: Any, key: Any, node: Any, inter_type: str, inter_args: Any, inter_args_str: Any) -> Any:
        if inter_type == "oc.env":
            return resolver(*inter_args)
        kind = ListConfig if isinstance(self, ListConfig) else DictConfig
        return changed(kind._evaluate_custom_resolver(self, key, node, inter_type, inter_args, inter_args_str))

    method = {"_evaluate_custom_resolver": evaluate}
    mapping, sequence = type("_Mapping", (DictConfig,), method), type("_Sequence", (ListConfig,), method)

    def changed(found: Any) -> Any:
        if type(found) in (DictConfig, ListConfig):
            content = found.__dict__["_content"]
            object.__setattr__(found, "__class__", mapping if isinstance(found, DictConfig) else sequence)
            if isinstance(content, (dict, list)):  # and not null, or a reference
                for child in content.values() if isinstance(content, dict) else content:
                    changed(child)
        return found

    copied: DictConfig = changed(copy.deepcopy(config))
    return copied
