"""How a network is trained: the learner, its step, packs of batches, optimizers, schedules, the Trainer."""
