"""Shipped defaults and facts about the training libraries, as data."""
