"""The `fts` command."""
