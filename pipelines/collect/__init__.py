"""Sources: files today, a simulated market; what they hold goes to raw."""
