"""How a large cluster is shared: 10,000 runners and 1,000,000 jobs, given out by the studio's own choices (docs/scale.md).

    python benchmarks/scheduling.py [--runners 10000] [--jobs 1000000] [--loads 0.7 0.9 1.0] [--tick 60]

Nothing runs but the choices (tests/simulation.py). The same jobs are given out by the studio's rules, with no room kept
for anybody, and to one runner as large as the cluster, which nothing is too large for: no schedule can do better. Where
jobs ask for less than the cluster hardly anybody waits, so only the studio's rules are played there. Waits in seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

from common import heading, percentile, table, target

from tests.simulation import Figures, Machine, Policy, Simulation
from tests.users import KINDS, PRIORITIES, cluster, jobs, one_giant

Way = tuple[Callable[[int], list[Machine]], bool]
STUDIO, NONE_KEPT, GIANT = "studio", "no room kept", "one giant runner"
WAYS: dict[str, Way] = {STUDIO: (cluster, True), NONE_KEPT: (cluster, False), GIANT: (one_giant, True)}
SHARES = {"p50": 0.5, "p95": 0.95, "p99": 0.99, "max": 1.0}


def play(way: str, given: argparse.Namespace, load: float) -> Figures:
    """One run, with a line of what it took."""
    made, keeping = WAYS[way]
    begun = time.perf_counter()
    policy = Policy(keeping=keeping, tick=given.tick)
    figures = Simulation(made(given.runners), jobs(given.runners, given.jobs, load), policy).run()
    took = time.perf_counter() - begun
    print(f"  {way}: {took / 60:.1f} minutes, {figures.seconds / 3600:.1f} simulated hours", flush=True)
    return figures


def waits(figures: Figures, kind: str, priority: int | None = None) -> list[float]:
    """Seconds that jobs of a kind waited, of one priority or of all."""
    found = figures.waits.items()
    return [wait for (name, other), each in found if name == kind and priority in {None, other} for wait in each] or [0]


def show_waits(figures: Figures) -> None:
    """Print the waits by size and priority."""
    rows = []
    for kind in KINDS:
        for priority, _ in PRIORITIES:
            found = waits(figures, kind.name, priority)
            ends = [round(percentile(found, share)) for share in SHARES.values()]
            rows.append([kind.name, priority, len(found), *ends])
    table(["job", "priority", "jobs", *SHARES], rows)


def show_ways(played: dict[str, Figures]) -> None:
    """Print what became of the usual priority, large and small, by each way."""
    rows = []
    for way, figures in played.items():
        used = statistics.fmean(figures.used[len(figures.used) // 4 :])
        ends = [percentile(waits(figures, kind, 0), share) for kind in ("1 GPU", "8 GPUs") for share in (0.5, 0.99, 1)]
        rows.append([way, f"{used:.1%}", *map(round, ends), figures.longest_queue])
    heads = [f"{size} {share}" for size in ("1 GPU", "8 GPUs") for share in ("p50", "p99", "max")]
    table(["priority 0", "GPUs used", *heads, "longest queue"], rows)


def promised(load: float, played: dict[str, Figures]) -> None:
    """Print what was promised."""
    figures = played[STUDIO]
    target("given more than was free", figures.over, at_most=0)
    target("jobs that never ended", sum(map(len, figures.waits.values())) - figures.ended, at_most=0)
    target("an older one of a lane passed by without room kept for it", figures.passed, at_most=0)
    target("choices per second of a processor", figures.choices / figures.choosing, at_least=5000)
    if load < 1:
        target("8 GPUs: p99 wait, seconds", percentile(waits(figures, "8 GPUs"), 0.99), at_most=300)
        return
    small, large = (percentile(waits(figures, kind, 0), 0.99) for kind in ("1 GPU", "8 GPUs"))
    without = percentile(waits(played[NONE_KEPT], "8 GPUs", 0), 0.99)
    target("8 GPUs: p99 wait beyond that of 1 GPU, seconds", large - small, at_most=3600)
    target("8 GPUs: p99 wait, as a share of that without room kept", large / without, at_most=0.5)
    target("8 GPUs at priority 10: longest wait, seconds", max(waits(figures, "8 GPUs", 10)), at_most=900)


def main() -> None:
    """Play and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runners", type=int, default=10_000)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--loads", type=float, nargs="+", default=[0.7, 0.9, 1.0])
    parser.add_argument("--tick", type=float, default=60, help="simulated seconds between looks at all runners")
    given = parser.parse_args()
    for load in given.loads:
        heading(f"\n{given.runners} runners, {given.jobs} jobs that ask for {load:g} of their GPUs")
        figures = play(STUDIO, given, load)
        looks = 1000 * figures.looking / max(1, figures.looks)
        print(f"  {figures.choices} choices; {figures.looks} looks at all runners, {looks:.0f} ms each")
        if figures.after_kept:
            kept = [round(percentile(figures.after_kept, share)) for share in SHARES.values()]
            print(
                f"  room was kept for {figures.kept} jobs; from then to their start: {dict(zip(SHARES, kept, strict=True))}"
            )
        show_waits(figures)
        compared = [way for way in WAYS if way != STUDIO and load >= 1]
        played = {STUDIO: figures} | {way: play(way, given, load) for way in compared}
        show_ways(played)
        promised(load, played)


if __name__ == "__main__":
    main()
