"""Arguments."""


class TrainerCliArgs:
    """None."""
