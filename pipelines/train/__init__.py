"""Training: which rows, which features, which estimator, and the evidence for it."""
