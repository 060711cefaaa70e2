"""The labs of Vaportrail's conformance suite with the journal between the test and what forwards."""

from pathlib import Path
from tempfile import TemporaryDirectory

from netns_lab import NetnsLab
from simulator_lab import SimulatorLab
from vaportrail_journal import Journal, Lines
from vaportrail_journal.lines import read, standing

from vrouter.backends.protocol import Backend
from vrouter.backends.simulator import Packet, Verdict

SMALL = 20_000  # bytes: a test goes through several files


class Journaled:
    """Where the journal is, and that it tells the truth of what stands, but for what failed on the way."""

    def journal(self, over: Backend) -> Journal:
        if not hasattr(self, "folder"):
            self.folder = TemporaryDirectory()
            self.path = Path(self.folder.name) / "journal"
        journal = Journal(over, Lines(self.path, SMALL))
        journal.observe()  # as an agent does first
        return journal

    def close(self) -> None:
        lines = [line for path in (self.path.with_name("journal.1"), self.path) if path.exists() for line in read(path)]
        failed = {tuple(line["key"]) for line in lines if line.get("error")}
        stands = {unit.key for unit in self.backend.observe()}
        super().close()
        self.folder.cleanup()
        assert standing(lines).keys() - failed == stands - failed


class JournalOverSimulator(Journaled, SimulatorLab):
    name = "journal over simulator"

    def _start(self) -> Journal:
        self.simulator = super()._start()
        return self.journal(self.simulator)

    def send(self, interface: str, packet: Packet) -> Verdict:
        return self.simulator.send(interface, packet)


class JournalOverNetns(Journaled, NetnsLab):
    name = "journal over netns"

    def _start(self) -> Journal:
        return self.journal(super()._start())
