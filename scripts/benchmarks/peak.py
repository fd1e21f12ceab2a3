"""Runs the words of a command line, and prints the largest memory that its process had, in bytes."""

import sys
from pathlib import Path


def peak() -> int:
    """Of this process. Linux keeps it in a file; what `getrusage` says there includes the process that started it."""
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = [line for line in status.read_text().splitlines() if line.startswith("VmHWM")]
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    from fulmen.cli.main import main

    code = main(sys.argv[1:])
    print(peak(), file=sys.stderr)
    sys.exit(code)
