"""Private names of Optuna that Fulmen uses, each in one function with a test of its own."""

import optuna
from optuna.trial import FrozenTrial, Trial


def live_trial(study: optuna.Study, frozen: FrozenTrial) -> Trial:
    """Returns the trial that can report and be marked; public functions make one only where `ask` was called."""
    return Trial(study, frozen._trial_id)
