"""The pages of the dashboard, in the guide's sections and order, and ours beside them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Page:
    """A page. `name` is its word behind `:`; `label` stands in the sidebar where the title is too long for it.

    `target` is what it opens: a list of kinds.KINDS, a form's message, or a screen as "module:Class". A form lies over the
    page `over`, to which one comes back. `also` are other words for it.
    """

    name: str
    title: str
    section: str
    kind: Literal["list", "form", "screen"]
    target: str
    label: str = ""
    over: str = ""
    also: tuple[str, ...] = field(default=())

    @property
    def short(self) -> str:
        """What stands in the sidebar."""
        return self.label or self.title


def _form(name: str, title: str, section: str, message: str, over: str, *also: str) -> Page:
    return Page(name, title, section, "form", message, over=over, also=also)


def _list(name: str, title: str, section: str, target: str = "", *also: str) -> Page:
    return Page(name, title, section, "list", target or name, also=also)


def _screen(name: str, title: str, section: str, target: str, label: str = "", *also: str) -> Page:
    return Page(name, title, section, "screen", target, label, also=also)


FIRST = "home"  # the page that the dashboard opens with
PAGES = (
    _screen("home", "Home", "Navigation", "tui.screens.home:HomeScreen"),
    _screen("database", "Database Import and Export", "Navigation", "tui.screens.database:DatabaseScreen", "Database"),
    _form("import-datasets", "Import Datasets", "Resources", "AddDataset", "datasets"),
    _list("datasets", "View Datasets", "Resources"),
    _form("import-models", "Import Base Models", "Resources", "AddModel", "models"),
    _list("models", "View Base Models", "Resources"),
    _form("create-prompts", "Create Prompts", "Resources", "AddPrompt", "prompts"),
    _list("prompts", "View Prompts", "Resources"),
    _list("adapters", "Adapters", "Resources"),
    _list("configs", "Configs", "Resources"),
    _form("train", "Train a New Adapter", "Experiments", "StartFineTuningJob", "jobs"),
    _list("jobs", "Monitor Training Jobs", "Experiments"),
    Page("compare", "Local Adapter Comparison", "Experiments", "list", "comparisons", "Adapter Comparison"),
    _form("evaluate", "Run MLflow Evaluation", "Experiments", "StartEvaluationJob", "runs"),
    _list("runs", "View MLflow Runs", "Experiments", "evaluations", "mlflow"),
    _list("exports", "Export And Deploy Model", "AI Workbench", "", "deploy"),
    _list("endpoints", "Endpoints", "AI Workbench"),
    _screen(
        "ticketing",
        "Sample Ticketing Agent App",
        "Examples",
        "tui.screens.ticketing:TicketingScreen",
        "Ticketing Agent App",
    ),
    _list("runners", "Runners", "Operations"),
    _screen("events", "Events", "Operations", "tui.screens.events:EventsScreen"),
    _screen("messages", "Messages", "Operations", "tui.screens.messages:MessagesScreen"),
    _screen("letters", "Dead Letters", "Operations", "tui.screens.letters:LettersScreen", "", "dead-letters"),
    _screen("notifications", "Notifications", "Operations", "tui.screens.notifications:NotificationsScreen"),
    _screen("feedback", "Feedback", "Feedback", "tui.screens.feedback:FeedbackScreen", "Provide Feedback"),
)
BY_NAME = {page.name: page for page in PAGES}


def sections() -> dict[str, list[Page]]:
    """The pages by section, in order."""
    found: dict[str, list[Page]] = {}
    for page in PAGES:
        found.setdefault(page.section, []).append(page)
    return found


def find(word: str) -> Page | None:
    """The page that is meant: by its name, another word for it, or the beginning of one; None when there is none."""
    if not word:
        return None
    if word in BY_NAME:
        return BY_NAME[word]
    known = [(name, page) for page in PAGES for name in (page.name, page.target, *page.also)]
    exact = [page for name, page in known if name == word]
    begun = [page for name, page in known if name.startswith(word)]
    begun.sort(key=lambda page: page.kind != "list")  # what one looks at before what one fills in
    return next(iter(exact + begun), None)
