"""What a runtime of Cloudera's has beside its Python: here a module that starts processes where theirs starts pods."""
