"""Workers on many nodes, as an engine that does what the test says has them: who is waited for, and for how long."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from preflight.config import Config
from preflight.config.nodes import Nodes as Wanted
from preflight.model import Presence
from preflight.places import nodes as module
from preflight.places.engine import Gone
from preflight.places.nodes import Nodes
from preflight.worker.wire import Message

HELLO = {"kind": "hello"}
PLAN = {"kind": "planned", "checks": [{"id": "a.b"}]}
END = {"kind": "end", "exit_code": 0}


class Scripted:
    """A step whose nodes say at each reading what the test has them say."""

    def __init__(
        self, nodes: Sequence[str], script: Callable[["Scripted"], Iterator[list[tuple[str, Message]]]]
    ) -> None:
        self.nodes = tuple(nodes)
        self.gone: dict[str, Gone] = {}
        self.over: Gone | None = None
        self.words = ""
        self.written = b""
        self.is_left = self.ended = False
        self._script = script(self)

    def write(self, data: bytes) -> None:
        self.written += data

    def read(self, timeout: float) -> list[tuple[str, Message]]:
        time.sleep(min(timeout, 0.002))
        try:
            return next(self._script)
        except StopIteration:
            self.ended = True
            return []

    def leave(self) -> None:
        self.is_left = True

    def stop(self) -> None:
        self.ended = True


class Engine:
    """Starts what the test has written, one script for each step."""

    kind = own_name = "scripted"

    def __init__(self, nodes: Sequence[str], *scripts: Any) -> None:
        self.nodes = tuple(nodes)
        self.steps: list[Scripted] = []
        self._scripts = list(scripts)

    def start(self, argv: Sequence[str], nodes: Sequence[str]) -> Scripted:
        self.steps.append(Scripted(nodes, self._scripts.pop(0)))
        self.steps[-1].words = argv[2]
        return self.steps[-1]


def all_say(*messages: Message) -> Any:
    """Return a script in which every node says these, one at a reading."""

    def script(step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        for message in messages:
            yield [(name, message) for name in step.nodes]

    return script


def hear(engine: Engine, **wanted: Any) -> tuple[Nodes, list[tuple[str, str]]]:
    """Return the workers at their end, and who said what."""
    nodes = Nodes(engine)
    nodes.ask({"source": "foo.yaml"})
    config = Config(nodes=Wanted(**wanted), deadline=0.1)
    heard = [(said[0], said[1]["kind"]) for said in nodes.messages(config) if said]
    nodes.close()
    assert all(step.is_left for step in engine.steps)
    return nodes, heard


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let little time pass."""
    for name, seconds in {"_GRACE": 0.1, "_GREETING": 0.3, "_TICK": 0.02, "_PARTING": 0.05}.items():
        monkeypatch.setattr(module, name, seconds)


