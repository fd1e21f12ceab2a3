"""A program as Hydra and Lightning are usually put together: heavy imports come first, whatever is asked for."""

import hydra
import lightning.pytorch
import torch  # noqa: F401 - imported as usual, before anything is asked for
from omegaconf import DictConfig

from fulmen.config.groups import conf_dir


def main(config: DictConfig) -> None:
    """Would train."""
    lightning.pytorch.seed_everything(config.seed)


if __name__ == "__main__":
    hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="train")(main)()
