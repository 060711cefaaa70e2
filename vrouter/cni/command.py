"""The program `vaportrail-cni`: a command in CNI_COMMAND, a configuration on standard input, an answer on standard
output, and status 1 with an error."""

import json
import os
import sys
from collections.abc import Mapping
from typing import Any

from vrouter.cni.answer import BAD_ENVIRONMENT, INCOMPATIBLE, IO_FAILURE, NEWEST, VERSIONS, CniError, failure, versions
from vrouter.cni.request import COMMANDS, LARGEST, attachment, configuration, parsed


def main() -> None:
    text = b"" if sys.stdin.isatty() else sys.stdin.buffer.read(LARGEST)
    try:
        answer, status = _answer(text), 0
    except CniError as error:
        answer, status = failure(_version(text), error), 1
    except OSError as error:
        answer, status = failure(_version(text), CniError(IO_FAILURE, error.strerror or str(error))), 1
    if answer is not None:
        sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    sys.exit(status)


def _answer(text: bytes) -> Mapping[str, Any] | None:
    command = os.environ.get("CNI_COMMAND", "")
    if command not in COMMANDS:
        what = f"{command!r}" if command else "not set"
        raise CniError(BAD_ENVIRONMENT, f"CNI_COMMAND is {what}; a container runtime sets {', '.join(COMMANDS)}")
    if command == "VERSION":
        return versions(str(parsed(text).get("cniVersion", "")) if text.strip() else "")
    settings = configuration(text)
    asked = attachment(settings, os.environ, command)
    # what speaks to the kernel is loaded where it is needed
    if command == "ADD":
        from vrouter.cni.add import add  # noqa: PLC0415

        return add(asked)
    if command == "DEL":
        from vrouter.cni.remove import remove  # noqa: PLC0415

        remove(asked)
        return None
    if settings.version < "0.4.0":
        raise CniError(INCOMPATIBLE, f"CHECK is not part of cniVersion {settings.version}")
    from vrouter.cni.check import check  # noqa: PLC0415

    check(asked)
    return None


def _version(text: bytes) -> str:
    """For an error: what the runtime speaks, if that can be told."""
    try:
        version = json.loads(text)["cniVersion"]
    except (ValueError, KeyError, TypeError):
        return NEWEST
    return version if version in VERSIONS else NEWEST
