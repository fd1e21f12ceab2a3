"""Optuna's private names are what Fulmen takes them for."""

import optuna

from fulmen.sweeps.search.optuna_private import live_trial


def test_a_live_trial_reports_to_the_study_that_others_read() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    study.ask()
    number = study.ask().number
    trial = live_trial(study, study.get_trials(deepcopy=False)[number])
    assert trial.number == number
    trial.report(0.5, step=10)
    trial.set_user_attr("lost", True)
    first, second = study.get_trials()
    assert (second.intermediate_values, second.user_attrs) == ({10: 0.5}, {"lost": True})
    assert (first.intermediate_values, first.user_attrs) == ({}, {})
