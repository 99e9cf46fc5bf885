"""Put a detector's files in place of an older one's. What is not a detector's is never deleted.

A new folder is made beside and renamed into place. In a folder that is there (it may be a mount point, hold files of
the user's, or be worked in) the files are renamed one by one, the manifest last; a process that dies in between leaves
files whose hashes do not fit, and the old ones under `.NAME.TOKEN.old`. Two processes that
save to one path at once check at the end: whoever wrote last sees a mix, if there is one, and writes again.
"""

from __future__ import annotations

import errno
import io
import secrets
import shutil
import zipfile
from contextlib import suppress
from pathlib import Path

from daad.artifact.manifest import AnyManifest
from daad.artifact.place import FILES, check_replaceable
from daad.artifact.read import read_contents
from daad.errors import ArtifactError
from daad.files import beside, write_synced

ATTEMPTS = 5
_NO_RENAMING = (errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS)

Contents = dict[str, bytes]


def put_folder(path: Path, contents: Contents) -> None:
    """Write `contents` as the folder `path`, which is absent, empty or a detector. Raises OSError, ArtifactError."""
    for _ in range(ATTEMPTS):
        with suppress(FileNotFoundError):  # somebody else was renaming it at that moment
            _put_once(path, contents)
            if _is_complete(path):
                return
    raise OSError(errno.EBUSY, "other processes keep changing it")


def put_zip(path: Path, contents: Contents) -> None:
    """Write `contents` as the zip `path`, which is absent, empty or a detector. Raises OSError."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    temporary = beside(path)
    try:
        write_synced(temporary, buffer.getvalue())
        temporary.replace(path)
    except OSError as error:
        if not path.is_file() or error.errno not in _NO_RENAMING:
            raise
        _overwrite(path, buffer.getvalue())
    finally:
        _unlink(temporary)


def _put_once(path: Path, contents: Contents) -> None:
    if not path.is_dir():
        new = beside(path)
        try:
            new.mkdir()
            for name, content in contents.items():
                write_synced(new / name, content)
            new.rename(path)
            return
        except OSError:
            if not path.is_dir():
                raise
            check_replaceable(path)  # it has come into being since the first look
        finally:
            _unlink(*(new / name for name in FILES))
            with suppress(OSError):
                new.rmdir()
    _put_inside(path, contents)


def _put_inside(folder: Path, contents: Contents) -> None:
    """Replace the files one by one; where that fails, the old ones come back."""
    token = secrets.token_hex(4)
    new = {name: folder / f".{name}.{token}.tmp" for name in FILES}
    old = {name: folder / f".{name}.{token}.old" for name in FILES}
    try:
        for name in FILES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, old[name])
            write_synced(new[name], contents[name])
    except BaseException:
        _unlink(*new.values(), *old.values())
        raise
    try:
        for name in FILES:
            new[name].replace(folder / name)
    except BaseException:
        _restore(folder, [name for name in FILES if not new[name].exists()], old)
        _unlink(*new.values(), *old.values())
        raise
    _unlink(*old.values())


def _restore(folder: Path, replaced: list[str], old: dict[str, Path]) -> None:
    for name in replaced:
        if old[name].exists():
            old[name].replace(folder / name)
        else:
            (folder / name).unlink(missing_ok=True)


def _unlink(*paths: Path) -> None:
    for path in paths:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _overwrite(path: Path, content: bytes) -> None:
    """Write a file that cannot be replaced, such as one that is mounted by itself."""
    before = path.read_bytes()
    try:
        write_synced(path, content)
    except BaseException:
        write_synced(path, before)
        raise


def _is_complete(folder: Path) -> bool:
    try:
        read_contents(folder, AnyManifest)
    except ArtifactError:
        return False
    return True
