"""What happens beside the training: checkpoints and progress."""
