"""What is watched once a champion is at work: drift of its features and of its scores."""
