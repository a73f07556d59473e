"""Plugins."""


class BasePlugin:
    """Does nothing."""

    def add_callbacks_post_trainer(self, cfg, trainer):
        return []

    def post_train(self, cfg, model):
        pass
