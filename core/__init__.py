"""The kernel every other part stands on: contracts, rules, store, queue. It imports no other room."""
