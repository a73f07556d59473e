"""The terminal: the dashboard, and the `fts` command in cli/."""
