"""A stand-in for Axolotl: its doors are the real ones, what is behind them learns by counting."""