def test_they_are_asked_once_each_has_said_hello() -> None:
    def script(step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [("n1", HELLO)]
        assert not step.written
        yield [("n2", HELLO)]
        yield []
        assert step.written.count(b"foo.yaml") == 1
        yield [("n1", PLAN), ("n1", END), ("n2", PLAN), ("n2", END)]

    nodes, heard = hear(Engine(["n1", "n2"], script))
    assert heard == [("n1", "planned"), ("n2", "planned")]
    assert nodes.gone == {}


def test_those_that_have_spoken_go_on_without_one_that_is_slow() -> None:
    """It is started again by itself, and heard as well."""

    def first(_step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [("n1", HELLO), ("n3", HELLO)]
        while True:
            yield []

    engine = Engine(["n1", "n2", "n3"], first, all_say(HELLO, PLAN, END), all_say(HELLO, PLAN, END))
    nodes, heard = hear(engine)
    assert [step.nodes for step in engine.steps] == [("n1", "n2", "n3"), ("n1", "n3"), ("n2",)]
    assert not engine.steps[0].written
    assert len(heard) == 3
    assert nodes.gone == {}


def test_one_that_never_starts_is_not_waited_for_beyond_its_time() -> None:
    def silent(_step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        while True:
            yield []

    def first(_step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [("n1", HELLO)]
        yield from silent(_step)

    nodes, heard = hear(Engine(["n1", "n2"], first, all_say(HELLO, PLAN, END), silent), start=0.5)
    assert heard == [("n1", "planned")]
    assert nodes.gone == {"n2": Gone(Presence.ABSENT, "nothing heard of it within 0.5 s: worker")}


def test_those_that_the_engine_took_down_are_started_again_once() -> None:
    """As srun does when it cannot start its program on one node."""

    def taken_down(step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [(name, HELLO) for name in step.nodes if name != "n2"]
        step.gone["n2"] = Gone(Presence.ABSENT, "connection refused")

    def again(step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [("n1", HELLO), ("n1", PLAN), ("n1", END)]
        step.gone["n3"] = Gone(Presence.ABSENT, "connection refused")

    engine = Engine(["n1", "n2", "n3"], taken_down, again)
    nodes, _ = hear(engine)
    assert [step.nodes for step in engine.steps] == [("n1", "n2", "n3"), ("n1", "n3")]
    assert nodes.gone == dict.fromkeys(("n2", "n3"), Gone(Presence.ABSENT, "connection refused"))


@pytest.mark.parametrize(("answers", "presence"), [(True, Presence.SILENT), (False, Presence.LOST)])
def test_a_silent_node_is_greeted(answers: bool, presence: Presence) -> None:
    """If it answers, its worker hangs; else the node is lost."""

    def falls_silent(_step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [("n1", HELLO), ("n2", HELLO)]
        yield [("n1", PLAN), ("n1", END), ("n2", PLAN)]
        while True:
            yield []

    engine = Engine(["n1", "n2"], falls_silent, all_say(*[HELLO] if answers else []))
    nodes, _ = hear(engine, silence=0.2)
    assert nodes.gone["n2"].presence is presence
    assert "n1" not in nodes.gone
    assert [step.nodes for step in engine.steps] == [("n1", "n2"), ("n2",)]


def test_a_node_that_goes_on_is_heard_again() -> None:
    """A machine that was suspended for a minute is no reason to throw its answers away."""

    def comes_back(_step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [("n1", HELLO), ("n2", HELLO)]
        yield [("n1", PLAN), ("n2", PLAN)]
        for _ in range(300):
            yield [("n1", {"kind": "beat"})]
        yield [("n2", PLAN)]
        yield [("n2", END), ("n1", END)]

    engine = Engine(["n1", "n2"], comes_back, all_say(HELLO))
    nodes, heard = hear(engine, silence=0.2)
    assert len(engine.steps) == 2
    assert heard[-1] == ("n2", "planned")
    assert nodes.gone == {}


def test_a_job_that_is_cancelled_is_told_of_all() -> None:
    def cancelled(step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [("n1", HELLO), ("n2", HELLO)]
        yield [("n1", PLAN), ("n1", END), ("n2", PLAN)]
        step.over = Gone(Presence.CANCELLED, "cancelled at noon")

    nodes, _ = hear(Engine(["n1", "n2"], cancelled))
    assert nodes.gone == {"n2": Gone(Presence.CANCELLED, "cancelled at noon")}


def test_a_worker_that_ends_without_its_last_word_is_lost() -> None:
    nodes, _ = hear(Engine(["n1"], all_say(HELLO, PLAN)))
    assert nodes.gone == {"n1": Gone(Presence.LOST, "its worker ended without its last word: worker")}


def test_the_whole_has_a_deadline() -> None:
    def endless(_step: Scripted) -> Iterator[list[tuple[str, Message]]]:
        yield [("n1", HELLO)]
        while True:
            yield [("n1", {"kind": "beat"})]

    nodes, _ = hear(Engine(["n1"], endless), deadline=0.3)
    assert nodes.gone == {"n1": Gone(Presence.LATE, "it had not ended within the 0.3 s of nodes.deadline")}


def test_a_root_that_is_not_there_is_told_as_that() -> None:
    nodes, _ = hear(Engine(["n1"], all_say(HELLO, {**END, "exit_code": 1, "reason": "root /a cannot be entered"})))
    assert nodes.gone == {"n1": Gone(Presence.ANSWERED, "root /a cannot be entered")}
