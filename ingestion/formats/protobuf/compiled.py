"""Source text of Protocol Buffers (`.proto`) → a descriptor set, by grpcio-tools' protoc; nothing is fetched.

Google's own files come with it; others are imported from the file's folder, or one above it in the project.
"""

import subprocess
import sys
import tempfile
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

from ingestion.errors import ConfigError
from ingestion.formats.protobuf.descriptors import DescriptorsRefused
from ingestion.libraries import require

SUFFIX = ".proto"
_LIBRARY, _EXTRA = "grpc_tools", "protobuf"
_COMPILE = (
    "import os, sys; sys.path.insert(0, sys.argv.pop(1)); from grpc_tools._protoc_compiler import run_main; "
    "sys.exit(run_main([os.fsencode(each) for each in sys.argv]))"
)
"""What `python -m grpc_tools.protoc` does, without the three quarters of its time that go into imports."""
_MOST_SECONDS = 120
_MOST_LINES = 3
_KEPT = 32

State = tuple[tuple[str, int, int], ...]
"""Path, time and size of each source file."""


def compiled(path: Path, *, project: Path) -> bytes:
    """The descriptor set of a source file and of what it imports.

    Args:
        path: The file.
        project: The folder above which nothing is imported from.

    Raises:
        OSError: It cannot be read.
        DescriptorsRefused: The compiler is not installed, or refuses the text; says where.
    """
    path = path.resolve()
    path.stat()
    roots = _roots(path, project.resolve())
    return _compile(path, roots, _state(roots[-1]))


def _roots(path: Path, project: Path) -> tuple[Path, ...]:
    """The folders that an import may begin at: the file's own, then those above it within the project."""
    above = [folder for folder in path.parent.parents if project in folder.parents]
    return (path.parent, *(above if project in path.parent.parents else ()))


def _state(root: Path) -> State:
    found = [*root.glob(f"*{SUFFIX}"), *root.glob(f"*/**/*{SUFFIX}")]
    return tuple(sorted((str(each), each.stat().st_mtime_ns, each.stat().st_size) for each in found))


@lru_cache(maxsize=_KEPT)
def _compile(path: Path, roots: tuple[Path, ...], state: State) -> bytes:
    try:
        require(f"streams whose schema is a {SUFFIX} file", (_LIBRARY,), extra=_EXTRA)
    except ConfigError as error:
        raise DescriptorsRefused(str(error)) from None
    package = Path(str(files(_LIBRARY)))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        command = [sys.executable, "-I", "-S", "-c", _COMPILE, str(package.parent)]
        command += [f"-I{root}" for root in (*roots, package / "_proto")]
        command += ["--include_imports", f"--descriptor_set_out={out}", path.name]
        try:
            done = subprocess.run(
                command, cwd=path.parent, capture_output=True, timeout=_MOST_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise DescriptorsRefused(f"it was not compiled within {_MOST_SECONDS} s") from None
        if done.returncode:
            lines = [line for line in done.stderr.decode("utf-8", "replace").splitlines() if line.strip()]
            raise DescriptorsRefused("; ".join(lines[:_MOST_LINES]) or f"protoc ended with {done.returncode}")
        return out.read_bytes()
