"""OmegaConf's private names that Fulmen relies on; `tests/config/test_private.py` fails when one changes."""

import pickle
import re
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig, ListConfig
from omegaconf.errors import OmegaConfBaseException


def sentence(error: OmegaConfBaseException) -> str:
    """Returns what a user needs of OmegaConf's message: the key that it is about, and the cause."""
    cause = re.sub(r"\w+ raised while resolving interpolation: ", "", str(error).partition("\n")[0]).strip('"')
    return " ".join((f"{error.full_key}: {cause}" if error.full_key else cause).split())


ENVIRONMENT = "${oc.env:"


def reference(resolver: str, *arguments: Any) -> str:
    """Returns the text that calls a resolver, such as `${oc.env:HOME,null}`."""
    texts = [_written(argument) for argument in arguments]
    return f"${{{resolver}:{','.join(texts)}}}"


def _written(value: Any) -> str:
    words: dict[Any, str] = {None: "null", True: "true", False: "false"}
    text = words[value] if value is None or isinstance(value, bool) else str(value)
    if not isinstance(value, str) or re.fullmatch(r"[\w./:+ -]*|\$\{.*\}", text):
        return text
    return "'" + text.replace("'", r"\'") + "'"


def with_environment(config: DictConfig, resolver: Callable[..., str], *, keep: bool = False) -> DictConfig:
    """Returns a copy of a configuration in which `${oc.env:...}` calls `resolver` with its arguments.

    With `keep`, it returns a reference to the environment again, and so do references around it, as `${oc.decode:...}`.
    Nothing outside the copy changes. References may be put together while they are resolved, so that the text does not
    show all of them; but each is resolved by a method of the mapping or list that holds it, and those of the copy are
    of classes of their own.
    """

    def evaluate(self: Any, key: Any, node: Any, inter_type: str, inter_args: Any, inter_args_str: Any) -> Any:
        if inter_type == "oc.env":
            return resolver(*inter_args)
        if keep and any(ENVIRONMENT in str(argument) for argument in inter_args):
            return reference(inter_type, *inter_args)
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

    copied: DictConfig = changed(pickle.loads(pickle.dumps(config)))  # half the time of a deep copy
    return copied
