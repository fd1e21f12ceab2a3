"""What is learned and how well: tasks, losses, penalties, metrics, evaluation."""
