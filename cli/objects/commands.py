"""The commands of the object tree: what they take and what they say. What they do is in the other modules."""

import sys
from typing import Annotated

import typer

from cli.api import SERVER, Api, ask
from cli.objects import completion
from cli.output import Failure, ObjectFormat, ObjectOutput, counted, fail

PathArgument = Annotated[
    str, typer.Argument(metavar="TYPE/NAME", autocompletion=completion.paths, help="fq_name, its end, or uuid.")
]
Paths = Annotated[
    list[str],
    typer.Argument(metavar="TYPE/NAME", autocompletion=completion.paths, help="fq_name, its end, or uuid."),
]
Anything = Annotated[
    str | None,
    typer.Argument(
        metavar="TYPE[/NAME]", autocompletion=completion.paths, help="Default: all types.", show_default=False
    ),
]
Assignments = typer.Argument(
    metavar="KEY=VALUE", autocompletion=completion.assignments, help="key.member=value sets a member; key- removes."
)
Long = Annotated[bool, typer.Option("-l", "--long", help="With more of each.")]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]


def ls(path: Anything = None, long: Long = False, output: ObjectOutput = ObjectFormat.table, api: Api = SERVER) -> None:
    """List types, the objects of a type, or what an object is related to."""
    from cli.objects import listing

    listing.show(ask(api, lambda client: listing.listed(client, path, long)), path, long, output)


def cat(paths: Paths, output: ObjectOutput = ObjectFormat.yaml, api: Api = SERVER) -> None:
    """Print objects, in a form that `vaportrail apply` takes."""
    from cli.objects import printing

    printing.show(ask(api, lambda client: printing.read(client, paths)), output)


def tree(
    path: Annotated[
        str, typer.Argument(metavar="TYPE[/NAME]", autocompletion=completion.paths, help="Where it begins.")
    ] = "domain",
    depth: Annotated[int | None, typer.Option("-L", "--depth", min=0, help="Levels below it; default: all.")] = None,
    long: Long = False,
    output: ObjectOutput = ObjectFormat.table,
    api: Api = SERVER,
) -> None:
    """An object and what stands below it; below a loadbalancer its listeners, pools and members."""
    from cli.objects import tree

    tree.show(ask(api, lambda client: tree.grow(client, path, depth)), long, output)


def create(
    path: Annotated[str, typer.Argument(metavar="TYPE/FQ:NAME", autocompletion=completion.paths, help="Its fq_name.")],
    assignments: Annotated[list[str] | None, Assignments] = None,
    file: Annotated[
        str | None,
        typer.Option("-f", "--file", metavar="FILE", help="Its fields, as YAML or JSON; - is standard input."),
    ] = None,
    api: Api = SERVER,
) -> None:
    """Create an object, e.g. `vaportrail create project/default-domain:p`."""
    from cli.objects import creation

    found = ask(api, lambda client: creation.create(client, path, assignments or [], file))
    typer.echo(f"{found.path}  {found.uuid}")


def set_(
    path: PathArgument,
    assignments: Annotated[list[str], Assignments],
    api: Api = SERVER,
) -> None:
    """Change values of an object, e.g. `set loadbalancer/web loadbalancer_properties.admin_state=false`."""
    from cli.objects import setting

    found, changed = ask(api, lambda client: setting.assign(client, path, assignments))
    typer.echo(f"{found.path}  {', '.join(changed) if changed else 'unchanged'}")


def edit(path: PathArgument, api: Api = SERVER) -> None:
    """Change an object in $VISUAL or $EDITOR; only what you changed is sent."""
    from cli.objects import editor

    draft = ask(api, lambda client: editor.read(client, path))
    try:
        file, text = editor.edit(draft)
    except Failure as failure:
        fail(str(failure), failure.status)
    try:
        changed = editor.changes(draft, text)
        if changed:
            ask(api, lambda client: editor.send(client, draft, changed))
    except Failure as failure:
        fail(f"{failure}; your text is in {file}", failure.status)
    except typer.Exit:
        sys.stderr.write(f"vaportrail: your text is in {file}\n")
        raise
    file.unlink()
    typer.echo(f"{draft.found.path}  {', '.join(changed) if changed else 'unchanged'}")


def ln(
    source: PathArgument,
    target: PathArgument,
    attr: Annotated[
        list[str] | None, typer.Option("--attr", metavar="MEMBER=VALUE", help="Of the reference; or one JSON object.")
    ] = None,
    remove: Annotated[bool, typer.Option("-d", "--delete", help="Remove the reference.")] = False,
    api: Api = SERVER,
) -> None:
    """Let one object refer to another, e.g. `ln virtual-network/vn network-policy/p --attr sequence.major=1`."""
    from cli.objects import links

    one, other = ask(api, lambda client: links.link(client, source, target, attr or [], remove=remove))
    typer.echo(f"{one.path} {'no longer refers to' if remove else '->'} {other.path}")


def rm(
    paths: Paths,
    recursive: Annotated[
        bool, typer.Option("-r", "--recursive", help="Also its children and what refers to it; shows them and asks.")
    ] = False,
    yes: Yes = False,
    api: Api = SERVER,
) -> None:
    """Delete objects, all or none."""
    from cli.objects import plan, removal

    order = ask(api, lambda client: removal.planned(client, paths, recursive=recursive))
    if recursive:
        for each in order:
            typer.echo(each.path)
        confirm(f"Delete {'this' if len(order) == 1 else f'these {len(order)}'}?", yes)
    ask(api, lambda client: plan.carry_out(client, removal.steps(order)))
    typer.echo(f"{counted(len(order), 'object')} deleted")


def confirm(question: str, yes: bool) -> None:
    """Out with status 1 unless the answer is yes; with status 2 where nobody can be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        fail("nobody is there to be asked; say -y to do it all the same", 2)
    if not typer.confirm(question):
        fail("nothing was deleted")


def apply(
    file: Annotated[str, typer.Option("-f", "--file", metavar="FILE", help="YAML or JSON; - is standard input.")],
    owner: Annotated[
        str | None, typer.Option(metavar="NAME", help="Marks each object as this owner's, by an annotation.")
    ] = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete the owner's objects that the file no longer has.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Ask the server what would happen; change nothing.")
    ] = False,
    output: ObjectOutput = ObjectFormat.table,
    api: Api = SERVER,
) -> None:
    """Make objects as a file declares them, in any order, all or none; what stands already is left alone."""
    from cli.objects import apply, documents, plan

    if prune and not owner:
        fail("--prune needs --owner NAME: only what an owner has marked is deleted", 2)
    try:
        declared = documents.read(documents.read_text(file), file)
    except Failure as failure:
        fail(str(failure), failure.status)
    steps = ask(api, lambda client: apply.applied(client, declared, owner, prune=prune, dry_run=dry_run))
    plan.report(steps, output, dry_run=dry_run)
