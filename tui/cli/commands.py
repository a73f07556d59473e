"""The words that a line of `fts` may begin with, and what each is for. Known without the parser, which takes megabytes."""

from __future__ import annotations

ALONE = {
    "up": "start the studio, and open the dashboard in front",
    "down": "stop the studio; jobs that train go on unless --drain",
    "status": "which processes run",
    "serve": "put a base model, with adapters or without, behind HTTP, and say how it is called",
    "web": "the dashboard in a browser, behind a token",
    "send": "send any message as JSON",
    "schema": "the JSON Schema of a message, or of all",
    "validate": "check files of messages or configs without a studio; exit code 3 when one breaks a rule",
    "completion": "print a script that completes commands and options",
    "engine": "engines that train in an environment of their own, such as Axolotl",
    "doctor": "look at this machine and say what is missing",
    "overview": "the studio at a glance: what runs, what waits, what needs you (GetOverview)",
    "workbench": "Cloudera ML around the studio: its load, accelerators, pages (GetWorkbench)",
    "cloudera": "the studio in a project of Cloudera ML",
    "demo": "the main job, end to end, with a real small model",
}
NOUNS = {
    "dataset": "rows to train and evaluate on",
    "model": "base models",
    "prompt": "templates that make text of rows",
    "config": "training arguments, LoRA, quantisation, generation",
    "adapter": "trained weights on top of a base model",
    "job": "fine-tuning jobs",
    "evaluation": "evaluation jobs",
    "export": "adapters on their way to a registry, a directory or the Hub",
    "promotion": "trainings whose adapter is registered if it is better",
    "endpoint": "models behind HTTP",
    "compare": "a model and adapters asked side by side, as they answer",
    "database": "all resources, out to a file and in again",
    "event": "what happened, and how the queue was",
    "message": "what was sent, and how it was answered",
    "letter": "dead letters: messages that could not be run",
    "notifications": "what a webhook or a command is told when a job ends",
    "runner": "the daemons that train",
}
FIRST = {**ALONE, **NOUNS}
