"""A real Gitea on loopback, for what only a real host of repositories can show: pull requests, protected branches.

It is one process of its own with an SQLite file in its folder, without SSH, mail, indexes or anything that asks the
network. Its one user may do everything; who knows the token may, too, so it is for loopback only.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import secrets
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Self

from patchwright.sandbox import binaries, errors, ports, processes, progress

USER = "robot"
READY_SECONDS = 60.0
_TOKEN = re.compile(r"\b[0-9a-f]{40}\b")
_CONFIG = """\
I_AM_BEING_UNSAFE_RUNNING_AS_ROOT = {root}
RUN_MODE = prod
WORK_PATH = {folder}
[server]
HTTP_ADDR = 127.0.0.1
HTTP_PORT = {port}
ROOT_URL = {url}/
STATIC_ROOT_PATH = {share}
APP_DATA_PATH = {folder}/data
DISABLE_SSH = true
OFFLINE_MODE = true
LFS_START_SERVER = false
[database]
DB_TYPE = sqlite3
PATH = {folder}/gitea.db
[repository]
ROOT = {folder}/repositories
[security]
INSTALL_LOCK = true
SECRET_KEY = {secret}
[oauth2]
ENABLED = false
[actions]
ENABLED = false
[indexer]
ISSUE_INDEXER_TYPE = db
[cron]
ENABLED = false
[service]
DISABLE_REGISTRATION = true
[log]
LEVEL = Warn
"""


class Gitea:
    """Run Gitea in ``folder``; use it as ``with Gitea(folder) as host``. It is built (once) where it is missing."""

    def __init__(self, folder: Path, show: progress.Progress | None = None) -> None:
        self.folder = folder
        self._show = show or progress.Quiet()
        self._process: subprocess.Popen[bytes] | None = None
        self._program = Path()
        self.url = ""
        self.token = ""
        self.password = secrets.token_hex(12)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> None:
        """Start it and wait until it answers; raises ComponentError when it does not."""
        self._program = binaries.ensure(["gitea"], self._show, control_plane=False)["gitea"]
        [port] = ports.free()
        self.url = f"http://{ports.LOOPBACK}:{port}"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._config.touch(mode=0o600)
        self._config.write_text(
            _CONFIG.format(
                root=str(os.geteuid() == 0).lower(),
                folder=self.folder,
                port=port,
                url=self.url,
                share=binaries.share(binaries.GITEA),
                secret=secrets.token_hex(32),
            ),
            encoding="utf-8",
        )
        with (self.folder / "gitea.log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own binary
                self._command("web"), env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self._until_ready(self._process)
        self.token = self._new_user()

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            processes.end_child(self._process)
            self._process = None

    def repository(self, name: str) -> str:
        """Give the URL of a repository of the user."""
        return f"{self.url}/{USER}/{name}.git"

    def api(self, method: str, path: str, body: object = None) -> Any:
        """Ask the API as the user and give the answer; an empty one is ``None``."""
        request = urllib.request.Request(  # noqa: S310 - our own address
            f"{self.url}/api/v1{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - our own address
            content = response.read()
        return json.loads(content) if content else None

    def merge(self, pull: str, *, seconds: float = 30.0) -> None:
        """Merge a pull request, by its path in the API, once Gitea has found out whether it can be merged.

        It does so some time after the pull request was opened, and refuses until then (405, "try again later").
        """
        deadline = time.monotonic() + seconds
        while not self.api("GET", pull)["mergeable"] and time.monotonic() < deadline:
            time.sleep(0.1)
        self.api("POST", f"{pull}/merge", {"Do": "squash"})

    @property
    def _config(self) -> Path:
        return self.folder / "app.ini"

    @property
    def _environment(self) -> dict[str, str]:
        return {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), "USER": USER}

    def _command(self, *words: str) -> list[str]:
        return [str(self._program), "--config", str(self._config), *words]

    def _until_ready(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(urllib.error.URLError, OSError):
                self.api("GET", "/version")
                return
            time.sleep(0.1)
        self.stop()
        log = (self.folder / "gitea.log").read_text(encoding="utf-8", errors="replace")
        raise errors.ComponentError(f"Gitea does not answer at {self.url}; its last words: {log[-500:]}")

    def _new_user(self) -> str:
        words = (
            "admin", "user", "create", "--admin", "--username", USER, "--password", self.password, "--email",
            f"{USER}@example.com", "--must-change-password=false", "--access-token", "--access-token-scopes", "all",
        )  # fmt: skip
        done = subprocess.run(  # noqa: S603 - our own binary
            self._command(*words), env=self._environment, capture_output=True, text=True, check=False
        )
        found = _TOKEN.search(done.stdout)
        if done.returncode or found is None:
            raise errors.ComponentError(f"Gitea made no user: {done.stderr[-500:]}")
        return found[0]
