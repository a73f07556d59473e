"""What many tests need: a real Valkey, a namespace of one's own, and a home that no other test shares."""

from __future__ import annotations

import gc
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import perf_counter
from uuid import uuid4

import pytest
import redis
from hypothesis import settings as profiles
from pydantic import SecretStr

from actors import handlers
from actors.configs import ship_defaults
from actors.desk import Desk
from core.queue import embedded
from core.queue.connect import connect
from core.settings import Settings
from core.store.session import Store
from core.store.upgrade import upgrade
from tests.databases import BOTH, PostgreSQL, hasty_sqlite, serving

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = "1"  # two that compute next to nothing would only wait for each other
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # of some hundred processes of the studio only the first compiles it
# What a change is judged by is the same each time; the nightly run looks at other examples every night.
profiles.register_profile("same", derandomize=True, deadline=None)
profiles.register_profile("nightly", max_examples=1_000, deadline=None)
profiles.load_profile(os.environ.get("FTS_TEST_PROFILE", "same"))
for name in [name for name in os.environ if name.startswith("FTS_")]:
    del os.environ[name]


class Settled:
    """Keeps the collector from walking again and again through what stays: two thirds of a small training's time.

    Libraries come in with the tests that need them, so it is asked before each test how long it has walked.
    """

    def __init__(self) -> None:
        self.began = self.walked = 0.0
        gc.callbacks.append(self.told)

    def told(self, phase: str, info: dict[str, int]) -> None:
        if phase == "start":
            self.began = perf_counter()
        else:
            self.walked += perf_counter() - self.began

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        if self.walked > 0.5:
            gc.collect()
            gc.freeze()
            self.walked = 0.0


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(Settled())


@pytest.fixture(scope="session", autouse=True)
def hasty() -> Iterator[None]:
    with hasty_sqlite():
        yield


@pytest.fixture(scope="session")
def valkey_home() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="fts-") as directory:
        server = embedded.start(Path(directory))
        yield Path(directory)
        server.kill()
        server.wait()


@pytest.fixture(scope="session")
def valkey_url(valkey_home: Path) -> str:
    return embedded.url(valkey_home)


@pytest.fixture
def ns() -> str:
    return f"t{uuid4().hex[:12]}"


@pytest.fixture
def client(valkey_url: str) -> Iterator[redis.Redis]:
    with connect(valkey_url) as made:
        yield made


@pytest.fixture
def studio_settings(tmp_path: Path, valkey_url: str, ns: str) -> Settings:
    """A studio of its own in tmp_path, on the tests' Valkey; users' paths lie in tmp_path too."""
    url = SecretStr(valkey_url)
    return Settings(home=tmp_path / ".app", project=tmp_path, namespace=ns, FTS_REDIS_URL=url)


@pytest.fixture(scope="session")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a new studio's store: a copy takes a hundredth of the time that making one does."""
    made = Store(Settings(home=tmp_path_factory.mktemp("upgraded")))
    upgrade(made)
    ship_defaults(made)
    made.close()
    return Path(made.url.database or "")


@pytest.fixture
def store(studio_settings: Settings, upgraded: Path) -> Iterator[Store]:
    made = Store(studio_settings)
    if made.is_sqlite:
        shutil.copyfile(upgraded, made.url.database or "")
    yield made
    made.close()


@pytest.fixture
def desk(studio_settings: Settings, store: Store, client: redis.Redis) -> Desk:
    """What handlers work at: a real store and the real queue; every handler is loaded."""
    handlers.load()
    return Desk(studio_settings, store, client)


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQL]:
    """A server whose files no other test session can take for old ones of its own and remove."""
    with (
        tempfile.TemporaryDirectory(prefix="fts-pg-", ignore_cleanup_errors=True) as directory,
        serving(Path(directory) / "data") as server,
    ):
        yield server


@pytest.fixture
def fresh_postgres(postgresql: PostgreSQL) -> Iterator[str]:
    """The URL of an empty PostgreSQL database."""
    with postgresql.empty() as url:
        yield url


@pytest.fixture(params=BOTH)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    """The URL of a studio's own database: SQLite's default one, or PostgreSQL. Whatever takes this runs on both."""
    if request.param == "sqlite":
        yield None
        return
    with request.getfixturevalue("postgresql").database(tmp_path) as url:
        yield url
