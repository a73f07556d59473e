"""Models behind HTTP: OpenAI's chat and completions, and the guide's predict format, over what computes the answers."""
