"""Hydra's one home: overrides, composition, validation, the allow-list, and configurations that were recorded."""
