"""Launchers: what runs the jobs of a sweep, here or elsewhere. All but `basic` are published plugins of Hydra's.

A launcher is handed folders, one a job.
"""

import os
import signal
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from fulmen.config import hydra_private
from fulmen.config.groups import conf_dir
from fulmen.config.overrides import as_value, parse
from fulmen.errors import ConfigurationError
from fulmen.rules import alternatives, check, one_of, split_override, whole
from fulmen.runs.settings import leaves
from fulmen.runs.signals import STOPS, kept_from_children
from fulmen.sweeps import stacking
from fulmen.sweeps.job import Job

BASIC: Final = "basic"
VECTORIZED: Final = "vectorized"
CHOICE, KEYS = "hydra/launcher", "hydra.launcher."


class Kind(NamedTuple):
    """A launcher."""

    extra: str
    """The extra of Fulmen to install."""
    target: str
    overrides: tuple[str, ...] = ()
    """Its settings, unless others are typed."""
    patience: float = 0.0
    """Seconds in which a job may still begin after the launcher broke off."""


JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
RAY = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"
SUBMITIT = "hydra_plugins.hydra_submitit_launcher.submitit_launcher."
INSIDE: Final = (BASIC, "joblib", "ray")
"""Launchers that may run the stacks of `vectorized`."""
LAUNCHERS: Final = {
    BASIC: Kind("", ""),
    VECTORIZED: Kind("", ""),
    "joblib": Kind("joblib", JOBLIB, ("hydra.launcher.batch_size=1",)),
    "ray": Kind("ray", RAY, ("+hydra.launcher.ray.init.include_dashboard=false",), 10.0),
    "submitit_local": Kind("submitit", f"{SUBMITIT}LocalLauncher", ("hydra.launcher.timeout_min=10080",), 10.0),
    "submitit_slurm": Kind("submitit", f"{SUBMITIT}SlurmLauncher", ("hydra.launcher.max_num_timeout=10",), 60.0),
}


