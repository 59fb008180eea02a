"""From applications to a plan: models resolved, classes checked, equal operators merged."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from edgesdk.errors import ModelError, ModelNotFound, UnknownModel
from edgesdk.graph.application import Application
from edgesdk.graph.identity import operator_id
from edgesdk.graph.node import Node
from edgesdk.graph.operators import VERSIONS
from edgesdk.graph.place import did_you_mean, mistake
from edgesdk.graph.plan import Card, Plan, PlannedOperator, PlannedSink

__all__ = ["compile_applications"]

_TASKS = {"infer": "raw"}


def compile_applications(
    applications: Iterable[tuple[Application[Any], str]],
    resolve: Callable[[str], Card],
    since: Mapping[tuple[str, str], int] = MappingProxyType({}),
) -> Plan:
    """Compiles (application, camera name) pairs to one plan, in which equal operators are one.

    resolve: from a model reference to its card; raises ModelError where there is none. since: by
    names of application and camera, when that pair was begun, 0 where it does not say: operators
    with state are one only where they were begun together.

    :raises GraphError: an application is wrong: operator, parameter, and ``file:line``.
    :raises UnknownModel: a GraphError and ModelNotFound in one.
    """
    compiler = _Compiler(resolve, since)
    for application, camera in applications:
        compiler.add(application, camera)
    return compiler.finish()


@dataclass
class _Compiler:
    resolve: Callable[[str], Card]
    since: Mapping[tuple[str, str], int]
    operators: list[PlannedOperator] = field(default_factory=list)
    by_id: dict[tuple[str, str, int], int] = field(default_factory=dict)
    cards: dict[str, Card] = field(default_factory=dict)
    applications: dict[str, Application[Any]] = field(default_factory=dict)
    outputs: dict[tuple[str, str], Mapping[str, int]] = field(default_factory=dict)
    selectors: dict[tuple[str, str], Mapping[str, frozenset[int]]] = field(default_factory=dict)
    sinks: list[PlannedSink] = field(default_factory=list)

    def add(self, application: Application[Any], camera: str) -> None:
        known = self.applications.setdefault(application.name, application)
        if known is not application:
            raise mistake(
                application.name,
                f"another application has this name, at {known.place}; "
                "give one of them @edge.app(name=...)",
                application.place,
            )
        if (application.name, camera) in self.outputs:
            return
        built = application.build(camera)
        adding = _Adding(self, application.name, camera)
        outputs, selectors = {}, {}
        for name, output in built.outputs.items():
            outputs[name] = adding.index_of(output.node)
            selectors[name] = adding.selection_of(output.selectors)
        self.outputs[application.name, camera] = MappingProxyType(outputs)
        self.selectors[application.name, camera] = MappingProxyType(selectors)
        for sink in built.sinks:
            self.sinks.append(
                PlannedSink(
                    application.name,
                    camera,
                    sink.kind,
                    MappingProxyType(dict(sink.params)),
                    adding.index_of(sink.node),
                    sink.name or _name_of(sink.node, built.outputs) or sink.node.gives,
                    adding.selection_of(sink.selectors),
                    sink.place,
                )
            )

    def finish(self) -> Plan:
        return Plan(
            tuple(self.operators),
            MappingProxyType(self.applications),
            MappingProxyType(self.outputs),
            MappingProxyType(self.selectors),
            tuple(self.sinks),
        )

    def card_of(self, node: Node) -> Card:
        assert node.model is not None
        card = self.cards.get(node.model)
        if card is None:
            try:
                card = self.resolve(node.model)
            except ModelNotFound as error:
                raise UnknownModel(f"{node.place}: {node.kind}: {error}") from error
            except ModelError as error:
                error.args = (f"{node.place}: {node.kind}: {error}", *error.args[1:])
                raise
            self.cards[node.model] = card
        task = _TASKS.get(node.kind, node.kind)
        if card.task != task:
            raise mistake(
                node.kind,
                f"model {card.name!r} is made to {card.task}, not to {task}",
                node.place,
            )
        return card


def _name_of(node: Node, outputs: Mapping[str, Any]) -> str | None:
    return next((name for name, output in outputs.items() if output.node is node), None)


@dataclass
class _Adding:
    """One application on one camera being added: nodes become merged operators, depth first."""

    compiler: _Compiler
    application: str
    camera: str
    found: dict[int, int] = field(default_factory=dict)

    def index_of(self, wanted: Node) -> int:
        trail: list[Node] = []
        open_nodes: set[int] = set()
        waiting = [wanted]
        while waiting:
            node = waiting[-1]
            if id(node) in self.found:
                waiting.pop()
                continue
            needed = [n for n in (*node.inputs, *node.selectors) if id(n) not in self.found]
            if not needed:
                waiting.pop()
                self.found[id(node)] = self._merge(node)
                if trail and trail[-1] is node:
                    trail.pop()
                open_nodes.discard(id(node))
                continue
            if id(node) not in open_nodes:
                open_nodes.add(id(node))
                trail.append(node)
            for next_one in needed:
                if id(next_one) in open_nodes:
                    start = next(i for i, n in enumerate(trail) if n is next_one)
                    chain = " -> ".join(n.kind for n in [*reversed(trail[start:]), trail[-1]])
                    raise mistake(next_one.kind, f"the graph has a cycle: {chain}", next_one.place)
            waiting.append(needed[0])
        return self.found[id(wanted)]

    def selection_of(self, nodes: Sequence[Node]) -> frozenset[int]:
        """The selectors that must all pass, without those that another of them implies.

        Two samples that were written apart are one by now, so that what follows has one id.
        """
        found = {self.index_of(node) for node in nodes}
        implied: set[int] = set()
        waiting = [i for index in found for i in self.compiler.operators[index].selectors]
        while waiting:
            index = waiting.pop()
            if index not in implied:
                implied.add(index)
                waiting.extend(self.compiler.operators[index].selectors)
        return frozenset(found - implied)

    def _merge(self, node: Node) -> int:
        """The operator that *node* is, made if no application has brought it yet."""
        operators = self.compiler.operators
        card = self.compiler.card_of(node) if node.model is not None else None
        if node.kind == "filter":
            self._check_classes(node)
        inputs = tuple(self.found[id(n)] for n in node.inputs)
        selectors = self.selection_of(node.selectors)
        custom = node.custom
        identity = operator_id(
            name=node.kind if custom is None else f"custom {custom.name}",
            version=VERSIONS[node.kind] if custom is None else f"{custom.version} {custom.source}",
            parameters=node.params,
            model=None if card is None else card.digest,
            preprocessing=None,
            inputs=[operators[i].id for i in inputs],
            selectors=[operators[i].id for i in selectors],
        )
        since = max((operators[i].since for i in inputs), default=0)
        if node.role == "stateful":
            since = self.compiler.since.get((self.application, self.camera), 0)
        key = self.camera, identity, since
        index = self.compiler.by_id.get(key)
        if index is not None:
            known = operators[index]
            places = known.places if node.place in known.places else (*known.places, node.place)
            operators[index] = replace(
                known, applications=known.applications | {self.application}, places=places
            )
            return index
        index = len(operators)
        self.compiler.by_id[key] = index
        operators.append(
            PlannedOperator(
                index=index,
                id=identity,
                kind=node.kind,
                role=node.role,
                gives=node.gives,
                camera=self.camera,
                inputs=inputs,
                selectors=selectors,
                params=MappingProxyType(dict(node.params)),
                model=card,
                applications=frozenset({self.application}),
                places=(node.place,),
                custom=custom,
                since=since,
            )
        )
        return index

    def _check_classes(self, node: Node) -> None:
        wanted = node.params["classes"]
        source = node.inputs[0]
        while source.kind in ("filter", "track", "speed", "attach"):
            source = source.inputs[0]
        if wanted is None or source.kind != "detect":
            return
        card = self.compiler.card_of(source)
        known = list(dict.fromkeys(card.labels.values()))
        for name in wanted:
            if known and name not in known:
                listed = ", ".join(known[:20]) + (
                    f" and {len(known) - 20} more" if len(known) > 20 else ""
                )
                raise mistake(
                    f"{node.written or node.kind}(classes={list(wanted)!r})",
                    f"model {card.name!r} has no class {name!r}"
                    f"{did_you_mean(name, known) or ';'} it has {listed}",
                    node.place,
                )
