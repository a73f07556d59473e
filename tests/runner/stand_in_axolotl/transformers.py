"""Of transformers, what the studio's plugin of Axolotl needs."""


class TrainerCallback:
    """Does nothing."""

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return lambda *args, **others: None


def set_seed(seed):
    import random

    random.seed(seed)
