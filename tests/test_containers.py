"""The production setup: one image, one migration, one beat, one stream, one writer per volume."""

import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent


class Strict(yaml.SafeLoader):
    """A loader that refuses duplicate keys, like Compose."""

    def flatten_mapping(self, node):
        keys = [key.value for key, _ in node.value]
        assert len(keys) == len(set(keys)), f"written twice after line {node.start_mark.line + 1}: {sorted(keys)}"
        super().flatten_mapping(node)


@pytest.fixture(scope="module")
def services():
    return yaml.load((ROOT / "docker-compose.yml").read_text(), Strict)["services"]  # a safe loader


def writers(services, volume):
    """Names of the services that mount a volume writable."""
    return [
        name
        for name, service in services.items()
        for mount in service.get("volumes", [])
        if mount.split(":")[0] == volume and not mount.endswith(":ro")
    ]


def test_one_writer_per_volume(services):
    assert writers(services, "models") == ["trainer"]
    assert writers(services, "archive") == ["worker"]
    ours = {name: service for name, service in services.items() if service.get("image") == "mlengine"}
    assert set(ours) == {"migrate", "web", "worker", "trainer", "beat", "stream"}
    assert all(service["read_only"] for service in ours.values())


def test_services_start_after_the_migration_and_single_services_have_one_replica(services):
    assert services["migrate"]["restart"] == "no"
    for name in ("web", "worker", "trainer", "beat", "stream"):
        assert services[name]["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert services[name]["restart"] == "unless-stopped"
    for name in ("beat", "stream"):
        assert services[name]["deploy"] == {"replicas": 1}
    assert all(service.get("healthcheck") for name, service in services.items() if name not in {"web", "migrate"})


def test_compose_variables_are_in_the_example_settings():
    wanted = set(re.findall(r"\$\{(\w+):\?", (ROOT / "docker-compose.yml").read_text()))
    written = set(re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    assert wanted == {"SECRET_KEY", "API_KEY_PEPPER", "POSTGRES_PASSWORD"}
    assert wanted <= written


def test_the_image_serves_with_four_workers_and_not_as_root():
    lines = (ROOT / "Dockerfile").read_text()
    assert '"--workers", "4"' in lines
    assert lines.index("USER mlengine") < lines.index('CMD ["uvicorn"')
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert {".git", ".venv", "data", ".env"} <= set(ignored)