def split(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Returns the overrides about the launcher, and all others."""
    about = [override for override in overrides if override.lstrip("+~").startswith((CHOICE, KEYS))]
    return about, [override for override in overrides if override not in about]


class Launcher:
    """A launcher, which runs the jobs of a sweep.

    Args:
        overrides: those about it, as typed.

    Raises:
        ConfigurationError: there is no such launcher, it is not installed, or it lacks a key.
    """

    def __init__(self, overrides: Sequence[str]) -> None:
        self.name = BASIC
        for override in map(parse, overrides):
            if override.is_sweep_override():
                raise ConfigurationError(f"a sweep has one launcher, and {override.input_line} names several values")
            if override.key_or_group == CHOICE:
                self.name = str(override.value())
        if self.name not in LAUNCHERS:
            raise ConfigurationError(f"there is no {CHOICE}={self.name}{alternatives(self.name, LAUNCHERS)}")
        self.kind, self.overrides = LAUNCHERS[self.name], list(overrides)
        self.inner: Launcher | None = None
        """What runs the stacks of `vectorized`."""
        self.copies = 0
        if self.name == VECTORIZED:
            self._read_stacking()
            return
        if self.name == BASIC:
            if keys := [override for override in overrides if override.lstrip("+~").startswith(KEYS)]:
                raise ConfigurationError(f"{CHOICE}=basic has no keys, and {keys[0]} is one; choose another launcher")
            return
        if self.kind.target.rpartition(".")[2] not in _installed():
            raise ConfigurationError(
                f"{CHOICE}={self.name} is not installed; it comes with: pip install 'fulmen[{self.kind.extra}]'"
            )
        self.settings = self._compose(Path("sweep")).hydra.launcher
        if self.settings._target_ != self.kind.target:
            raise ConfigurationError(f"hydra.launcher._target_ is not for you to set; choose with {CHOICE}=")

    def _read_stacking(self) -> None:
        """Reads the keys of `vectorized`, of which those that are not its own are those of the launcher inside."""
        others, through = [], BASIC
        for override in self.overrides:
            key, value = split_override(override)[0], parse(override).value()
            if key == f"{KEYS}copies":
                check(key, value, whole(1, or_else=["auto"]))
                self.copies = 0 if value == "auto" else int(str(value))
            elif key == f"{KEYS}through":
                check(key, value, one_of(*INSIDE))
                through = str(value)
            elif key != CHOICE:
                others.append(override)
        if through == BASIC and others:
            key = split_override(others[0])[0]
            near = alternatives(key, [f"{KEYS}copies", f"{KEYS}through"], "vectorized has")
            raise ConfigurationError(f"there is no key '{key}'{near}; keys of joblib or ray go beside {KEYS}through=")
        self.inner = Launcher([f"{CHOICE}={through}", *others])

    @property
    def workers(self) -> str:
        """The launcher that starts processes: this one, or the one inside."""
        return self.name if self.inner is None else self.inner.name

    @property
    def processes(self) -> int:
        """About how many jobs it runs at once on a machine."""
        if self.name == BASIC:
            return 1
        count, cores = self.settings.get("n_jobs"), os.cpu_count() or 1
        if count is None:  # Ray counts cores itself
            return cores
        return int(count) if count > 0 else max(1, cores + 1 + int(count))  # as joblib does: -1 for all cores

    @property
    def outlived(self) -> bool:
        """Returns whether jobs outlive the process that launched them, as those in a cluster's queue do."""
        return self.name == "submitit_slurm"

    def launch(self, folders: Sequence[Path], job: Job) -> None:
        """Runs the jobs in the folders.

        Raises:
            Exception: whatever a launcher raises whose worker was killed, or that cannot reach what it launches on.
        """
        if self.inner is not None:
            found = stacking.cut(stacking.groups(folders), self.copies)
            print(*stacking.lines(found), sep="\n", flush=True)
            stacks = stacking.stacked(found, self.copies)
            inside = {place for names, _ in stacks.values() for place in names[1:]}
            places = {place.name: place for group in found for place in group.places if place.name not in inside}
            at_once = min(self.inner.processes, len(places))
            self.inner.launch([*places.values()], replace(job, stacks=stacks, at_once=at_once))
            return
        if self.name == BASIC:
            for folder in folders:
                job({"folder": str(folder)})
            return
        for batch in self._batches(folders):
            self._launch(batch, job)

    def _batches(self, folders: Sequence[Path]) -> list[Sequence[Path]]:
        """Returns the batches to start at once: submitit's local executor would start all jobs together."""
        if self.name != "submitit_local":
            return [folders]
        each = self.settings.cpus_per_task or 1
        size = max(1, (os.cpu_count() or 1) // each)
        os.environ.setdefault("OMP_NUM_THREADS", str(each))
        return [folders[place : place + size] for place in range(0, len(folders), size)]

    def _launch(self, folders: Sequence[Path], job: Job) -> None:
        config = self._compose(folders[0].parent)
        if self.name == "ray":
            _start_ray(config.hydra.launcher.ray.init)
        with initialize_config_dir(str(conf_dir()), job_name="fulmen", version_base="1.3"):
            context = hydra_private.context(config)
            plugin = Plugins.instance().instantiate_launcher(hydra_context=context, task_function=job, config=config)
            overrides = [[f"folder={as_value(str(folder))}"] for folder in folders]
            # submitit's own processes would end by Ctrl-C, and kill their jobs; the thread of the progress hears it
            with kept_from_children() if self.name == "submitit_local" else nullcontext():
                plugin.launch(overrides, int(folders[0].name))

    def _compose(self, sweep: Path) -> DictConfig:
        """Returns the configuration that the plugin is made of.

        Raises:
            ConfigurationError: an override names no key, or gives it what it cannot be.
        """
        mine = [override for override in self.kind.overrides if not self._typed(override)]
        overrides = [f"{CHOICE}={self.name}", f"hydra.sweep.dir={as_value(str(sweep))}", *mine]
        try:
            return _compose([*overrides, *self.overrides])
        except (HydraException, OmegaConfBaseException) as error:
            known = _keys(_compose(overrides).hydra.launcher)
            for override in self.overrides:
                key = parse(override).key_or_group
                if not override.startswith(("+", "~")) and key != CHOICE and key not in known:
                    near = alternatives(key, known, f"{self.name} has")
                    raise ConfigurationError(f"there is no key '{key}'{near}") from error
            raise ConfigurationError(" ".join(str(error.__cause__ or error).split("\n")[0].split())) from error

    def _typed(self, override: str) -> bool:
        key = split_override(override.lstrip("+"))[0]
        return any(split_override(other.lstrip("+~"))[0] == key for other in self.overrides)


def _start_ray(settings: DictConfig) -> None:
    """Starts Ray before its launcher does: Ray answers SIGTERM by killing its workers, which then save nothing."""
    import ray

    handlers = [(signum, signal.getsignal(signum)) for signum in STOPS]
    if not ray.is_initialized():
        ray.init(**{str(name): value for name, value in OmegaConf.to_container(settings, resolve=True).items()})  # type: ignore[union-attr]
    for signum, handler in handlers:
        signal.signal(signum, handler)


def _compose(overrides: list[str]) -> DictConfig:
    with hydra_private.beside_host(), initialize_config_dir(str(conf_dir()), job_name="fulmen", version_base="1.3"):
        application = GlobalHydra.instance().hydra
        assert application is not None
        found = application.compose_config("job", overrides, run_mode=RunMode.MULTIRUN, with_log_configuration=False)
    assert isinstance(found, DictConfig)
    return found


def _installed() -> set[str]:
    from hydra.plugins.launcher import Launcher as Plugin

    return {plugin.__name__ for plugin in Plugins.instance().discover(Plugin)}


def _keys(settings: DictConfig) -> list[str]:
    plain = OmegaConf.to_container(settings, resolve=False)
    assert isinstance(plain, dict)
    return [f"{KEYS}{key}" for key, _ in leaves({str(key): value for key, value in plain.items()}) if key != "_target_"]
