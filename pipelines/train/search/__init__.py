"""The search of better parameters: trials of an estimator, judged forward in time on the training rows alone."""
