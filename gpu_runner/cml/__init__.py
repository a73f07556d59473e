"""Cloudera ML as a place to run: what runs in its pods, and what looks after it from here."""
