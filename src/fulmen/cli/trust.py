"""Lets the modules of a project that its `fulmen.toml` names run on this machine.

usage: fulmen trust [FOLDER] [edits=true]

FOLDER is the project's, or one below it; by default the working directory.

Look at the code first: it can do whatever you can. The record is yours and not the project's: it is kept in
`~/.config/fulmen/trusted.json`, with a hash of `fulmen.toml` and of every file of these modules. When one of them
changes, the next command asks you, or, where nobody can answer, says so and goes on without the project. With
`edits=true`, for a project that you write yourself, nobody is asked: whatever the folder becomes, for example by
a `git pull`, may run. `fulmen trust` without it takes that back.
"""

from collections.abc import Sequence
from pathlib import Path

from fulmen.cli import arguments
from fulmen.config import project
from fulmen.errors import ConfigurationError, command

OPTIONS = {"edits": "true, to trust it with all later changes"}


def main(argv: Sequence[str]) -> int:
    """Runs the command.

    Raises:
        ConfigurationError: there is no project, or its `fulmen.toml` is wrong.
    """
    given = arguments.parse(argv, OPTIONS)
    if len(given.subjects) > 1:
        raise ConfigurationError(f"name one project, as in {command('trust', 'my_project')}")
    place = Path(*given.subjects)
    its = project.read(project.find([place]) or place)
    hashes = project.content(its)
    edits = arguments.one_of("edits", given.options.get("edits", "false"), arguments.YES_NO) == "true"
    project.trust(its, project.WHATEVER if edits else hashes)
    how = "whatever they become" if edits else "as they are now"
    print(f"trusted {how}: {', '.join(hashes)} in {its.folder}")
    return 0
