"""Mistakes between a plan's streams: rules and links that lead nowhere or contradict each other."""

from __future__ import annotations

from typing import Any

from edgesdk.planner.plan_tables import Tables, look_up, texts
from edgesdk.toml.structs import Mistakes, dotted

__all__ = ["look_at_links", "look_at_rules"]


def look_at_links(tables: Tables, mistakes: Mistakes) -> None:
    stated = [stream.get("place") for _, stream in tables.named("streams")]
    places = sorted({place for place in stated if isinstance(place, str)})
    seen: dict[tuple[str, str], int] = {}
    for index, link in tables.listed("links"):
        at = ("links", index)
        place, region = link.get("place"), link.get("region")
        if isinstance(region, str) and tables.names("machines"):
            look_up((*at, "region"), region, tables.regions(), "a machine's region", mistakes)
        if isinstance(place, str) and tables.names("streams"):
            look_up((*at, "place"), place, places, "a stream's place", mistakes)
        if isinstance(place, str) and isinstance(region, str):
            first = seen.setdefault((place, region), index)
            if first != index:
                mistakes.add(
                    at,
                    f"{dotted(at)}: from {place!r} to {region!r} is links[{first}] already: "
                    "expected one link between them",
                )


def look_at_rules(tables: Tables, mistakes: Mistakes) -> None:
    """Rules that contradict each other or the counts."""
    together: dict[str, int] = {}
    for index, rule in tables.listed("together"):
        path = ("together", index, "streams")
        names = _names(path, rule, tables, mistakes)
        paired = rule.get("each", "stream") == "stream"
        if isinstance(rule.get("streams"), list) and len(names) < (2 if paired else 1):
            least = "two names or more" if paired else "a name or more"
            mistakes.add_value(path, names, f'{least}; each = "all" keeps one class together')
        if paired:
            _look_at_counts(path, names, tables, mistakes)
        for at, name in enumerate(names):
            if name in together:
                mistakes.add_value((*path, at), name, "each stream in one rule of together, once")
            together[name] = index
    for index, rule in tables.listed("apart"):
        path = ("apart", index, "streams")
        names = _names(path, rule, tables, mistakes)
        bound = [together[name] for name in dict.fromkeys(names) if name in together]
        if isinstance(rule.get("streams"), list) and len(set(names)) < max(2, len(names)):
            expected = "two different names or more; at_most = 1 keeps one class's streams apart"
            mistakes.add_value(path, names, expected)
        if len(bound) != len(set(bound)):
            mistakes.add_value(path, names, "none that must share a machine (together)")


def _names(
    path: tuple[str | int, ...], rule: dict[str, Any], tables: Tables, mistakes: Mistakes
) -> list[str]:
    found = []
    for at, name in texts(rule.get("streams")):
        found.append(name)
        if tables.names("streams"):
            look_up((*path, at), name, tables.names("streams"), "[streams.NAME]", mistakes)
    return found


def _look_at_counts(
    path: tuple[str | int, ...], names: list[str], tables: Tables, mistakes: Mistakes
) -> None:
    found = [tables.stream(name) for name in names]
    counts = [stream.get("count") for stream in found if stream is not None]
    whole = [n for n in counts if isinstance(n, int) and not isinstance(n, bool) and n >= 0]
    if len(whole) == len(counts) and len(set(whole)) > 1:
        mistakes.add(
            path,
            f"{dotted(path)}: counts {', '.join(map(str, whole))}: expected equal counts, since "
            "the streams are paired",
        )
