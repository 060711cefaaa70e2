"""`vaportrail db`: care for the database."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer

from cli.output import Format, Output, counted, fail, print_json, print_table
from cli.serve import load_settings

if TYPE_CHECKING:
    from api_server.care import Finding, Report

db_app = typer.Typer(no_args_is_help=True)

DatabaseOption = Annotated[str | None, typer.Option(metavar="URL", help="As for `vaportrail serve`.")]


@db_app.callback()
def db() -> None:
    """Care for the database."""


@db_app.command()
def upgrade(
    sql: Annotated[bool, typer.Option("--sql", help="Print what would be run, and run nothing.")] = False,
    start: Annotated[
        str | None,
        typer.Option("--from", metavar="VERSION", help="With --sql: not the database's version; base is an empty one."),
    ] = None,
    database: DatabaseOption = None,
) -> None:
    """Bring the database to this program's version. `vaportrail serve` does so by itself at start."""
    if start is not None and not sql:
        raise typer.BadParameter("needs --sql", param_hint="--from")
    with _caring(database) as settings:
        from api_server import store

        if sql:
            typer.echo(store.script(settings.database, start), nl=False)
            return
        store.upgrade(settings.database)
    typer.echo("vaportrail: the database is up to date")


@db_app.command()
def check(
    fix: Annotated[bool, typer.Option("--fix", help="Mend it, all or nothing; SQLite: while no server runs.")] = False,
    output: Output = Format.table,
    database: DatabaseOption = None,
) -> None:
    """What is dangling, orphaned, unlinked, double or lost, and what --fix does about it.

    Changes nothing without --fix, and may run beside a server. Exit status: 0 all is well, 1 something is left, 2 the
    database cannot be looked at.
    """
    with _caring(database, failure=2) as settings:
        from api_server import care

        report = care.check(settings.database, fix=fix, native_driver=settings.native_driver)
        explained = care.explanations()
    if output is Format.json:
        rows = [_row(finding, report.refused.get(finding), explained) for finding in report.left]
        mended = [_row(finding, None, explained) for finding in report.mended]
        print_json({"findings": rows, "mended": mended, "skipped": report.skipped})
    else:
        _print_findings("Mended", "What was done", report.mended, {})
        _print_findings("Kind", "To be done" if fix else "What --fix does", report.left, report.refused)
        for kind in dict.fromkeys(finding.kind for finding in (*report.mended, *report.left)):
            typer.echo(f"{kind}: {explained[kind]}")
        if report.skipped:
            typer.echo(f"Not looked for because of that: {', '.join(report.skipped)}")
        typer.echo(f"vaportrail: {_verdict(report, fix)}", err=True)
    if report.left:
        raise typer.Exit(1)


def _row(finding: "Finding", refused: str | None, explained: dict[str, str]) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "subject": finding.subject,
        "text": finding.text,
        "repair": finding.repair,
        "fixable": finding.mend is not None,
        "refused": refused,
        "explanation": explained[finding.kind],
    }


def _print_findings(kind: str, repair: str, findings: list["Finding"], refused: dict["Finding", str]) -> None:
    """A line each; what only a person can do is marked."""
    if not findings:
        return

    def said(finding: "Finding") -> str:
        if finding in refused:
            return f"refused: {refused[finding]}"
        return finding.repair if finding.mend is not None else f"nothing; {finding.repair}"

    columns = (kind, "Of", "What is wrong", repair)
    print_table(columns, [(finding.kind, finding.subject, finding.text, said(finding)) for finding in findings])
    typer.echo()


def _verdict(report: "Report", fix: bool) -> str:
    mended = f"{counted(len(report.mended), 'finding')} mended, " if fix else ""
    if not report.left:
        return f"{mended}all is well"
    fixable = sum(finding.mend is not None for finding in report.left)
    advice = "" if fix or not fixable else f", --fix mends {fixable}"
    return f"{mended}{counted(len(report.left), 'finding')} left{advice}"


@db_app.command()
def export(
    path: Annotated[
        str | None,
        typer.Argument(metavar="TYPE/NAME", help="An object, by fq:name or uuid: it, and all below it."),
    ] = None,
    file: Annotated[Path | None, typer.Option("-o", "--output", metavar="FILE", help="Else: standard output.")] = None,
    database: DatabaseOption = None,
) -> None:
    """Everything, or a part, as JSON Lines: an object a line, by name.

    May run beside a server.
    """
    with _caring(database) as settings:
        from api_server import care

        with _written(file) as target:
            exported = care.export(settings.database, target.write, path)
    for (kind, name), count in exported.leaving.items():
        _say(f"{counted(count, 'reference')} to {kind} {name}, which is not exported")
    _say(f"{counted(exported.objects, 'object')} exported")


@db_app.command("import")
def import_(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Of `vaportrail db export`; - is standard input.")],
    database: DatabaseOption = None,
) -> None:
    """Read an export back, all of it or nothing.

    Everything goes into a new database, which is made; a part into one that has other objects (SQLite: while no server
    runs).
    """
    with _caring(database) as settings:
        from api_server import care

        with _read(file) as source:
            imported = care.load(settings.database, source, native_driver=settings.native_driver)
    for line in imported.renumbered:
        _say(line)
    _say(f"{counted(imported.objects, 'object')} imported, the database is at revision {imported.revision}")


@db_app.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE")],
    force: Annotated[bool, typer.Option("--force", help="Also if the file is there.")] = False,
    database: DatabaseOption = None,
) -> None:
    """Copy the SQLite database of a running server to a file.

    The copy has all that was acknowledged before; it is whole, checked and on disk when it has its name.
    """
    with _caring(database) as settings:
        from api_server import care

        copy = care.backup(settings.database, file, force=force)
    typer.echo(f"vaportrail: {copy.path} has all up to revision {copy.revision} ({copy.bytes} bytes)")


@contextmanager
def _caring(database: str | None, *, failure: int = 1) -> Iterator[Any]:
    """The settings; what goes wrong is one sentence and this exit status."""
    settings = load_settings({} if database is None else {"database": database})

    from api_server import care

    try:
        yield settings
    except FileExistsError as error:
        fail(f"{error}; --force replaces it", failure)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror), failure)
    except (care.UnusableDatabase, care.BadDocument, care.Refused, care.NotThere) as error:
        fail(str(error), failure)


@contextmanager
def _written(path: Path | None) -> Iterator[IO[bytes]]:
    """Standard output, or a file that is there when it is whole."""
    if path is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as target:
        partial = Path(target.name)
        try:
            yield target
        except BaseException:
            partial.unlink()
            raise
        target.flush()
        os.fsync(target.fileno())
    partial.replace(path)


@contextmanager
def _read(path: Path) -> Iterator[IO[bytes]]:
    """A file that can be read twice."""
    if str(path) != "-":
        with path.open("rb") as source:
            yield source
        return
    with tempfile.TemporaryFile() as source:
        while block := sys.stdin.buffer.read(1 << 20):
            source.write(block)
        yield source


def _say(text: str) -> None:
    """Beside what is written to standard output."""
    typer.echo(f"vaportrail: {text}", err=True)
