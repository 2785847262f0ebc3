"""A backup of a running desk: the database as of one moment first, blobs second, then the configuration.

Blobs come second because a row names a blob only when it is on disk for good: whatever the copied
database names was there when it was copied. The manifest is written last and holds the digest of every
file, so a folder without one is no backup.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from channels.described import Described
from gateway.backup_sources import BackupError as BackupError
from gateway.backup_sources import Source, named
from gateway.store.blobs import sync_file, sync_folder

MANIFEST = "manifest.json"
DATABASE = "gateway.db"
CONFIG_SUFFIXES = frozenset({".yaml", ".json", ".txt", ".html", ".j2", ".md"})
"""Kinds of files that a configuration consists of; whatever else lies beside them may be a secret."""
CHUNK = 1024 * 1024


class FileDigest(BaseModel):
    """One file of the backup."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int = Field(ge=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(Described, BaseModel):
    """`manifest.json`: what the backup holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int = Field(default=1, ge=1, le=1)
    program: str
    database_schema: str
    made_at: AwareDatetime
    """When the copy of the database began: what came later is not in it."""
    files: Mapping[str, FileDigest]
    """Path below the backup folder -> its digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """What was backed up."""

    folder: Path
    blobs: int
    size: int
    """Bytes of all files."""
    damaged: tuple[str, ...]
    """Blobs that the live database still names and that are not there, or are not what they should be."""


def take(
    target: Path,
    *,
    source: Source,
    key: Path | None,
    config: Path,
    secrets: frozenset[Path],
    now: datetime,
) -> Taken:
    """Back up into `target`, a folder that is empty or not there yet.

    `key` is the installation's key file, None to leave it out; `secrets` are files that the
    configuration names as `file:PATH`: they are never copied. Raises BackupError, OSError.
    """
    if target.exists() and any(target.iterdir()):
        raise BackupError(f"{target} is not empty; name a new folder for each backup")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    target.chmod(0o700)  # people's mail
    copy = target / DATABASE
    source.snapshot(copy)
    schema = _checked(copy)
    files = {DATABASE: _digest(copy)}
    copied, damaged = _copy_blobs(copy, source, target / "blobs")
    files |= copied
    for path, name in _others(config, secrets, key):
        files[name] = _copy(path, target / name)
    manifest = Manifest(program=version("intake-gateway"), database_schema=schema, made_at=now, files=files)
    _sync_tree(target)
    # Last: its presence says that everything else is there.
    partial = target / f"{MANIFEST}.part"
    partial.write_text(manifest.model_dump_json(indent=1) + "\n", encoding="utf-8")
    sync_file(partial)
    partial.replace(target / MANIFEST)
    sync_folder(target)
    size = sum(file.size for file in files.values())
    return Taken(folder=target, blobs=len(copied), size=size, damaged=damaged)


def read(folder: Path) -> Manifest:
    """The manifest of a backup. Raises BackupError when there is none or it cannot be read."""
    try:
        manifest = Manifest.model_validate_json((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise BackupError(f"{folder / MANIFEST}: {error.strerror}; this is no complete backup") from None
    except ValidationError as error:
        raise BackupError(f"{folder / MANIFEST} cannot be read: {error.errors()[0]['msg']}") from None
    outside = [name for name in manifest.files if name.startswith("/") or ".." in Path(name).parts]
    if outside or DATABASE not in manifest.files:
        raise BackupError(f"{folder / MANIFEST} is not a manifest of ours")
    return manifest


def faults(folder: Path, manifest: Manifest) -> list[str]:
    """Every file that is missing or is not what the manifest says; empty when the backup is good."""
    found = []
    for name, wanted in manifest.files.items():
        try:
            if _digest(folder / name) != wanted:
                found.append(f"{name}: its bytes are not those that were backed up")
        except OSError as error:
            found.append(f"{name}: {error.strerror}")
    return found


# -- parts --------------------------------------------------------------------------------


def _checked(copy: Path) -> str:
    """The schema of the copied database, after SQLite has checked every page of it."""
    with closing(sqlite3.connect(copy)) as conn:
        said = conn.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if said != "ok":
            raise BackupError(f"the database is damaged: {said}")
        if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
            return ""
        found = conn.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found[0]) if found else ""


def _copy_blobs(copy: Path, source: Source, target: Path) -> tuple[dict[str, FileDigest], tuple[str, ...]]:
    """Copy every blob that the copied database names; those that went meanwhile were past their time."""
    copied: dict[str, FileDigest] = {}
    wrong = []
    with closing(sqlite3.connect(copy)) as conn:
        for name in named(conn):
            below = f"{name[:2]}/{name}"
            try:
                done = _copy(source.blob(name), target / below)
            except FileNotFoundError:
                wrong.append(name)
                continue
            if done.sha256 != name:
                wrong.append(name)
            copied[f"blobs/{below}"] = done
    if not wrong:
        return copied, ()
    still = source.named()
    return copied, tuple(name for name in wrong if name in still)


def _others(config: Path, secrets: frozenset[Path], key: Path | None) -> Iterator[tuple[Path, str]]:
    for path in sorted(config.rglob("*")):
        if path.is_file() and path.suffix in CONFIG_SUFFIXES and path.resolve() not in secrets:
            yield path, f"config/{path.relative_to(config).as_posix()}"
    if key is not None and key.is_file():
        yield key, "key"


def _copy(source: Path, target: Path) -> FileDigest:
    digest, size = hashlib.sha256(), 0
    with source.open("rb") as reader:
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as writer:
            while chunk := reader.read(CHUNK):
                digest.update(chunk)
                size += len(chunk)
                writer.write(chunk)
            writer.flush()
            os.fsync(writer.fileno())
    return FileDigest(size=size, sha256=digest.hexdigest())


def _digest(path: Path) -> FileDigest:
    digest, size = hashlib.sha256(), 0
    with path.open("rb") as reader:
        while chunk := reader.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return FileDigest(size=size, sha256=digest.hexdigest())


def _sync_tree(folder: Path) -> None:
    for below in (path for path in folder.rglob("*") if path.is_dir()):
        sync_folder(below)
    sync_folder(folder)


def copy_verified(source: Path, target: Path, wanted: FileDigest) -> None:
    """Copy one file of a backup durably, mode 600. Raises BackupError when it is not what was backed up, OSError."""
    if _copy(source, target) != wanted:
        target.unlink()
        raise BackupError(f"{source}: its bytes are not those that were backed up")
