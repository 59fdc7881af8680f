"""Which files of a commit are read, and which are refused, decided from ``git ls-tree`` before one byte is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from pathspec import GitIgnoreSpec

from patchwright.adapters.git.failures import failure
from patchwright.domain.sources import SourceRequest
from patchwright.errors import SourceError

IGNORE_FILE = ".sourceignore"
MANIFEST_SUFFIXES = (".yaml", ".yml", ".json")
# Hidden files are other tools' (.github/workflows, .pre-commit-config.yaml); the rest is Flux's default list.
DEFAULT_IGNORE = (".*", "/appveyor.yml", "/cloudbuild.yaml", "/codeship-services.yml", "/codeship-steps.yml")
LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_REFUSED = {"120000": "a symbolic link", "160000": "a submodule"}
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of ``git ls-tree -r -t -l``; ``size`` is bytes, 0 for what is no blob."""

    mode: str
    kind: str
    name: str
    size: int
    path: str


@dataclass(frozen=True, slots=True)
class Selection:
    """The entries to read."""

    manifests: tuple[Entry, ...]
    rego: tuple[Entry, ...]


class Ignore:
    """Gitignore rules from several files; later and deeper ones win, ``spec.ignore`` wins over all (as in Flux)."""

    def __init__(self, files: Iterable[tuple[str, str]], ignore: str) -> None:
        self._specs = [("", GitIgnoreSpec.from_lines(DEFAULT_IGNORE))]
        self._specs += [(folder, GitIgnoreSpec.from_lines(text.splitlines())) for folder, text in sorted(files)]
        self._specs.append(("", GitIgnoreSpec.from_lines(ignore.splitlines())))

    def __contains__(self, path: str) -> bool:
        verdict = False
        for folder, spec in self._specs:
            if _within(path, folder):
                found = spec.check_file(path[len(folder) + 1 :] if folder else path).include
                verdict = verdict if found is None else found
        return verdict


def parse_listing(url: str, output: bytes) -> tuple[Entry, ...]:
    """Parse ``git ls-tree -z -l``; a path that is not UTF-8 is refused."""
    try:
        return tuple(_entry(line) for line in output.decode("utf-8").split("\0") if line)
    except UnicodeDecodeError:
        raise _refused(url, ["a file name is not UTF-8"]) from None


def listing_paths(request: SourceRequest) -> tuple[str, ...]:
    """Give the paths to list: the two folders, and the ignore files on the way to them; nothing lists everything."""
    roots = [request.path] + ([request.rego_path] if request.rego_path else [])
    if "" in roots:
        return ()
    parents = {str(parent) for root in roots for parent in PurePosixPath(root).parents}
    return (*roots, *sorted(f"{p}/{IGNORE_FILE}".removeprefix("./") for p in parents))


def ignore_files(entries: Sequence[Entry], request: SourceRequest) -> tuple[Entry, ...]:
    """Give the ignore files that count; an oversized one is refused with everything else."""
    found = tuple(e for e in entries if PurePosixPath(e.path).name == IGNORE_FILE and e.mode.startswith("100"))
    faults = [f"{e.path} is larger than {request.limits.file_bytes} bytes" for e in found if _too_large(e, request)]
    if faults:
        raise _refused(request.url, faults)
    return found


def select(entries: Sequence[Entry], request: SourceRequest, ignore: Ignore) -> Selection:
    """Choose what to read; raise SourceError naming every file under the paths that is refused."""
    _require_folder(entries, request, name="spec.path", path=request.path)
    if request.rego_path:
        _require_folder(entries, request, name="spec.rego.path", path=request.rego_path)
    here = [e for e in entries if e.kind != "tree" and _asked_for(e, request) and e.path not in ignore]
    rego = tuple(e for e in here if _is_rego(e, request))
    manifests = tuple(e for e in here if _is_manifest(e, request))
    faults = [fault for e in here for fault in _entry_faults(e, request)]
    faults += [fault for e in (*manifests, *rego) for fault in _size_faults(e, request)]
    faults += _total_faults((*manifests, *rego), request)
    if faults:
        raise _refused(request.url, faults)
    return Selection(manifests, rego)


def content_faults(url: str, files: Iterable[tuple[str, bytes]]) -> None:
    """Raise SourceError for files that are Git LFS pointers: their content is not in the repository."""
    faults = [f"{path} is a Git LFS pointer" for path, content in files if content.startswith(LFS_POINTER)]
    if faults:
        raise _refused(url, faults)


def _entry(line: str) -> Entry:
    meta, _, path = line.partition("\t")
    mode, kind, name, size = meta.split()
    return Entry(mode, kind, name, int(size) if size.isdigit() else 0, path)


def _require_folder(entries: Sequence[Entry], request: SourceRequest, *, name: str, path: str) -> None:
    kinds = [e for e in entries if e.path == path]
    if not path or (kinds and kinds[0].kind == "tree"):
        return
    what = "is not there"
    if kinds:
        what = f"is {_REFUSED.get(kinds[0].mode, 'a file')}, not a folder"
    raise failure(
        request.url, f"read {name}: {path!r} {what} in this commit", next_action=f"correct {name}, or push the folder",
        reason="InvalidPath",
    )  # fmt: skip


def _asked_for(entry: Entry, request: SourceRequest) -> bool:
    return _within(entry.path, request.path) or _in_rego(entry, request)


def _in_rego(entry: Entry, request: SourceRequest) -> bool:
    return bool(request.rego_path) and _within(entry.path, request.rego_path)


def _is_rego(entry: Entry, request: SourceRequest) -> bool:
    # Data under another name than data.yaml or parameters.yaml is read too: the bundle's builder refuses it aloud.
    return _in_rego(entry, request) and entry.path.endswith((".rego", *MANIFEST_SUFFIXES))


def _is_manifest(entry: Entry, request: SourceRequest) -> bool:
    return _within(entry.path, request.path) and not _in_rego(entry, request) and entry.path.endswith(MANIFEST_SUFFIXES)


def _entry_faults(entry: Entry, request: SourceRequest) -> Iterator[str]:
    if entry.mode in _REFUSED:
        yield f"{entry.path} is {_REFUSED[entry.mode]}"
    if entry.path.count("/") >= request.limits.tree_depth:
        yield f"{entry.path} is more than {request.limits.tree_depth} folders deep"
    if not entry.path.isprintable():
        yield f"the name {entry.path!r} holds a control character"


def _size_faults(entry: Entry, request: SourceRequest) -> Iterator[str]:
    if _too_large(entry, request):
        yield f"{entry.path} has {entry.size} bytes, more than {request.limits.file_bytes}"


def _too_large(entry: Entry, request: SourceRequest) -> bool:
    return entry.size > request.limits.file_bytes


def _total_faults(entries: Sequence[Entry], request: SourceRequest) -> Iterator[str]:
    total = sum(e.size for e in entries)
    if len(entries) > request.limits.files:
        yield f"{len(entries)} files are more than {request.limits.files}"
    if total > request.limits.total_bytes:
        yield f"{total} bytes in {len(entries)} files are more than {request.limits.total_bytes}"


def _refused(url: str, faults: Sequence[str]) -> SourceError:
    more = f" and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    listed = ", ".join(_printable(fault) for fault in faults[:_SHOWN]) + more
    return failure(
        url, f"read the files: {listed}",
        next_action="remove them from the repository, or exclude them with spec.ignore", reason="BuildFailed",
    )  # fmt: skip


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)[:300]


def _within(path: str, folder: str) -> bool:
    return not folder or path == folder or path.startswith(folder + "/")
