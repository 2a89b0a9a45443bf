"""Services of docker-compose.yml as local processes: their commands, environments and volumes."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import yaml

from tests.flows.processes import ROOT, Processes

HOME = "/srv/mlengine"
GUARD = """
import errno, os, sys

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
CHANGES = {"os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate"}

def refuse(event, args):
    if event == "open" and not (isinstance(args[2], int) and args[2] & WRITES):
        return
    if event == "open" or event in CHANGES:
        for path in args[:2]:
            if isinstance(path, (str, bytes, os.PathLike)) and os.fsdecode(path).startswith(os.environ["READ_ONLY"]):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), path)

sys.addaudithook(refuse)
"""
"""Emulates a volume mounted `:ro`, for tests that run as root without containers."""


def dockerfile():
    """Environment and command of the last stage."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text())
    last = text[text.rindex("\nFROM ") :]
    environment = {}
    for line in re.findall(r"^ENV (.+)$", last, re.MULTILINE):
        environment |= dict(pair.split("=", 1) for pair in shlex.split(line))
    command = yaml.safe_load(re.findall(r"^CMD (\[.+\])$", last, re.MULTILINE)[-1])
    return environment, command


def env_file(text):
    """The variables of a `.env`, including empty ones."""
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))


def interpolated(value, variables):
    """A value of a compose file with `${...}` replaced."""

    def fill(match):
        name, operator, word = match.groups()
        found = variables.get(name, "")
        if found or not operator:
            return found
        assert operator == ":-", f"{name} is missing: {word}"
        return word

    return re.sub(r"\$\{(\w+)(?:(:[?-])([^}]*))?\}", fill, value).replace("$$", "$")


class Containers:
    """The services of the compose file as processes; `replaced` maps container paths and hosts to local ones."""

    def __init__(self, folder: Path, dot_env: str, replaced: dict[str, str]) -> None:
        self.folder, self.replaced = folder, replaced
        self.variables = env_file(dot_env)
        self.services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
        self.ours = [name for name, service in self.services.items() if service.get("image") == "mlengine"]
        self.image, self.command = dockerfile()
        self.running: dict[str, Processes] = {}
        (folder / "guard").mkdir()
        (folder / "guard" / "sitecustomize.py").write_text(GUARD)

    def here(self, text: str) -> str:
        """An argument or environment value, converted for this machine."""
        for there, here in self.replaced.items():
            text = text.replace(there, here)
        return text

    def environment(self, name: str) -> dict[str, str]:
        service = self.services[name]
        assert service["env_file"] == ".env"
        given = {key: interpolated(str(value), self.variables) for key, value in service["environment"].items()}
        inside = {key: self.here(value) for key, value in (self.image | self.variables | given).items()}
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        state = self.folder / name
        state.mkdir(exist_ok=True)
        outside = {"PATH": path, "HOME": str(self.folder), "MLENGINE_ENV_FILE": "", "MLENGINE_STATE_DIR": str(state)}
        if "models:/models:ro" in service["volumes"]:
            outside |= {"PYTHONPATH": str(self.folder / "guard"), "READ_ONLY": inside["MODEL_PATH"]}
        return inside | outside

    def words(self, name: str) -> list[str]:
        return [self.here(interpolated(word, {})) for word in self.services[name].get("command", self.command)]

    def up(self) -> None:
        """Start all services like `docker compose up -d`: one-shot services first, to their end."""
        one_shot = [name for name in self.ours if self.services[name]["restart"] == "no"]
        for name in one_shot:
            done = self.execute(name, self.words(name))
            assert done.returncode == 0, done.stdout + done.stderr
        for name in self.ours:
            if name not in one_shot:
                assert self.services[name]["depends_on"][one_shot[0]]["condition"] == "service_completed_successfully"
                self.start(name)

    def start(self, name: str) -> None:
        self.running[name] = Processes(self.folder, {})
        self.running[name].environment = self.environment(name)
        self.running[name].start(name, *self.words(name))

    def execute(self, name: str, words: list[str], **variables: str) -> subprocess.CompletedProcess:
        """`docker compose exec`: a command in the environment of a service."""
        environment = self.environment(name) | variables
        return subprocess.run(
            words, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )

    def is_healthy(self, name: str) -> bool:
        """Whether the health check of a service passes."""
        kind, *words = self.services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self.execute(name, words).returncode == 0

    def ended(self) -> list[str]:
        return [name for name, started in self.running.items() if started.running[name].poll() is not None]

    def kill(self, name: str) -> None:
        self.running.pop(name).kill(name)

    def stop(self) -> None:
        for started in self.running.values():
            for process in started.running.values():
                process.terminate()
        for started in self.running.values():
            started.stop()

    def log(self) -> str:
        return "\n".join(f"== {path.name}\n{path.read_text()[-2500:]}" for path in sorted(self.folder.glob("*.log")))
