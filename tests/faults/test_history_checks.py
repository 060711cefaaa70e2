"""The checks find what they are there for: a history that is right, and each way in which it may be wrong."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from checks import violations, watched
from history import History, Listing, Operation, Outcome
from model import Change, Model, Revision
from watchers import told

PARENT, ONE, TWO = "parent", "one", "two"


def change(operation: str, uuid: str, token: str, at: int, **more: object) -> Change:
    fields = {
        "uuid": uuid, "fq_name": [uuid], "display_name": token, "parent_uuid": PARENT,
        "id_perms": {"last_modified": f"{at:03}"}, **more,
    }  # fmt: skip
    return Change(operation, "instance-ip", uuid, {} if operation == "delete" else fields, f"{uuid} {token}".encode())


@dataclass
class Run:
    """What came of a small history: two objects that are made, changed together, read and listed; one is deleted."""

    history: History
    log: list[Revision]
    seen: list[tuple[int, bytes]]

    def violations(self) -> list[str]:
        model = Model()
        return [
            *model.extend(self.log),
            *violations(self.history, model),
            *watched("w", self.seen, told(self.log, "instance-ip")),
        ]


@pytest.fixture
def run() -> Run:
    def operation(action: str, uuid: str, at: int, revision: int, token: str | None, **more: object) -> Operation:
        return Operation(0, action, "instance-ip", uuid, at, token, outcome=Outcome.DONE, returned=at + 0.5,
                         revision=revision, **more)  # type: ignore[arg-type]  # fmt: skip

    log = [
        (1, [Change("create", "project", PARENT, {"fq_name": ["p"], "id_perms": {"last_modified": "1"}}, b"p")]),
        (2, [change("create", ONE, "a", 2, instance_ip_address="10.0.0.1", virtual_network_refs=[{"uuid": PARENT}])]),
        (3, [change("create", TWO, "b", 3, instance_ip_address="10.0.0.2", virtual_network_refs=[{"uuid": PARENT}])]),
        (4, [change("update", ONE, "c", 4), change("update", TWO, "d", 4)]),
        (5, [change("update", ONE, "e", 5)]),
        (6, [change("delete", TWO, "", 6)]),
    ]
    unknown = Operation(1, "update", "instance-ip", ONE, 4, "e")
    history = History(
        [
            operation("create", ONE, 1, 2, "a"),
            operation("create", TWO, 2, 3, "b"),
            operation("update", ONE, 3, 4, "c"),
            operation("update", TWO, 3, 4, "d"),
            unknown,
            operation("read", ONE, 5, 5, "e", version='"005"'),
            operation("delete", TWO, 6, 6, None),
        ],
        [Listing("instance-ip", PARENT, 7, 7.5, 6, {ONE: "e"})],
        [["c", "d"]],
    )
    return Run(history, log, told(log, "instance-ip"))


def test_a_right_history_is_right(run: Run) -> None:
    assert run.violations() == []


def lost_write(run: Run) -> None:
    run.log[3] = (4, [change("update", ONE, "c", 4)])
    run.seen[2] = (4, b"one c")


def lost_revision(run: Run) -> None:
    del run.log[4]
    del run.seen[3]


def inverted_revisions(run: Run) -> None:
    run.log[1], run.log[2] = (2, run.log[2][1]), (3, run.log[1][1])
    run.history.operations[0].revision, run.history.operations[1].revision = 3, 2
    run.seen = told(run.log, "instance-ip")


def done_twice(run: Run) -> None:
    run.log += [(7, [change("update", ONE, "f", 7)]), (8, [change("update", ONE, "e", 8)])]
    run.seen = told(run.log, "instance-ip")


def refused_but_done(run: Run) -> None:
    run.history.operations[4].outcome = Outcome.NOTHING


def stale_read(run: Run) -> None:
    run.history.operations[5].token = "c"


def old_read(run: Run) -> None:
    """True of its revision, but that was past when it was asked for."""
    read = run.history.operations[5]
    read.token, read.revision, read.version = "a", 2, '"002"'


def deleted_twice(run: Run) -> None:
    run.log += [(7, [change("create", TWO, "b", 7)]), (8, [change("delete", TWO, "", 8)])]
    run.seen = told(run.log, "instance-ip")


def one_version_for_two_states(run: Run) -> None:
    read = run.history.operations[5]
    run.history.operations.append(Operation(0, "read", "instance-ip", ONE, 2.6, "a", version=read.version,
                                            outcome=Outcome.DONE, returned=2.7, revision=3))  # fmt: skip


def torn_list(run: Run) -> None:
    run.history.listings[0].found[TWO] = "d"


def torn_transaction(run: Run) -> None:
    run.log[3:] = [
        (4, [change("update", ONE, "c", 4)]), (5, [change("update", TWO, "d", 5)]), (6, run.log[4][1]),
        (7, run.log[5][1]),
    ]  # fmt: skip
    run.seen = told(run.log, "instance-ip")


def orphan(run: Run) -> None:
    run.log.append((7, [Change("delete", "project", PARENT, {}, b"")]))


def address_twice(run: Run) -> None:
    run.log[2] = (3, [change("create", TWO, "b", 3, instance_ip_address="10.0.0.1",
                             virtual_network_refs=[{"uuid": PARENT}])])  # fmt: skip


def version_goes_back(run: Run) -> None:
    run.log[4] = (5, [change("update", ONE, "e", 1)])


def odd_answer(run: Run) -> None:
    run.history.odd.append("500")


def event_missed(run: Run) -> None:
    del run.seen[1]


def event_repeated(run: Run) -> None:
    run.seen.insert(1, run.seen[1])


def events_swapped(run: Run) -> None:
    run.seen[0], run.seen[1] = run.seen[1], run.seen[0]


def event_torn(run: Run) -> None:
    run.seen[2] = (4, b"one c")


def last_event_missed(run: Run) -> None:
    del run.seen[-1]


DAMAGES = {
    lost_write: "lost: ", lost_revision: "revision 6 follows 4", inverted_revisions: "inversion: ",
    done_twice: "twice: ", refused_but_done: "refused, but done: ", stale_read: "stale: ", old_read: "inversion: ",
    deleted_twice: "deleted 2 times", one_version_for_two_states: "stands for 2 states", torn_list: "a list of ",
    torn_transaction: "a part of a transaction", orphan: "needs parent, which is absent",
    address_twice: "is of two and of one",
    version_goes_back: "goes from ", odd_answer: "500", event_missed: "watcher w saw revision 4",
    event_repeated: "watcher w saw revision 3", events_swapped: "watcher w saw revision 3",
    event_torn: "watcher w saw revision 4", last_event_missed: "watcher w saw 4 revisions, the log has 5",
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_what_is_wrong_is_found(run: Run, damage: Callable[[Run], None]) -> None:
    damage(run)
    found = run.violations()
    assert any(DAMAGES[damage] in text for text in found), found


def test_a_violation_keeps_its_history(run: Run, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("history") / "history.jsonl"
    run.history.save(path, ["lost: c"])
    lines = path.read_text().splitlines()
    assert lines[0] == '{"violation":"lost: c"}'
    assert len(lines) == 1 + len(run.history.operations) + len(run.history.listings)
