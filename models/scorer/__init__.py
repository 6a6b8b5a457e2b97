"""`LeadScorer`: members stacked on what they said of rows they had not seen, in the order of time."""
