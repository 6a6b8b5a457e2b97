"""What marketing consumes: the scores of a date, and the audience without those who may not be written to."""
