"""How a challenger reaches production: the gate and its page, review, shadow, and what came of the scores."""
