"""The command line: thin ways to call the steps."""
